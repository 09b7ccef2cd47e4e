//! Content is visible in a repository by a right of its own: nobody's bytes leak by their digest.

use bytes::Bytes;
use http::Method;

use crate::{
    fill::{KIB, MIB, until_hit},
    harness::{
        Answer, Client, FakeRegistry, Fault, ImageBuilder, On, SlowReader, basic, drain_sha256,
        get, get_range, head, random_bytes,
    },
    server::{Setup, TestServer, on_both},
};

on_both! {
    a_stored_blob_is_not_there_for_a_repository_whose_remote_does_not_have_it,
    a_running_fill_is_not_there_for_a_repository_whose_remote_does_not_have_it,
    a_remote_that_refuses_or_is_down_proves_no_right,
    a_stored_blob_costs_a_repository_whose_remote_has_it_one_head,
    a_running_fill_is_joined_by_a_repository_whose_remote_has_it,
    a_joined_repository_goes_on_with_its_own_remote_when_the_others_fails_at_once,
    a_manifest_that_names_a_stored_blob_is_right_enough,
    a_manifest_that_names_what_only_a_private_project_has_is_no_key_to_it,
    a_manifest_that_names_what_only_a_private_repository_has_is_no_key_to_it,
    an_index_that_names_a_private_manifest_is_no_key_to_it,
    a_manifest_that_came_from_elsewhere_names_nothing_here,
    a_stored_manifest_costs_a_repository_whose_remote_has_it_one_head,
    a_child_of_an_index_of_ones_own_is_adopted_without_asking,
}

/// Two teams with a remote each, behind one mirror. Team a has the blob.
struct Teams {
    a: FakeRegistry,
    b: FakeRegistry,
    server: TestServer,
    bytes: Bytes,
    digest: String,
}

impl Teams {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With these keys of team a's project.
    async fn with(keys_a: &str) -> Self {
        let (a, b) = (FakeRegistry::start().await, FakeRegistry::start().await);
        let bytes = random_bytes(7, MIB);
        let digest = a.put_blob("private", bytes.clone());
        b.put_blob("other", "something else");
        let setup = Setup::empty()
            .section("[access]\nadmin_password = \"pw\"\nchallenge = \"never\"")
            .mirror("team-a", &a, keys_a)
            .mirror("team-b", &b, "negative_ttl = \"0s\"");
        Self {
            server: setup.start().await,
            a,
            b,
            bytes,
            digest,
        }
    }

    /// Of team a's repository.
    async fn pull_as_admin(&self, what: &str) -> Answer {
        let url = format!("{}/v2/team-a/private/{what}", self.server.url());
        let login = basic("admin", "pw");
        let headers = [("authorization", login.as_str())];
        Client::new().send(Method::GET, &url, &headers).await
    }

    /// Makes a repository private.
    async fn hide(&self, repository: &str) {
        let path = format!("/api/v1/repository?name={repository}");
        let hidden = reqwest::Client::new()
            .put(format!("{}{path}", self.server.url()))
            .header("authorization", basic("admin", "pw"))
            .header("content-type", "application/json")
            .body("{\"visibility\": \"private\"}")
            .send()
            .await
            .expect("the server answers");
        assert_eq!(hidden.status(), 200);
    }

    fn url_a(&self) -> String {
        self.server.blob_url("team-a/private", &self.digest)
    }

    fn url_b(&self) -> String {
        self.server.blob_url("team-b/other", &self.digest)
    }

    /// Team a has pulled the blob; it is in the store.
    async fn hot(self) -> Self {
        assert!(until_hit(&self.url_a()).await.body == self.bytes);
        self
    }

    /// By every way to ask, team b is told 404 and gets nothing.
    async fn assert_hidden_from_b(&self) {
        let url = self.url_b();
        for answer in [
            get(&url).await,
            get_range(&url, "0-99").await,
            get_range(&url, "-10").await,
        ] {
            assert_eq!(
                (answer.status, answer.error_code().as_str()),
                (404, "BLOB_UNKNOWN")
            );
            assert_no_trace(&answer, &self.bytes);
        }
        let answer = head(&url).await;
        assert_eq!(answer.status, 404);
        assert_no_trace(&answer, &self.bytes);
    }
}

