//! How many files and connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// The soft limit: how many the process may have open now.
pub(super) fn allowed() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the soft limit to the hard one. Shells and service managers begin at 1024, for the sake of programs that use
/// `select`; each client, fill and connection to a remote takes one.
pub fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => info!(
            limit = maximum,
            "open files are allowed up to the hard limit"
        ),
        Err(error) => warn!(%error, "cannot raise the limit of open files"),
    }
}
