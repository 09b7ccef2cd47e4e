//! regctl: chunks with `Content-Range`, artifacts that refer to an image, a tag deleted by its name.

use std::process::Command;

use super::crane::Crane;
use super::{digest_in, log_in_and_pull, log_in_and_push};
use crate::harness::{Client, Hosting, Recipe, run};

const SBOM_TYPE: &str = "application/vnd.example.sbom";
const SBOM: &str = "what is in it\n";

#[test]
fn regctl_pushes_an_image_in_chunks_and_artifacts_that_refer_to_it() {
    let hosting = Hosting::start();
    let crane = Crane::new(&hosting);
    let recipe = Recipe::write(crane.client.home(), "app");
    let archive = crane.archive(&recipe);
    let app = hosting.reference("app:1");

    let here = Regctl::new(&hosting);
    log_in_and_push(
        |password| here.log_in(password),
        || here.command(&["image", "import", &app, &archive]),
    );
    let digest = digest_in(&run(&mut here.command(&["image", "digest", &app])));
    hosting.assert_arrived("app:1", &digest);

    let file = here.client.write("sbom.txt", SBOM).display().to_string();
    let mut put = here.command(&["artifact", "put", "--artifact-type", SBOM_TYPE]);
    put.args(["--file-media-type", "text/plain", "--file", &file]);
    run(put.args(["--subject", &app]));

    let elsewhere = Regctl::new(&hosting);
    let by_type = ["--filter-artifact-type", SBOM_TYPE];
    let got = log_in_and_pull(
        |password| elsewhere.log_in(password),
        || {
            let mut get = elsewhere.command(&["artifact", "get", "--subject", &app]);
            get.args(by_type);
            get
        },
    );
    assert_eq!(got, SBOM);
    // By the API alone: no tag made of the digest was needed.
    let mut list = elsewhere.command(&["artifact", "list", "--digest-tags=false", &app]);
    list.args([
        "--format",
        "{{range .Descriptors}}{{println .Digest}}{{end}}",
    ]);
    assert_eq!(run(&mut list).lines().count(), 1);
    let repository = hosting.reference("app");
    let tags = || run(&mut elsewhere.command(&["tag", "ls", &repository]));
    assert_eq!(tags(), "1\n");

    let (layout, copied) = (
        format!("ocidir://{}:1", elsewhere.client.path("layout")),
        hosting.reference("copied:1"),
    );
    run(&mut elsewhere.command(&["image", "copy", "--referrers", &app, &layout]));
    run(&mut elsewhere.command(&["image", "copy", "--referrers", &layout, &copied]));
    hosting.assert_arrived("copied:1", &digest);
    let mut get = elsewhere.command(&["artifact", "get", "--subject", &copied]);
    assert_eq!(run(get.args(by_type)), SBOM);

    run(&mut elsewhere.command(&["tag", "delete", &app]));
    assert_eq!(tags(), "");
}

struct Regctl<'a> {
    client: Client,
    hosting: &'a Hosting,
}

impl<'a> Regctl<'a> {
    /// Layers of some MiB go in chunks of a quarter of one.
    fn new(hosting: &'a Hosting) -> Self {
        let client = Client::new();
        let host = hosting.host();
        let mut set = client.command("regctl");
        set.args(["registry", "set", "--skip-check", "--tls", "disabled"]);
        run(set.args(["--blob-max", "262144", "--blob-chunk", "262144", &host]));
        Self { client, hosting }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut regctl = self.client.command("regctl");
        regctl.args(arguments);
        regctl
    }

    fn log_in(&self, password: &str) -> Command {
        let host = self.hosting.host();
        self.command(&["registry", "login", "-u", "admin", "-p", password, &host])
    }
}