fn assert_no_trace(answer: &Answer, bytes: &[u8]) {
    assert!(!answer.body.windows(10).any(|ten| ten == &bytes[..10]));
    assert_ne!(answer.header("content-length"), bytes.len().to_string());
    assert_eq!(answer.header("content-range"), "");
}

async fn a_stored_blob_is_not_there_for_a_repository_whose_remote_does_not_have_it() {
    let teams = Teams::new().await.hot().await;
    teams.assert_hidden_from_b().await;
    assert_eq!(get(&teams.url_a()).await.header("x-cache"), "hit");
}

async fn a_running_fill_is_not_there_for_a_repository_whose_remote_does_not_have_it() {
    let teams = Teams::new().await;
    let hold = teams.a.hold_after(On::blob().get(), 512 * KIB as u64);
    let mut reader = SlowReader::open(&teams.url_a(), &[]).await;
    reader.read(KIB).await;
    teams.assert_hidden_from_b().await;
    hold.release();
    reader.read_to_end().await;
    assert!(reader.is_complete());
    until_hit(&teams.url_a()).await;
    teams.assert_hidden_from_b().await;
}

async fn a_remote_that_refuses_or_is_down_proves_no_right() {
    let teams = Teams::new().await.hot().await;
    teams.b.put_blob("other", teams.bytes.clone());
    teams.b.fault_always(On::blob(), Fault::status(403));
    assert_eq!(get(&teams.url_b()).await.status, 404);
    teams.b.stop().await;
    let answer = get(&teams.url_b()).await;
    assert!((502..=504).contains(&answer.status));
    assert_no_trace(&answer, &teams.bytes);
}

async fn a_stored_blob_costs_a_repository_whose_remote_has_it_one_head() {
    let teams = Teams::new().await.hot().await;
    teams.b.put_blob("other", teams.bytes.clone());
    for _ in 0..2 {
        let answer = get(&teams.url_b()).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"));
        assert!(answer.complete && answer.body == teams.bytes);
    }
    assert_eq!(
        (
            teams.b.count(On::blob().head()),
            teams.b.count(On::blob().get())
        ),
        (1, 0)
    );
}

async fn a_running_fill_is_joined_by_a_repository_whose_remote_has_it() {
    let teams = Teams::new().await;
    teams.b.put_blob("other", teams.bytes.clone());
    let hold = teams.a.hold_after(On::blob().get(), 512 * KIB as u64);
    let mut first = SlowReader::open(&teams.url_a(), &[]).await;
    first.read(KIB).await;
    let mut joined = SlowReader::open(&teams.url_b(), &[]).await;
    assert_eq!(joined.headers["x-cache"], "joined");
    assert!(joined.read(256 * KIB).await == teams.bytes[..256 * KIB]);
    hold.release();
    assert!(joined.read_to_end().await == teams.bytes[256 * KIB..]);
    until_hit(&teams.url_b()).await;
    assert_eq!(
        (
            teams.b.count(On::blob().head()),
            teams.b.count(On::blob().get())
        ),
        (1, 0)
    );
    assert_eq!(teams.a.count(On::blob().get()), 1);
}

async fn a_joined_repository_goes_on_with_its_own_remote_when_the_others_fails_at_once() {
    let teams = Teams::new().await;
    let image = ImageBuilder::new(3).shared_layer(9, 64 * KIB).build();
    let layer = image.layers().remove(0);
    teams.b.put_image("other", "v1", &image);
    assert_eq!(
        get(&teams.server.manifest_url("team-b/other", "v1"))
            .await
            .status,
        200
    );
    // Team a's remote does not have it, but is slow to say so.
    let hold = teams.a.hold(On::blob().get());
    let (url_a, url_b) = ["team-a/private", "team-b/other"]
        .map(|repository| teams.server.blob_url(repository, &layer))
        .into();
    let asked_a = tokio::spawn(async move { get(&url_a).await.status });
    hold.reached(1).await;
    let asked_b = tokio::spawn(async move { drain_sha256(&url_b).await });
    hold.release();
    assert_eq!(asked_a.await.expect("it is answered"), 404);
    let drained = asked_b.await.expect("it is answered");
    assert!(drained.complete && drained.digest == layer);
}

