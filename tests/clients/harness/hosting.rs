//! Entrepot as a registry of its own, with one project, which nobody but its admin may see.

use std::net::SocketAddr;

use tempfile::TempDir;

use super::mirror::Mirror;
use super::process::run;
use super::tools::Client;

/// Of the user `admin`.
pub(crate) const PASSWORD: &str = "admin's own password";

/// Settings of a private project `team` and of its admin's login.
pub(crate) const SETTINGS: &str = "[access]\nadmin_password = \"admin's own password\"\n\
     [[project]]\nname = \"team\"\nkind = \"hosted\"\nvisibility = \"private\"\n";

pub(crate) struct Hosting {
    server: Mirror,
    /// Last, so that it outlives the server.
    _folder: TempDir,
}

impl Hosting {
    pub(crate) fn start() -> Self {
        Self::with(SETTINGS)
    }

    /// With these settings.
    pub(crate) fn with(settings: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("entrepot-hosting-")
            .tempdir()
            .expect("a temporary folder");
        Self {
            server: Mirror::start(folder.path(), &[], settings),
            _folder: folder,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// As it stands before the names of repositories.
    pub(crate) fn host(&self) -> String {
        self.address().to_string()
    }

    /// A repository of the project, with a tag or without, as clients write it.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/team/{name}", self.host())
    }

    /// Somebody else with another program (regctl) gets all that the tag stands for, each platform, and verifies it.
    #[track_caller]
    pub(crate) fn assert_arrived(&self, name: &str, digest: &str) {
        let elsewhere = Client::new();
        let regctl = |arguments: &[&str]| {
            let mut regctl = elsewhere.command("regctl");
            run(regctl.args(arguments))
        };
        let (host, reference) = (self.host(), self.reference(name));
        let layout = format!("ocidir://{}:1", elsewhere.path("layout"));
        regctl(&[
            "registry",
            "set",
            "--skip-check",
            "--tls",
            "disabled",
            &host,
        ]);
        regctl(&["registry", "login", "-u", "admin", "-p", PASSWORD, &host]);
        regctl(&["image", "copy", &reference, &layout]);
        let arrived = regctl(&["image", "digest", &layout]);
        assert_eq!(arrived.trim(), digest, "{reference}");
    }
}
