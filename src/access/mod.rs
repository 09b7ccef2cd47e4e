//! Who asks, and who may do what. Layer 1. Decisions are pure (`caller`, `principal`); rows are kept through `meta`.
//!
//! ```text
//! Authorization ── gate ──┬── login            name and password (argon2id), machines' secrets  ─┬─ principals (rows)
//!                         ├── registry_token   what /token gave out  ───────────────────────────┘        │
//!                         └── oidc             tokens of trusted issuers ─────────────────────────────── Caller
//! ```

mod account;
mod accounts;
mod actor;
mod asked_scope;
pub mod caller;
pub mod first_admin;
pub mod gate;
mod grant;
mod htpasswd;
mod login;
mod machine_token;
mod oidc;
mod own_file;
mod password;
pub mod principal;
mod principals;
pub mod projects;
mod registry_token;
pub mod right;
mod secret_key;
mod site;
pub mod source;
mod throttle;
mod visitor;

pub use account::{AccountError, Member, NewToken, NewUser, Token, User};
pub use accounts::Accounts;
pub use actor::Actor;
pub use asked_scope::{AskedScope, scope_text};
pub use caller::Caller;
pub use first_admin::FirstAdmin;
pub use gate::{Gate, GateError, GateParts, IdentifyError, NewSession, Session, SignedIn};
pub use grant::{GrantError, GrantText, read_grants};
pub use htpasswd::{Htpasswd, HtpasswdError};
pub use login::AdminPassword;
pub use machine_token::token_username;
pub use oidc::{FetchError, OidcError, SignIn, SignInError};
pub use own_file::OwnFileError;
pub use password::Busy;
pub use principal::{Grant, Principal, Scope};
pub use principals::ADMIN;
pub use projects::{ProjectSet, Projects};
pub use registry_token::{IssuedToken, SERVICE};
pub use right::{Right, Rights, UnknownRight};
pub use secret_key::SecretKey;
pub use site::Site;
pub use source::{Forwarded, Source};
pub use visitor::Visitor;
