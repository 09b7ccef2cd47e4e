//! A rule as it is saved: what it names must be there.

use serde_json::{Map, Value};

use super::{Mode, Replication, ReplicationError, Rule};
use crate::config::ProjectKind;

impl Replication {
    /// Reads a rule and looks whether everything that it names is there.
    pub fn check(&self, members: Map<String, Value>) -> Result<Rule, ReplicationError> {
        let rule = Rule::read(members).map_err(ReplicationError::Invalid)?;
        let parts = &self.inner.parts;
        let missing = rule
            .remotes
            .iter()
            .find(|name| parts.remotes.get(name).is_none());
        if let Some(name) = missing {
            let message = format!("there is no remote `{name}`");
            return Err(ReplicationError::field("remotes", message));
        }
        let projects = parts.projects.now();
        let is_local = rule.mode == Mode::Push && !rule.is_for_every_project();
        if is_local && projects.get(&rule.project).is_none() {
            let message = format!("there is no project `{}`", rule.project);
            return Err(ReplicationError::field("source.project", message));
        }
        if rule.mode == Mode::Pull
            && let Some(project) = &rule.naming.project
            && let Some(found) = projects.get(project.first())
            && let ProjectKind::Mirror { remote } = &found.kind
            && (project.as_str() != found.name || !rule.remotes.contains(remote))
        {
            let message = format!(
                "`{}` is a mirror: only what is at remote `{remote}` can be pulled into it, under its own names",
                found.name
            );
            return Err(ReplicationError::field("destination.project", message));
        }
        Ok(rule)
    }
}
