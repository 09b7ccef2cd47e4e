//! `[access]`

use super::Secret;

/// Who may do what, as far as the file says it.
#[derive(Debug, Clone)]
pub struct Access {
    pub admin_password: Option<Secret>,
    pub challenge: Challenge,
    pub anonymous_pull: bool,
}

/// Does `GET /v2/` ask for a login?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    Auto,
    Always,
    Never,
}
