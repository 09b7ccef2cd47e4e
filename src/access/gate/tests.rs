mod tokens;

use std::sync::Arc;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::{
    access::{Accounts, Actor, GrantText, NewToken, NewUser, ProjectSet, Right},
    config::{self, Database, Secret, Visibility},
    oci::Name,
};

/// A gate with its own database.
struct Entrance {
    gate: Gate,
    accounts: Accounts,
    folder: TempDir,
}

impl Entrance {
    async fn open() -> Self {
        Self::open_with("").await
    }

    /// `toml` is of a configuration file.
    async fn open_with(toml: &str) -> Self {
        Self::open_at(tempfile::tempdir().unwrap(), toml).await
    }

    async fn open_at(folder: TempDir, toml: &str) -> Self {
        let file = folder.path().join("entrepot.toml");
        std::fs::write(&file, toml).unwrap();
        let config = config::load(Some(&file), []).unwrap();
        let database = Database::Sqlite(folder.path().join("entrepot.db"));
        let meta = Meta::open(&database).await.unwrap();
        let admin = AdminPassword {
            password: Secret::new("s3cret:with colon".to_owned()),
            is_configured: false,
        };
        let gate = Gate::open(GateParts {
            access: &config.access,
            issuer_tls: no_tls(),
            admin_password: Some(admin.clone()),
            projects: Projects::new(ProjectSet::new(config.projects, &config.remotes)),
            meta: meta.clone(),
            secret_key: Arc::new(SecretKey::open(folder.path(), None).unwrap()),
        });
        Self {
            gate: gate.await.unwrap(),
            accounts: Accounts::new(meta, Some(admin)),
            folder,
        }
    }

    async fn restart(self) -> Self {
        self.gate.meta.close().await;
        Self::open_at(self.folder, "").await
    }

    async fn show(&self, authorization: &str) -> Result<Caller, IdentifyError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        self.gate.identify(&headers, source(1)).await
    }

    async fn log_in(&self, name: &str, password: &str) -> Result<Caller, IdentifyError> {
        let login = BASE64_STANDARD.encode(format!("{name}:{password}"));
        self.show(&format!("Basic {login}")).await
    }

    async fn is_wrong(&self, name: &str, password: &str) -> bool {
        let outcome = self.log_in(name, password).await;
        matches!(outcome, Err(IdentifyError::Wrong { .. }))
    }

    async fn add_user(&self, name: &str, password: &str, rights: &[GrantText]) {
        let new = NewUser {
            name: name.to_owned(),
            password: Some(Secret::new(password.to_owned())),
            is_admin: false,
            rights: rights.to_vec(),
        };
        self.accounts.create_user(&admin(), new).await.unwrap();
    }

    /// User name and secret.
    async fn add_token(&self, owner: &str, rights: Option<&[GrantText]>) -> (Uuid, String, String) {
        let new = NewToken {
            name: "ci".to_owned(),
            rights: rights.map(<[_]>::to_vec),
            expires_in: None,
        };
        let actor = Actor {
            name: owner.to_owned(),
            source: source(1),
        };
        let (token, secret) = self.accounts.create_token(&actor, new).await.unwrap();
        (token.id, token.username, secret.expose().to_owned())
    }
}

/// Nobody is trusted.
fn no_tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

fn source(last: u8) -> Source {
    Source::of([192, 0, 2, last].into())
}

fn admin() -> Actor {
    Actor {
        name: "admin".to_owned(),
        source: source(1),
    }
}

