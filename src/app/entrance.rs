//! Who may come in: the first admin, users, their tokens, and the file of users.

use std::sync::Arc;

use super::StartError;
use crate::{
    access::{
        ADMIN, Accounts, AdminPassword, FirstAdmin, Gate, GateParts, Htpasswd, Projects, SecretKey,
    },
    client,
    config::{Config, Secret},
    meta::Meta,
};

/// What decides who may.
pub(super) struct Entrance {
    pub(super) gate: Arc<Gate>,
    pub(super) accounts: Accounts,
    /// `access.htpasswd`, which was read, and is read again whenever it changes.
    pub(super) htpasswd: Option<Htpasswd>,
    /// The admin's, when it was made just now.
    pub(super) new_password: Option<Secret>,
}

impl Entrance {
    pub(super) async fn open(
        config: &Config,
        meta: &Meta,
        projects: &Projects,
        key: &Arc<SecretKey>,
    ) -> Result<Self, StartError> {
        let (admin, new_password) = first_admin(config, meta).await?;
        let gate = Gate::open(GateParts {
            access: &config.access,
            issuer_tls: client::usual_tls(),
            admin_password: admin.clone(),
            projects: projects.clone(),
            meta: meta.clone(),
            secret_key: Arc::clone(key),
        });
        let accounts = Accounts::new(meta.clone(), admin);
        let mut htpasswd = config
            .access
            .htpasswd
            .as_ref()
            .map(|path| Htpasswd::new(path.clone(), accounts.clone()));
        if let Some(htpasswd) = &mut htpasswd {
            // Whoever comes first can log in.
            htpasswd.run_once().await;
        }
        Ok(Self {
            gate: Arc::new(gate.await?),
            htpasswd,
            accounts,
            new_password,
        })
    }
}

/// Reads the file of users, if there is one, and changes nothing.
pub(super) fn check(config: &Config) -> Result<(), StartError> {
    match &config.access.htpasswd {
        Some(path) => Ok(Htpasswd::check(path)?),
        None => Ok(()),
    }
}

/// Sees to it that the user `admin` has a password; gives it a second time when it is new.
async fn first_admin(
    config: &Config,
    meta: &Meta,
) -> Result<(Option<AdminPassword>, Option<Secret>), StartError> {
    if let Some(password) = &config.access.admin_password {
        let configured = AdminPassword {
            password: password.clone(),
            is_configured: true,
        };
        return Ok((Some(configured), None));
    }
    let set = meta.account(ADMIN).await?;
    if set.is_some_and(|row| row.password.is_some()) {
        return Ok((None, None));
    }
    let admin = FirstAdmin::open(&config.storage.path)?;
    let new = admin.is_new.then(|| admin.password.clone());
    let made = AdminPassword {
        password: admin.password,
        is_configured: false,
    };
    Ok((Some(made), new))
}
