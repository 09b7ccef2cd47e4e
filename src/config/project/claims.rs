//! Hosts, and the place of the default project: what only one project can have.
//!
//! What the file says beats what goes without saying: what one project claims in so many words is given up by the project
//! that would have it otherwise.

use std::collections::BTreeMap;

use super::{Project, ProjectKind};
use crate::config::{
    ConfigError, builtin,
    error::Problem,
    section::Section,
    value::{boolean, host},
};

/// What projects claim in so many words.
#[derive(Default)]
pub(super) struct Claims {
    /// Host → project.
    hosts: BTreeMap<String, String>,
    /// Projects whose `hosts` are given, be it none.
    hosts_said: Vec<String>,
    default: Option<String>,
    /// Projects whose `default` is given, true or false.
    default_said: Vec<String>,
}

impl Claims {
    pub(super) fn read_hosts(
        &mut self,
        section: &mut Section<'_>,
        project: &str,
    ) -> Result<(), ConfigError> {
        let Some(hosts) = section.take_list("hosts", host)? else {
            return Ok(());
        };
        self.hosts_said.push(project.to_owned());
        for host in hosts {
            if let Some(other) = self.hosts.insert(host.clone(), project.to_owned()) {
                let problem = format!(
                    "`{host}` means the project `{other}` already; a host means one project"
                );
                return Err(section.error("hosts", Problem::new(problem)));
            }
        }
        Ok(())
    }

    pub(super) fn read_default(
        &mut self,
        section: &mut Section<'_>,
        project: &str,
    ) -> Result<(), ConfigError> {
        let Some(default) = section.take("default", boolean)? else {
            return Ok(());
        };
        self.default_said.push(project.to_owned());
        if default && let Some(other) = self.default.replace(project.to_owned()) {
            let problem =
                format!("the project `{other}` is the default already; one project at most is");
            return Err(section.error("default", Problem::new(problem)));
        }
        Ok(())
    }

    /// Takes back what a project claimed that is not to be.
    pub(super) fn forget(&mut self, project: &str) {
        self.hosts.retain(|_, owner| owner != project);
        self.hosts_said.retain(|said| said != project);
        self.default.take_if(|default| default == project);
        self.default_said.retain(|said| said != project);
    }

    /// Gives each project its hosts and the default its mark.
    pub(super) fn settle(mut self, projects: &mut [Project]) {
        let silent = |project: &&mut Project| {
            matches!(project.kind, ProjectKind::Mirror { .. })
                && !self.hosts_said.contains(&project.name)
        };
        // A project's own name first, so that the further hosts of a built-in one take nobody's.
        for project in projects.iter_mut().filter(silent) {
            self.hosts
                .entry(project.name.clone())
                .or_insert_with(|| project.name.clone());
        }
        for project in projects.iter_mut().filter(silent) {
            for host in builtin::named(&project.name).map_or(&[][..], |registry| registry.hosts) {
                self.hosts
                    .entry((*host).to_owned())
                    .or_insert_with(|| project.name.clone());
            }
        }
        for (host, owner) in self.hosts {
            let project = projects.iter_mut().find(|project| project.name == owner);
            project
                .expect("claims are made by projects")
                .hosts
                .push(host);
        }
        let silent = |project: &Project| {
            project.name == builtin::DEFAULT
                && project.kind != ProjectKind::Hosted
                && !self.default_said.contains(&project.name)
        };
        let implied = projects
            .iter()
            .find(|project| silent(project))
            .map(|project| project.name.clone());
        let default = self.default.or(implied);
        for project in projects {
            project.default = default.as_ref() == Some(&project.name);
        }
    }
}
