//! How fast tasks may be: the limits of their rules, as these are by now, and of everything.

use std::{num::NonZeroU64, sync::Arc};

use super::{
    Rule,
    engine::read,
    work::{Inner, locked},
};
use crate::{
    meta::HeldTask,
    transfer::{Budget, send::Sender},
};

/// Blobs that one task sends at once.
const TRANSFERS: usize = 3;

/// What the bytes of a task are counted against.
pub(super) struct Budgets {
    of_rule: Arc<Budget>,
    of_transfer: Arc<Budget>,
}

impl Inner {
    /// The limits of a task's rule.
    pub(super) async fn budgets(&self, held: &HeldTask) -> Budgets {
        let of_rule = Arc::clone(locked(&self.budgets).entry(held.rule_id).or_default());
        let budgets = Budgets {
            of_rule,
            of_transfer: Arc::default(),
        };
        if !self.adjust(held, &budgets).await
            && let Some(rule) = read(&held.members)
        {
            budgets.set(&rule);
        }
        budgets
    }

    /// Lets a task keep to what its rule says by now. False: nothing does.
    pub(super) async fn adjust(&self, held: &HeldTask, budgets: &Budgets) -> bool {
        let meta = &self.replication.inner.parts.meta;
        let row = meta.rule_by_id(held.rule_id).await.ok().flatten();
        let rule = row.and_then(|row| read(&row.members));
        if let Some(rule) = &rule {
            budgets.set(rule);
        }
        rule.is_some()
    }

    /// Keeps to the budgets of the rule, of one transfer, and of everything.
    pub(super) fn sender(&self, budgets: &Budgets) -> Sender {
        let of_rule = Arc::clone(&budgets.of_rule);
        let of_transfer = Arc::clone(&budgets.of_transfer);
        Sender::new(
            TRANSFERS,
            [of_rule, of_transfer, Arc::clone(&self.parts.everything)],
        )
    }
}

impl Budgets {
    fn set(&self, rule: &Rule) {
        let rate = |limit: Option<u64>| limit.and_then(NonZeroU64::new);
        self.of_rule.set(rate(rule.bandwidth));
        self.of_transfer.set(rate(rule.transfer_bandwidth));
    }
}
