//! Projects: made, changed and taken away by the API, or made by a first push.

use std::{sync::Arc, time::SystemTime};

use serde_json::{Map, Value, json};

use super::{Inner, Settings, SettingsError, Stored, members, newly_refused};
use crate::{
    config::{Project, Row},
    meta::MetaError,
    oci::Name,
};

/// Where something is declared, and so where it can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManagedBy {
    /// The configuration file: read-only here.
    Configuration,
    /// There without being asked for; a change replaces it.
    BuiltIn,
    Api,
}

/// A project, and where it was declared.
#[derive(Debug, Clone)]
pub struct KnownProject {
    pub project: Arc<Project>,
    pub managed_by: ManagedBy,
    pub description: String,
    /// The members that were given, of a row.
    pub given: Map<String, Value>,
    /// `None`: it is no row.
    pub created_at: Option<SystemTime>,
    pub changed_at: Option<SystemTime>,
}

/// The member that the configuration does not know.
const DESCRIPTION: &str = "description";
const HIDE_DEFAULT: &str = "hide_default";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Create,
    Replace,
}

impl Settings {
    /// All projects, by name.
    pub async fn projects(&self) -> Result<Vec<KnownProject>, SettingsError> {
        let inner = &self.inner;
        let rows = inner.parts.meta.projects().await?;
        let projects = inner.parts.projects.now();
        let known = projects.iter().map(|project| {
            let row = rows.iter().find(|row| row.name == project.name);
            let managed_by = inner.managed_by(&project.name, row.is_some());
            let row = row.filter(|_| managed_by == ManagedBy::Api);
            let given = row.map(|row| members(&row.members)).unwrap_or_default();
            let description = given.get(DESCRIPTION).and_then(Value::as_str);
            KnownProject {
                project: Arc::clone(project),
                managed_by,
                description: description.unwrap_or_default().to_owned(),
                given,
                created_at: row.map(|row| row.created_at),
                changed_at: row.map(|row| row.changed_at),
            }
        });
        Ok(known.collect())
    }

    /// Makes a project. `members` are those of the API's object, without its name.
    pub async fn project_create(
        &self,
        name: &str,
        members: &Map<String, Value>,
    ) -> Result<(), SettingsError> {
        self.project_write(name, members, Change::Create).await
    }

    /// Changes a project to what `members` say; what they leave out is as by default.
    pub async fn project_replace(
        &self,
        name: &str,
        members: &Map<String, Value>,
    ) -> Result<(), SettingsError> {
        self.project_write(name, members, Change::Replace).await
    }

    async fn project_write(
        &self,
        name: &str,
        members: &Map<String, Value>,
        change: Change,
    ) -> Result<(), SettingsError> {
        let inner = &self.inner;
        let mut revision = inner.turn.lock().await;
        let stored = inner.stored().await?;
        inner.check_change(name, &stored, change)?;
        inner.check_project(name, members, &stored).await?;
        let meta = &inner.parts.meta;
        let text = Value::Object(members.clone()).to_string();
        match change {
            Change::Create => {
                if !meta.project_insert(name, text).await? {
                    return Err(SettingsError::Conflict(already_there(name)));
                }
            }
            Change::Replace => meta.project_put(name, text).await?,
        }
        *revision = inner.load().await?;
        Ok(())
    }

    /// Takes a project away. One that is hosted must be empty; what a mirror has cached goes as room is wanted.
    pub async fn project_delete(&self, name: &str) -> Result<(), SettingsError> {
        let inner = &self.inner;
        let mut revision = inner.turn.lock().await;
        let stored = inner.stored().await?;
        let has_row = stored.projects.iter().any(|row| row.name == name);
        match inner.managed_by(name, has_row) {
            ManagedBy::Configuration => return Err(declared(name)),
            ManagedBy::BuiltIn => {
                let message = format!(
                    "project `{name}` is built in; `builtin = false` in the configuration file drops all of these"
                );
                return Err(SettingsError::Conflict(message));
            }
            ManagedBy::Api if !has_row => return Err(not_there(name)),
            ManagedBy::Api => {}
        }
        let is_mirror = inner.parts.projects.now().is_mirror(name);
        if !is_mirror && inner.has_content(name).await? {
            let message = format!("project `{name}` has repositories; delete these first");
            return Err(SettingsError::Conflict(message));
        }
        inner.parts.meta.project_delete(name).await?;
        *revision = inner.load().await?;
        Ok(())
    }

