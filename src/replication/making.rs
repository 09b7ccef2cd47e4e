//! The project that a task needs at its destination: made before anything is sent there, by who may.

use super::{
    Mode,
    task::Run,
    trouble::{Ended, Trouble},
};
use crate::{access::Right, client::Made, meta::Action, transfer::send::SendError};

impl Run<'_> {
    /// Makes the project that the repository needs there, if anything is to be sent. `Some`: it may be missing, and why we
    /// do not make it.
    pub(super) async fn make_project(&self) -> Result<Option<String>, Ended> {
        let mut items = self.held.task.items.iter();
        if !items.any(|item| item.action == Action::Copy) {
            return Ok(None);
        }
        if self.rule.mode == Mode::Pull {
            self.check_owner().await?;
        }
        let made = self.destination.make_project(&self.held.task.destination);
        match made.await {
            Ok(Made::There) => Ok(None),
            Ok(Made::Unsure(why)) => {
                self.log.line(why.clone());
                Ok(Some(why))
            }
            Ok(Made::Refused(why)) => Err(Ended::Failed(why)),
            Err(error) => Err(ended(error)),
        }
    }

    /// May the one who made the rule still make the project here that is missing? Rights come and go; rules stay.
    async fn check_owner(&self) -> Result<(), Ended> {
        let parts = &self.inner.replication.inner.parts;
        let project = self.held.task.destination.first();
        if parts.projects.now().get(project).is_some() {
            return Ok(());
        }
        let refused = |why: &str| {
            let error = format!("may not create project `{project}`: {why}");
            Err(Ended::Failed(error))
        };
        let ours = |error| Ended::from(Trouble::from(error));
        let rule = parts.meta.rule_by_id(self.held.rule_id).await;
        let Some(rule) = rule.map_err(ours)? else {
            return refused("its rule is there no longer");
        };
        let owner = &rule.owner;
        let caller = parts.accounts.maker(owner).await.map_err(ours)?;
        match caller {
            None => refused(&format!(
                "needs the right `admin` on it, and the rule's owner `{owner}` is no user here"
            )),
            Some(caller) if caller.is_admin() || caller.may_on_project(Right::Admin, project) => {
                Ok(())
            }
            Some(_) => refused(&format!(
                "needs the right `admin` on it, which the rule's owner `{owner}` does not have"
            )),
        }
    }

    /// Ends what cannot go on. `unsure`: why the project may be missing.
    pub(super) fn broken_off(&self, trouble: Trouble, unsure: Option<String>) -> Ended {
        let trouble = match (trouble, unsure) {
            (Trouble::Repository(error), Some(why)) => {
                Trouble::Repository(format!("{why}; {error}"))
            }
            (trouble, _) => trouble,
        };
        if matches!(trouble, Trouble::Repository(_)) {
            self.destination.forget_project(&self.held.task.destination);
        }
        trouble.into()
    }
}

fn ended(error: SendError) -> Ended {
    Trouble::from(error).into()
}
