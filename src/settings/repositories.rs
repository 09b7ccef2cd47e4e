//! Repositories: made before their first push, and given a visibility of their own.

use super::{Settings, SettingsError};
use crate::{config::Visibility, oci::Name};

impl Settings {
    /// Makes a repository of a hosted project. `visibility`: `None` is as the project says.
    pub async fn repository_create(
        &self,
        name: &Name,
        visibility: Option<Visibility>,
    ) -> Result<(), SettingsError> {
        let mut revision = self.inner.turn.lock().await;
        let meta = &self.inner.parts.meta;
        if !meta.repository_create(name, visibility).await? {
            let message = format!("there is a repository `{name}` already");
            return Err(SettingsError::Conflict(message));
        }
        *revision = self.inner.load().await?;
        Ok(())
    }

    /// A repository whose content was deleted is not there any more, and has no visibility of its own.
    pub async fn repository_forget(&self, name: &Name) -> Result<(), SettingsError> {
        let mut revision = self.inner.turn.lock().await;
        self.inner.parts.meta.repository_forget(name).await?;
        *revision = self.inner.load().await?;
        Ok(())
    }

    /// Gives a repository a visibility of its own, or (`None`) its project's again.
    pub async fn repository_visibility(
        &self,
        name: &Name,
        visibility: Option<Visibility>,
    ) -> Result<(), SettingsError> {
        let mut revision = self.inner.turn.lock().await;
        let meta = &self.inner.parts.meta;
        if !meta.repository_visibility_put(name, visibility).await? {
            let message = format!("there is no repository `{name}`");
            return Err(SettingsError::NotFound(message));
        }
        *revision = self.inner.load().await?;
        Ok(())
    }
}
