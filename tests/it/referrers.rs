//! Referrers: by the remote's API or its tag schema, filtered here, kept.

use serde_json::Value;

use crate::{
    harness::{Answer, FakeRegistry, Fault, Image, ImageBuilder, On, Referrers, get, media_type},
    server::{Setup, TestServer},
};

const SBOM: &str = "application/vnd.example.sbom";
const SIGNATURE: &str = "application/vnd.example.signature+json";

struct Scene {
    hub: FakeRegistry,
    server: TestServer,
    subject: Image,
    sbom: Image,
    signature: Image,
}

impl Scene {
    async fn new(how: Referrers) -> Self {
        Self::under(how, "").await
    }

    /// With this table of freshness.
    async fn under(how: Referrers, rule: &str) -> Self {
        let hub = FakeRegistry::builder().referrers(how).start().await;
        let subject = ImageBuilder::new(1).layer(64).build();
        let sbom = ImageBuilder::artifact(2, SBOM, &subject)
            .annotation("org.example", "1")
            .build();
        let signature = ImageBuilder::artifact(3, SIGNATURE, &subject).build();
        hub.put_image("library/app", "1", &subject);
        hub.put_untagged("library/app", &sbom);
        hub.put_untagged("library/app", &signature);
        let keys = "provider = \"docker-hub\"\nheader_timeout = \"900ms\"";
        let server = Setup::empty()
            .remote("docker.io", hub.url(), keys)
            .project("docker.io", "docker.io", &format!("default = true\n{rule}"))
            .start()
            .await;
        Self {
            hub,
            server,
            subject,
            sbom,
            signature,
        }
    }

    async fn ask(&self, query: &str) -> Answer {
        let digest = &self.subject.root;
        get(&format!(
            "{}/v2/library/app/referrers/{digest}{query}",
            self.server.url()
        ))
        .await
    }
}

/// The digests of an index, sorted.
fn digests(answer: &Answer) -> Vec<String> {
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    assert_eq!(answer.header("content-type"), media_type::OCI_INDEX);
    let index = answer.json();
    assert_eq!(
        (&index["schemaVersion"], &index["mediaType"]),
        (&2.into(), &media_type::OCI_INDEX.into())
    );
    let manifests = index["manifests"].as_array().expect("a list");
    let mut digests: Vec<_> = manifests
        .iter()
        .map(|one| one["digest"].as_str().expect("a digest").to_owned())
        .collect();
    digests.sort();
    digests
}

fn sorted<const N: usize>(images: [&Image; N]) -> Vec<String> {
    let mut digests: Vec<_> = images.iter().map(|image| image.root.clone()).collect();
    digests.sort();
    digests
}

#[tokio::test]
async fn referrers_are_listed_filtered_and_kept() {
    for how in [
        Referrers::Filtering,
        Referrers::Unfiltered,
        Referrers::ByTag,
    ] {
        let scene = Scene::new(how).await;
        let all = scene.ask("").await;
        assert_eq!(
            digests(&all),
            sorted([&scene.sbom, &scene.signature]),
            "{how:?}"
        );
        assert!(!all.headers.contains_key("oci-filters-applied"));
        assert_eq!(all.header("x-cache"), "miss");
        let asked = scene.hub.count(On::any());
        let filtered = scene.ask(&format!("?artifactType={SBOM}")).await;
        assert_eq!(digests(&filtered), sorted([&scene.sbom]), "{how:?}");
        assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
        assert_eq!(filtered.header("x-cache"), "hit");
        let encoded = SIGNATURE.replace('+', "%2B");
        let filtered = scene.ask(&format!("?artifactType={encoded}")).await;
        assert_eq!(digests(&filtered), sorted([&scene.signature]), "{how:?}");
        assert!(digests(&scene.ask("?artifactType=other/type").await).is_empty());
        assert_eq!(scene.hub.count(On::any()), asked, "{how:?}");
    }
}

#[tokio::test]
async fn a_filtered_question_first_does_not_narrow_what_is_kept() {
    let scene = Scene::new(Referrers::Filtering).await;
    assert_eq!(
        digests(&scene.ask(&format!("?artifactType={SBOM}")).await),
        sorted([&scene.sbom])
    );
    assert_eq!(
        digests(&scene.ask("").await),
        sorted([&scene.sbom, &scene.signature])
    );
    assert_eq!(scene.hub.count(On::referrers()), 1);
}

#[tokio::test]
async fn descriptors_keep_type_size_and_annotations() {
    let scene = Scene::new(Referrers::Filtering).await;
    let index = scene.ask(&format!("?artifactType={SBOM}")).await.json();
    let found: &Value = &index["manifests"][0];
    assert_eq!(found["artifactType"], SBOM);
    assert_eq!(found["size"], scene.sbom.root_manifest().bytes.len());
    assert_eq!(
        found["mediaType"],
        scene.sbom.root_manifest().media_type.as_str()
    );
    assert_eq!(found["annotations"]["org.example"], "1");
}