    /// Makes the hosted project that a push means, by somebody who may. Never one that hides repositories of the default
    /// project: that is `Forbidden`.
    pub async fn project_on_push(&self, name: &Name) -> Result<Arc<Project>, SettingsError> {
        let project = name.first();
        let inner = &self.inner;
        if inner.would_hide(project).await? {
            let message = format!(
                "project `{project}` would hide repositories of the default project, so a system admin must create it"
            );
            return Err(SettingsError::Forbidden(message));
        }
        let hosted = json!({"kind": "hosted"});
        let members = hosted.as_object().expect("it is an object");
        match self.project_create(project, members).await {
            // Somebody else's push was first.
            Ok(()) | Err(SettingsError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
        let projects = inner.parts.projects.now();
        projects
            .get(project)
            .cloned()
            .ok_or_else(|| not_there(project))
    }
}

impl Inner {
    pub(super) fn managed_by(&self, project: &str, has_row: bool) -> ManagedBy {
        let declared = &self.parts.declared;
        if declared.has_project(project) {
            ManagedBy::Configuration
        } else if !has_row && declared.has_builtin(project) {
            ManagedBy::BuiltIn
        } else {
            ManagedBy::Api
        }
    }

    fn check_change(
        &self,
        name: &str,
        stored: &Stored,
        change: Change,
    ) -> Result<(), SettingsError> {
        let has_row = stored.projects.iter().any(|row| row.name == name);
        match (change, self.managed_by(name, has_row)) {
            (_, ManagedBy::Configuration) => Err(declared(name)),
            (Change::Create, ManagedBy::BuiltIn) => {
                Err(SettingsError::Conflict(already_there(name)))
            }
            (Change::Create, ManagedBy::Api) if has_row => {
                Err(SettingsError::Conflict(already_there(name)))
            }
            (Change::Replace, ManagedBy::Api) if !has_row => Err(not_there(name)),
            _ => Ok(()),
        }
    }

    /// Would everything be right with this project among the others?
    async fn check_project(
        &self,
        name: &str,
        members: &Map<String, Value>,
        stored: &Stored,
    ) -> Result<(), SettingsError> {
        let before = self.registries(stored)?;
        let mut rows = self.rows(stored);
        rows.projects.retain(|row| row.name() != name);
        rows.projects.push(row(name, members));
        let after = self.parts.declared.with(&rows)?;
        if let Some(refused) = after.refused.iter().find(|refused| refused.name == name) {
            return Err(SettingsError::refused(&refused.error));
        }
        let harmed = newly_refused(&before, &after);
        if !harmed.is_empty() {
            let message = format!("this is in the way of {}", harmed.join(", "));
            return Err(SettingsError::Conflict(message));
        }
        let mut projects = after.projects.iter();
        let project = projects.find(|project| project.name == name);
        let project = project.ok_or_else(|| not_there(name))?;
        let is_new = self
            .parts
            .projects
            .now()
            .get(name)
            .is_none_or(|now| now.is_mirror());
        if !project.is_mirror() && !project.hide_default && is_new && self.would_hide(name).await? {
            return Err(SettingsError::invalid(
                HIDE_DEFAULT,
                "this project hides repositories of the default project; expected true if that is meant",
            ));
        }
        Ok(())
    }

    /// Are there names that mean repositories of the default project now, and would mean this project's then?
    async fn would_hide(&self, project: &str) -> Result<bool, MetaError> {
        let projects = self.parts.projects.now();
        let Some(default) = projects.default_project() else {
            return Ok(false);
        };
        let is_hub = projects.completes_library(&default.name);
        if is_hub && project == "library" {
            return Ok(true);
        }
        let default = &default.name;
        let hidden = [
            Some(format!("{default}/{project}")),
            is_hub.then(|| format!("{default}/library/{project}")),
        ];
        for prefix in hidden.into_iter().flatten() {
            if self.has_content(&prefix).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Is there a repository of this name, or below it?
    async fn has_content(&self, prefix: &str) -> Result<bool, MetaError> {
        let prefixes = [prefix.to_owned()];
        let found = self.parts.meta.repositories(&prefixes, None, 1).await?;
        Ok(!found.is_empty())
    }
}

/// A row as the configuration reads it.
pub(super) fn row(name: &str, members: &Map<String, Value>) -> Row {
    let mut members = members.clone();
    members.remove(DESCRIPTION);
    Row::new(name, &members, [].into())
}

fn declared(project: &str) -> SettingsError {
    SettingsError::Conflict(format!(
        "project `{project}` is managed by the configuration file; change it there"
    ))
}

fn already_there(project: &str) -> String {
    format!("there is a project `{project}` already")
}

fn not_there(project: &str) -> SettingsError {
    SettingsError::NotFound(format!("there is no project `{project}`"))
}