async fn a_manifest_that_names_a_stored_blob_is_right_enough() {
    let teams = Teams::new().await;
    let ours = ImageBuilder::new(1).shared_layer(9, 64 * KIB).build();
    let theirs = ImageBuilder::new(2).shared_layer(9, 64 * KIB).build();
    teams.a.put_image("private", "v1", &ours);
    teams.b.put_image("other", "v1", &theirs);
    let layer = ours.layers().remove(0);
    assert_eq!(theirs.layers(), std::slice::from_ref(&layer));
    until_hit(&teams.server.blob_url("team-a/private", &layer)).await;
    assert_eq!(
        get(&teams.server.manifest_url("team-b/other", "v1"))
            .await
            .status,
        200
    );
    let answer = get(&teams.server.blob_url("team-b/other", &layer)).await;
    assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"));
    assert_eq!(teams.b.count(On::blob()), 0);
}

/// Registries take manifests that name what they do not have: layers with URLs, sparse indexes.
async fn a_manifest_that_names_what_only_a_private_project_has_is_no_key_to_it() {
    let access = "visibility = \"private\"";
    for hot in [true, false] {
        let teams = Teams::with(access).await;
        let index = ImageBuilder::new(1)
            .shared_layer(9, MIB)
            .platforms(&["linux/amd64", "linux/arm64"])
            .build();
        teams.a.put_image("private", "v1", &index);
        teams.b.put_image("other", "v1", &index);
        let (layer, child) = (index.layers().remove(0), index.children().remove(0));
        teams.b.remove_blob("other", &layer);
        let manifest = format!("manifests/{child}");
        assert_eq!(teams.pull_as_admin(&manifest).await.status, 200);
        let hold = (!hot).then(|| teams.a.hold_after(On::blob().get(), MIB as u64 / 2));
        let blob = format!("blobs/{layer}");
        let mut pull = Box::pin(teams.pull_as_admin(&blob));
        if let Some(hold) = &hold {
            tokio::select! {
                _ = &mut pull => panic!("the remote holds it"),
                () = hold.reached(1) => {}
            }
        } else {
            assert_eq!(pull.as_mut().await.status, 200);
            teams.server.settled().await;
        }
        for reference in ["v1", &child] {
            let url = teams.server.manifest_url("team-b/other", reference);
            assert_eq!(get(&url).await.status, 200, "b has the manifests");
        }
        let url = teams.server.blob_url("team-b/other", &layer);
        for answer in [get(&url).await, get_range(&url, "0-99").await] {
            assert_eq!(answer.status, 404, "hot: {hot}");
        }
        if let Some(hold) = hold {
            hold.release();
            assert_eq!(pull.await.status, 200);
        }
    }
}

/// Of public projects, this one's own too.
async fn a_manifest_that_names_what_only_a_private_repository_has_is_no_key_to_it() {
    let teams = Teams::new().await;
    let image = ImageBuilder::new(1).layer(64 * KIB).build();
    let layer = image.layers().remove(0);
    for (remote, repository) in [
        (&teams.a, "private"),
        (&teams.a, "open"),
        (&teams.b, "other"),
    ] {
        remote.put_image(repository, "v1", &image);
    }
    for url in [
        teams.server.manifest_url("team-a/private", "v1"),
        teams.server.blob_url("team-a/private", &layer),
    ] {
        assert_eq!(get(&url).await.status, 200);
    }
    teams.server.settled().await;
    teams.hide("team-a/private").await;
    teams.a.remove_blob("open", &layer);
    teams.b.remove_blob("other", &layer);
    for repository in ["team-a/open", "team-b/other"] {
        let manifest = teams.server.manifest_url(repository, "v1");
        assert_eq!(get(&manifest).await.status, 200);
        let blob = teams.server.blob_url(repository, &layer);
        for answer in [get(&blob).await, get_range(&blob, "0-99").await] {
            assert_eq!(answer.status, 404, "{repository}");
        }
    }
    let blob = teams.pull_as_admin(&format!("blobs/{layer}")).await;
    assert_eq!(blob.status, 200);
}