#[tokio::test]
async fn the_tag_schema_is_the_fallback() {
    let scene = Scene::new(Referrers::ByTag).await;
    assert_eq!(
        digests(&scene.ask("").await),
        sorted([&scene.sbom, &scene.signature])
    );
    let tag = scene.subject.root.replace(':', "-");
    assert_eq!(scene.hub.count(On::manifest().reference(&tag)), 1);
    // Clients that know the schema themselves get it by the tag.
    let answer = get(&scene.server.manifest_url("library/app", &tag)).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, media_type::OCI_INDEX)
    );
}

#[tokio::test]
async fn no_referrers_are_an_empty_list() {
    for how in [
        Referrers::Filtering,
        Referrers::Unfiltered,
        Referrers::ByTag,
    ] {
        let scene = Scene::new(how).await;
        let digest = format!("sha256:{}", "0".repeat(64));
        let url = format!("{}/v2/library/app/referrers/{digest}", scene.server.url());
        assert!(digests(&get(&url).await).is_empty(), "{how:?}");
        let asked = scene.hub.count(On::any());
        let again = get(&format!("{url}?artifactType={SBOM}")).await;
        assert!(digests(&again).is_empty());
        assert_eq!(again.header("oci-filters-applied"), "artifactType");
        assert_eq!(scene.hub.count(On::any()), asked, "{how:?}: kept too");
    }
}

#[tokio::test]
async fn subjects_that_clients_make_up_leave_no_rows() {
    let mut scene = Scene::new(Referrers::ByTag).await;
    assert_eq!(digests(&scene.ask("").await).len(), 2);
    for repository in ["library/app", "made/up"] {
        let digest = format!("sha256:{}", "0".repeat(64));
        let url = format!("{}/v2/{repository}/referrers/{digest}", scene.server.url());
        assert!(digests(&get(&url).await).is_empty());
    }
    scene.server.stop().await;
    let file = scene.server.folder.path().join("data/entrepot.db");
    let bytes = std::fs::read(file).expect("the database");
    let holds = |text: &str| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(
        holds(&scene.subject.root),
        "a subject that has referrers is kept"
    );
    assert!(!holds(&"0".repeat(64)) && !holds("made/up"));
}

#[tokio::test]
async fn a_remote_that_is_down_is_no_empty_list() {
    let scene = Scene::new(Referrers::Filtering).await;
    scene.hub.fault_always(On::any(), Fault::status(503));
    let answer = scene.ask("").await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (503, "UNAVAILABLE")
    );
    scene.hub.clear_faults();
    assert_eq!(digests(&scene.ask("").await).len(), 2);
}

#[tokio::test]
async fn a_garbled_answer_is_no_empty_list() {
    let always = "[[project.freshness]]\ntags = \"**\"\nmode = \"always\"";
    for fault in [
        Fault::EmptyBody,
        Fault::GarbageJson,
        Fault::WrongBody("{}".into()),
        Fault::Redirect("http://169.254.169.254/".to_owned()),
        Fault::HtmlPage,
    ] {
        let scene = Scene::under(Referrers::Filtering, always).await;
        if !matches!(fault, Fault::HtmlPage) {
            scene.hub.fault(On::referrers(), fault.clone());
            let cold = scene.ask("").await;
            assert_eq!((cold.status, &*cold.error_code()), (502, "UNAVAILABLE"));
        }
        assert_eq!(digests(&scene.ask("").await).len(), 2);
        scene.hub.fault_times(On::referrers(), 2, fault.clone());
        for _ in 0..2 {
            let answer = scene.ask("").await;
            assert_eq!(digests(&answer).len(), 2, "{fault:?}");
            assert_eq!(answer.header("x-cache"), "stale", "{fault:?}");
        }
        let answer = scene.ask("").await;
        assert_eq!(digests(&answer).len(), 2, "{fault:?}");
        assert_eq!(answer.header("x-cache"), "miss", "{fault:?}");
    }
}

#[tokio::test]
async fn a_registry_that_shows_a_page_in_place_of_the_api_has_no_referrers() {
    let always = "[[project.freshness]]\ntags = \"**\"\nmode = \"always\"";
    let scene = Scene::under(Referrers::Filtering, always).await;
    scene.hub.fault_always(On::referrers(), Fault::HtmlPage);
    for _ in 0..2 {
        let answer = scene.ask("").await;
        assert_eq!(
            (digests(&answer).len(), answer.header("x-cache")),
            (0, "miss")
        );
    }
}

#[tokio::test]
async fn referrers_are_pulled_like_any_manifest() {
    let scene = Scene::new(Referrers::Filtering).await;
    for digest in digests(&scene.ask("?ns=docker.io").await) {
        let answer = get(&scene.server.manifest_url("library/app", &digest)).await;
        assert_eq!(
            (answer.status, answer.header("docker-content-digest")),
            (200, digest.as_str())
        );
    }
}
