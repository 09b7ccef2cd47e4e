//! What a plan holds before it is divided into tasks, and how it is divided. Pure.

use std::{collections::BTreeMap, time::Duration};

use super::{Rule, collision::Shipment};
use crate::{
    meta::{Action, TaskItem, TaskWrite},
    oci::{Digest, Name, Tag},
};

/// What a plan holds before it is divided into tasks.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) shipments: Vec<Shipment>,
    /// How many tags need not be sent.
    pub(super) same: usize,
    /// Remote, place, tag: what is to be deleted there.
    pub(super) deletes: Vec<(String, Shipment)>,
    /// For the execution.
    pub(super) notes: Vec<String>,
    /// Repositories that could not be asked: their tasks ask them again.
    pub(super) unasked: Vec<TaskWrite>,
    /// What a dry run does not tell, and why.
    pub(super) lacking: Vec<String>,
}

impl Draft {
    pub(super) fn ship(&mut self, repository: &Name, destination: &Name, tag: Tag, digest: Digest) {
        self.shipments.push(Shipment {
            repository: repository.clone(),
            destination: destination.clone(),
            tag,
            digest,
            action: Action::Copy,
        });
    }
}

/// One task for each remote and repository; deletes come after what is sent, in tasks of their own.
pub(super) fn divided(rule: &Rule, draft: &Draft) -> Vec<TaskWrite> {
    let mut by_place: BTreeMap<(&Name, &Name), Vec<TaskItem>> = BTreeMap::new();
    for shipment in &draft.shipments {
        let place = (&shipment.repository, &shipment.destination);
        by_place.entry(place).or_default().push(item(shipment));
    }
    let mut tasks = draft.unasked.clone();
    for remote in &rule.remotes {
        for ((repository, destination), items) in &by_place {
            tasks.push(TaskWrite {
                remote: remote.clone(),
                repository: (*repository).clone(),
                destination: (*destination).clone(),
                items: items.clone(),
                delay: Duration::ZERO,
            });
        }
    }
    tasks.extend(delete_tasks(rule, &draft.deletes));
    tasks
}

/// One task for each remote and repository.
pub(super) fn delete_tasks(rule: &Rule, deletes: &[(String, Shipment)]) -> Vec<TaskWrite> {
    let mut by_place: BTreeMap<(&str, &Name, &Name), Vec<TaskItem>> = BTreeMap::new();
    for (remote, shipment) in deletes {
        let place = (remote.as_str(), &shipment.repository, &shipment.destination);
        by_place.entry(place).or_default().push(item(shipment));
    }
    let task = |((remote, repository, destination), items): ((&str, &Name, &Name), _)| TaskWrite {
        remote: remote.to_owned(),
        repository: repository.clone(),
        destination: destination.clone(),
        items,
        delay: rule.delete_grace,
    };
    by_place.into_iter().map(task).collect()
}

fn item(shipment: &Shipment) -> TaskItem {
    TaskItem {
        tag: shipment.tag.clone(),
        digest: shipment.digest.clone(),
        action: shipment.action,
        bytes: None,
        message: None,
    }
}