async fn an_index_that_names_a_private_manifest_is_no_key_to_it() {
    let teams = Teams::with("visibility = \"private\"").await;
    let index = ImageBuilder::new(1)
        .layer(KIB)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    teams.a.put_image("private", "v1", &index);
    teams.b.put_image("other", "v1", &index);
    let child = index.children().remove(0);
    teams.b.remove_manifest("other", &child);
    let manifest = format!("manifests/{child}");
    assert_eq!(teams.pull_as_admin(&manifest).await.status, 200);
    let url = teams.server.manifest_url("team-b/other", "v1");
    assert_eq!(get(&url).await.status, 200);
    let url = teams.server.manifest_url("team-b/other", &child);
    assert_eq!(get(&url).await.status, 404);
}

async fn a_manifest_that_came_from_elsewhere_names_nothing_here() {
    // Team a's manifest names the layer; that gives team b no right to either.
    let teams = Teams::new().await;
    let image = ImageBuilder::new(1).layer(64 * KIB).build();
    teams.a.put_image("private", "v1", &image);
    let layer = image.layers().remove(0);
    assert_eq!(
        get(&teams.server.manifest_url("team-a/private", "v1"))
            .await
            .status,
        200
    );
    until_hit(&teams.server.blob_url("team-a/private", &layer)).await;
    for repository in ["team-b/other", "team-a/another"] {
        assert_eq!(
            get(&teams.server.blob_url(repository, &layer)).await.status,
            404
        );
        let manifest = teams.server.manifest_url(repository, &image.root);
        assert_eq!(get(&manifest).await.status, 404);
        assert_eq!(head(&manifest).await.status, 404);
    }
}

async fn a_stored_manifest_costs_a_repository_whose_remote_has_it_one_head() {
    let teams = Teams::new().await;
    let image = ImageBuilder::new(1).layer(KIB).build();
    teams.a.put_image("private", "v1", &image);
    teams.b.put_untagged("other", &image);
    assert_eq!(
        get(&teams.server.manifest_url("team-a/private", "v1"))
            .await
            .status,
        200
    );
    for _ in 0..2 {
        let answer = get(&teams.server.manifest_url("team-b/other", &image.root)).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"));
        assert!(answer.body == image.root_manifest().bytes);
        assert_eq!(
            answer.header("content-type"),
            image.root_manifest().media_type
        );
    }
    let asked = (
        teams.b.count(On::manifest().head()),
        teams.b.count(On::manifest().get()),
    );
    assert_eq!(asked, (1, 0));
}

async fn a_child_of_an_index_of_ones_own_is_adopted_without_asking() {
    let teams = Teams::new().await;
    let image = ImageBuilder::new(1)
        .layer(KIB)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    let child = image.children().remove(0);
    teams.a.put_image("private", "v1", &image);
    teams.b.put_image("other", "v1", &image);
    assert_eq!(
        get(&teams.server.manifest_url("team-a/private", &child))
            .await
            .status,
        200
    );
    assert_eq!(
        get(&teams.server.manifest_url("team-b/other", "v1"))
            .await
            .status,
        200
    );
    teams.b.forget_requests();
    let answer = get(&teams.server.manifest_url("team-b/other", &child)).await;
    assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"));
    assert_eq!(teams.b.count(On::any()), 0);
}
