//! What a push may make by itself: the project that it means, and the repository.

use super::{Edge, Listener, error::ApiError};
use crate::{
    access::{Caller, Right},
    oci::Name,
    push::Repository,
    settings::SettingsError,
};

impl Edge {
    /// The repository that a push means, if this caller may push to it. Its project is made if that is how the server is
    /// set, and the caller may push to all of a project of this name.
    pub(super) async fn pushable(
        &self,
        caller: &Caller,
        name: &Name,
        ns: Option<&str>,
    ) -> Result<Repository, ApiError> {
        if ns.is_none() {
            self.make_project(caller, name).await?;
        }
        let repository = self.writable(caller, name, ns, Right::Push)?;
        self.check_created(&repository).await?;
        Ok(repository)
    }

    async fn make_project(&self, caller: &Caller, name: &Name) -> Result<(), ApiError> {
        let project = name.first();
        let may_be_made = self.parts.auto_create_projects
            && self.listener == Listener::Main
            && self.parts.projects.now().get(project).is_none();
        if may_be_made && caller.is_anonymous() {
            // Also where nothing else needs a login: there is nothing yet.
            return Err(ApiError::unauthorized("log in to push"));
        }
        if !may_be_made || !caller.makes_project_of(name) {
            return Ok(());
        }
        match self.parts.settings.project_on_push(name).await {
            Ok(project) => {
                tracing::info!(
                    project = project.name,
                    by = caller.name(),
                    "a push made a project"
                );
                Ok(())
            }
            Err(SettingsError::Meta(error)) => {
                tracing::error!(%error, "cannot make a project: {error}");
                Err(ApiError::internal())
            }
            Err(error) => Err(ApiError::denied(error.to_string())),
        }
    }

    async fn check_created(&self, repository: &Repository) -> Result<(), ApiError> {
        let project = &repository.project;
        if project.is_mirror() || project.auto_create_repositories {
            return Ok(());
        }
        let name = &repository.name;
        match self.parts.meta.repository(name).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(ApiError::denied(format!(
                "repository `{name}` is not there, and project `{}` takes no pushes to repositories that were not created first",
                project.name
            ))),
            Err(error) => {
                tracing::error!(%error, "cannot look for a repository: {error}");
                Err(ApiError::internal())
            }
        }
    }
}