fn grant(project: &str, rights: &[&str]) -> GrantText {
    GrantText {
        project: project.to_owned(),
        repositories: "**".to_owned(),
        rights: rights.iter().map(|&right| right.to_owned()).collect(),
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn holds(caller: &Caller, right: Right, repository: &str) -> bool {
    caller.may_at(right, Visibility::Private, &name(repository))
}

#[tokio::test]
async fn without_credentials_a_caller_is_anonymous() {
    let entrance = Entrance::open().await;
    let nothing = entrance.gate.identify(&HeaderMap::new(), source(1)).await;
    assert!(nothing.unwrap().is_anonymous());
    assert!(entrance.log_in("", "").await.unwrap().is_anonymous());
}

#[tokio::test]
async fn the_admin_is_known_by_name_and_password() {
    let entrance = Entrance::open().await;
    let right = entrance.log_in("admin", "s3cret:with colon").await;
    assert!(right.unwrap().is_admin());
    for (name, password) in [
        ("admin", "s3cret"),
        ("admin", ""),
        ("root", "s3cret:with colon"),
    ] {
        assert!(entrance.is_wrong(name, password).await, "{name}:{password}");
    }
    for garbage in ["Basic ???", "Basic", "Digest abc"] {
        assert!(entrance.show(garbage).await.is_err(), "{garbage}");
    }
    let token = entrance.show("Bearer abc").await;
    assert!(matches!(token, Err(IdentifyError::BadToken)));
}

#[tokio::test]
async fn a_user_may_what_the_rows_say_at_that_moment() {
    let entrance = Entrance::open().await;
    entrance
        .add_user("ann", "ann's password", &[grant("team", &["pull"])])
        .await;
    let ann = async || entrance.log_in("ann", "ann's password").await.unwrap();
    assert!(holds(&ann().await, Right::Pull, "team/app"));
    assert!(!holds(&ann().await, Right::Push, "team/app"));
    let more = [grant("team", &["push"])];
    let accounts = &entrance.accounts;
    accounts
        .set_rights(&admin(), "ann", false, &more)
        .await
        .unwrap();
    assert!(!holds(&ann().await, Right::Pull, "team/app"));
    assert!(holds(&ann().await, Right::Push, "team/app"));
    accounts
        .set_rights(&admin(), "ann", true, &[])
        .await
        .unwrap();
    assert!(ann().await.is_admin());
}

#[tokio::test]
async fn an_old_password_and_a_deleted_user_open_nothing_from_then_on() {
    let entrance = Entrance::open().await;
    entrance.add_user("ann", "first password", &[]).await;
    assert!(entrance.log_in("ann", "first password").await.is_ok());
    let second = Secret::new("second password".to_owned());
    let accounts = &entrance.accounts;
    accounts
        .set_password(&admin(), "ann", &second)
        .await
        .unwrap();
    assert!(entrance.is_wrong("ann", "first password").await);
    assert!(entrance.log_in("ann", "second password").await.is_ok());
    accounts.delete_user(&admin(), "ann").await.unwrap();
    assert!(entrance.is_wrong("ann", "second password").await);
}

#[tokio::test]
async fn the_first_admins_password_can_be_set_and_then_is_the_only_one() {
    let entrance = Entrance::open().await;
    let chosen = Secret::new("chosen password".to_owned());
    let accounts = &entrance.accounts;
    accounts
        .set_password(&admin(), "admin", &chosen)
        .await
        .unwrap();
    assert!(entrance.is_wrong("admin", "s3cret:with colon").await);
    let admin = entrance.log_in("admin", "chosen password").await.unwrap();
    assert!(admin.is_admin());
}

#[tokio::test]
async fn guessing_is_slowed_and_the_right_password_of_others_is_not() {
    let entrance = Entrance::open().await;
    entrance.add_user("ann", "ann's password", &[]).await;
    assert!(entrance.log_in("ann", "ann's password").await.is_ok());
    for _ in 0..5 {
        assert!(entrance.is_wrong("admin", "guess").await);
    }
    let slowed = entrance.log_in("admin", "s3cret:with colon").await;
    assert!(matches!(slowed, Err(IdentifyError::Slowed { .. })));
    assert!(entrance.log_in("ann", "ann's password").await.is_ok());
    let elsewhere = entrance
        .gate
        .login("admin", "s3cret:with colon", source(2))
        .await;
    assert!(elsewhere.unwrap().is_admin());
}

#[tokio::test]
async fn logins_and_changes_are_in_the_audit_and_a_flood_is_not() {
    let entrance = Entrance::open().await;
    for _ in 0..3 {
        entrance.log_in("admin", "s3cret:with colon").await.unwrap();
    }
    for _ in 0..4 {
        let _ = entrance.log_in("eve", "guess").await;
    }
    entrance.add_user("ann", "ann's password", &[]).await;
    let rows = entrance.accounts.audits(None, 100).await.unwrap();
    let told: Vec<_> = rows
        .iter()
        .rev()
        .map(|row| {
            let entry = &row.entry;
            format!(
                "{} {} {} {}",
                entry.principal, entry.action, entry.subject, entry.outcome
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "admin login  done",
            "eve login  wrong",
            "eve login  wrong",
            "eve login  wrong",
            "admin user.create ann done",
        ]
    );
    assert_eq!(rows[0].entry.source.as_deref(), Some("192.0.2.1"));
    let text = format!("{rows:?}");
    assert!(
        !text.contains("password'") && !text.contains("argon2"),
        "{text}"
    );
}

#[tokio::test]
async fn a_login_is_asked_for_once_something_needs_a_right() {
    let hosted = "[[project]]\nname = \"team\"\nkind = \"hosted\"\nvisibility = \"public\"\n";
    for (toml, expected) in [
        ("", false),
        ("[access]\nchallenge = \"always\"", true),
        (hosted, true),
        ("[access]\nanonymous_pull = false", true),
    ] {
        let entrance = Entrance::open_with(toml).await;
        assert_eq!(entrance.gate.challenges(), expected, "{toml}");
    }
    let never = format!("{hosted}[access]\nchallenge = \"never\"");
    assert!(!Entrance::open_with(&never).await.gate.challenges());
}

#[tokio::test]
async fn a_login_is_asked_for_once_there_is_a_user() {
    let entrance = Entrance::open().await;
    entrance.add_user("ann", "ann's password", &[]).await;
    let _ = entrance.gate.identify(&HeaderMap::new(), source(1)).await;
    assert!(entrance.gate.challenges());
}

#[tokio::test]
async fn without_anonymous_pull_only_those_who_log_in_are_admitted() {
    let entrance = Entrance::open_with("[access]\nanonymous_pull = false").await;
    assert!(!entrance.gate.admits(&Caller::Anonymous));
    assert!(entrance.gate.admits(&Caller::admin()));
}

#[tokio::test]
async fn users_of_an_htpasswd_file_come_change_and_go_with_it() {
    let entrance = Entrance::open().await;
    let hash = |password| Secret::new(bcrypt::hash(password, 4).unwrap());
    let accounts = &entrance.accounts;
    let import = async |lines: Vec<(&str, Secret)>| {
        let lines = lines.into_iter();
        let lines = lines.map(|(name, hash)| (name.to_owned(), hash)).collect();
        accounts.import(lines).await.unwrap()
    };
    let (ann, bob) = (hash("ann's"), hash("bob's"));
    assert_eq!(import(vec![("ann", ann.clone()), ("bob", bob)]).await, 2);
    assert!(entrance.log_in("ann", "ann's").await.is_ok());
    assert_eq!(import(vec![("ann", ann)]).await, 1);
    assert!(entrance.is_wrong("bob", "bob's").await);
    assert_eq!(import(vec![("ann", hash("newer"))]).await, 1);
    assert!(entrance.is_wrong("ann", "ann's").await);
    assert!(entrance.log_in("ann", "newer").await.is_ok());
    let managed = accounts
        .set_password(&admin(), "ann", &Secret::new("long enough".to_owned()))
        .await;
    assert!(managed.is_err());
}
