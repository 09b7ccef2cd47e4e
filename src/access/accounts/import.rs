//! What an htpasswd file says becomes users.

use std::{collections::HashSet, time::SystemTime};

use super::Accounts;
use crate::{
    access::{AccountError, Actor, Source, grant::to_json, htpasswd::Line},
    config::Secret,
    meta::{AccountChange, AccountRow},
};

const IMPORT_PAGE: u32 = 1000;

impl Accounts {
    /// Takes over what an htpasswd file says; how many users that changed. One that is no longer in it can no longer log in,
    /// and keeps what rights it has for when it comes back.
    pub(in crate::access) async fn import(&self, lines: Vec<Line>) -> Result<usize, AccountError> {
        let actor = Actor {
            name: "htpasswd".to_owned(),
            source: Source::UNKNOWN,
        };
        let mut changed = 0;
        let mut listed = HashSet::new();
        for (name, hash) in lines {
            changed += usize::from(self.import_one(&actor, &name, hash).await?);
            listed.insert(name);
        }
        let mut after = String::new();
        loop {
            let page = self.0.meta.accounts(&after, IMPORT_PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(changed);
            };
            after.clone_from(&last.name);
            let gone = |row: &&AccountRow| {
                row.is_imported && row.password.is_some() && !listed.contains(&row.name)
            };
            for row in page.iter().filter(gone) {
                let audit = actor.entry("user.password", &row.name, None);
                let change = AccountChange::Imported(None);
                self.change(&row.name, change, audit).await?;
                changed += 1;
            }
        }
    }

    async fn import_one(
        &self,
        actor: &Actor,
        name: &str,
        hash: Secret,
    ) -> Result<bool, AccountError> {
        let Some(row) = self.0.meta.account(name).await? else {
            let row = AccountRow {
                name: name.to_owned(),
                password: Some(hash),
                is_admin: false,
                rights: to_json(&[]),
                is_imported: true,
                created_at: SystemTime::now(),
            };
            let audit = actor.entry("user.create", name, None);
            return Ok(self.0.meta.account_create(row, audit).await?);
        };
        if !row.is_imported {
            tracing::warn!(
                user = name,
                "the htpasswd file has a user that was made here; it stays as it is"
            );
            return Ok(false);
        }
        let kept = row.password.as_ref().map(Secret::expose);
        if kept == Some(hash.expose()) {
            return Ok(false);
        }
        let audit = actor.entry("user.password", name, None);
        let change = AccountChange::Imported(Some(hash));
        self.change(name, change, audit).await?;
        Ok(true)
    }
}
