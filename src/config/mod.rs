//! The configuration: read once, validated into usable types, never read again. Layer 0.
//! Errors name the key, the file and what is allowed. The contract of names and meanings is `config/entrepot.toml`.

pub mod access;
mod builtin;
pub mod cloud;
pub mod cluster;
pub mod credentials;
pub mod database;
pub mod declared;
pub mod error;
pub mod hours;
pub mod load;
pub mod log;
pub mod object_storage;
pub mod oidc;
pub mod pattern;
pub mod project;
pub mod remote;
pub mod replication;
pub mod repository_options;
pub mod secret;
pub mod secrets;
mod section;
pub mod server;
pub mod storage;
pub mod traces;
mod tree;
pub mod upkeep;
mod value;
pub mod webhook;

pub use access::{Access, Challenge};
pub use cluster::Cluster;
pub use credentials::{AccessKey, Cloud, Credentials, DockerConfig, Variables};
pub use database::{Database, PostgresUrl};
pub use declared::{Declared, Refused, Registries, Row, Rows};
pub use error::ConfigError;
pub use hours::Hours;
pub use load::load;
pub use log::{Log, LogFormat};
pub use object_storage::{ObjectService, ObjectStorage};
pub use oidc::{Oidc, OidcRight};
pub use pattern::Pattern;
pub use project::{
    Freshness, FreshnessMode, Project, ProjectKind, Retention, StaleIfError, Visibility,
};
pub use remote::{Provider, Remote};
pub use replication::Replication;
pub use repository_options::{EncryptionType, RepositoryOptions, TagMutability};
pub use secret::Secret;
pub use secrets::Secrets;
pub use server::{Server, TlsFiles};
pub use storage::Storage;
pub use traces::Traces;
pub use upkeep::Upkeep;
pub use webhook::Webhook;

/// Everything the process was told, validated.
#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    pub storage: Storage,
    pub database: Database,
    pub secrets: Secrets,
    /// The other replicas, if there are any.
    pub cluster: Option<Cluster>,
    pub remotes: Vec<Remote>,
    pub projects: Vec<Project>,
    /// The same remotes and projects as the file says them, to be laid beside rows.
    pub declared: Declared,
    /// `mirror.offline`: never dial a remote.
    pub offline: bool,
    pub access: Access,
    pub replication: Replication,
    /// Who is told of what happens.
    pub webhooks: Vec<Webhook>,
    pub upkeep: Upkeep,
    pub log: Log,
    /// Where traces go, by OpenTelemetry's standard variables; `None`: nowhere.
    pub traces: Option<Traces>,
    /// Variables of OpenTelemetry that are set and that this server does not go by; told at start.
    pub without_effect: Vec<String>,
}
