use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    super::{ErrorKind, Patience, RemoteManifest},
    server::{FakeServer, Reply},
    *,
};

/// Answers nothing until it is told to.
struct Sleeper {
    server: FakeServer,
    awake: Arc<AtomicBool>,
}

impl Sleeper {
    async fn start() -> Self {
        let awake = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&awake);
        let answer = move || match seen.load(Ordering::SeqCst) {
            true => Reply::new(200, "{}"),
            false => Reply::never(),
        };
        let server = FakeServer::start(move |_| answer()).await;
        Self { server, awake }
    }

    fn wake(&self) {
        self.awake.store(true, Ordering::SeqCst);
    }

    /// Probes apart.
    fn calls(&self) -> usize {
        self.server.count("manifests")
    }
}

async fn well() -> FakeServer {
    FakeServer::start(|_| Reply::new(200, "{}")).await
}

/// With URLs in this order, and 300 ms for each of two.
fn client_of(urls: impl IntoIterator<Item = Url>) -> RegistryClient {
    let mut urls = urls.into_iter();
    let mut remote = remote(urls.next().unwrap());
    remote.urls.extend(urls);
    remote.header_timeout = Duration::from_millis(600);
    client(remote)
}

async fn get(client: &RegistryClient, patience: Patience) -> Result<RemoteManifest, ClientError> {
    client.manifest_get(&name(), &tag(), patience).await
}

fn passed_over(client: &RegistryClient) -> Vec<bool> {
    let health = client.health().into_iter();
    health.map(|url| url.trouble.is_some()).collect()
}

async fn until_answering(client: &RegistryClient) {
    let answering = async {
        while passed_over(client).contains(&true) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), answering).await;
    in_time.expect("a URL that answers is noticed");
}

#[tokio::test]
async fn a_first_url_that_hangs_is_waited_for_once() {
    let (hanging, good) = (Sleeper::start().await, well().await);
    let client = client_of([hanging.server.url(), good.url()]);
    for _ in 0..4 {
        get(&client, Patience::Full).await.unwrap();
    }
    assert_eq!((hanging.calls(), good.count("manifests")), (1, 4));
    assert_eq!(passed_over(&client), [true, false]);
    let trouble = client.health().swap_remove(0).trouble.unwrap();
    assert_eq!(trouble.message, "no answer within 300ms");
}

#[tokio::test]
async fn that_a_url_answers_again_is_noticed_without_a_call() {
    let (hanging, good) = (Sleeper::start().await, well().await);
    let client = client_of([hanging.server.url(), good.url()]);
    get(&client, Patience::Full).await.unwrap();
    hanging.wake();
    until_answering(&client).await;
    assert_eq!(hanging.calls(), 1);
    assert!(hanging.server.count("/v2/") > 1);
    get(&client, Patience::Full).await.unwrap();
    assert_eq!((hanging.calls(), good.count("manifests")), (2, 1));
}

#[tokio::test]
async fn who_has_something_cached_waits_for_a_hanging_remote_once() {
    let hanging = Sleeper::start().await;
    let client = client_of([hanging.server.url()]);
    let first = get(&client, Patience::Short).await.unwrap_err();
    assert_eq!(first.kind, ErrorKind::TimedOut);
    for _ in 0..3 {
        let next = get(&client, Patience::Short).await.unwrap_err();
        assert_eq!(next.kind, ErrorKind::TimedOut);
        assert!(next.message.starts_with("passed over"), "{next}");
    }
    assert_eq!(hanging.calls(), 1);
    // Who has nothing asks all the same; what it is answered is good for all.
    assert!(get(&client, Patience::Full).await.is_err());
    assert_eq!(hanging.calls(), 2);
    hanging.wake();
    get(&client, Patience::Full).await.unwrap();
    get(&client, Patience::Short).await.unwrap();
}

#[tokio::test]
async fn two_urls_that_are_down_are_both_asked_by_who_has_nothing_else() {
    let (one, two) = (Sleeper::start().await, Sleeper::start().await);
    let client = client_of([one.server.url(), two.server.url()]);
    assert!(get(&client, Patience::Full).await.is_err());
    assert_eq!(passed_over(&client), [true, true]);
    two.wake();
    get(&client, Patience::Full).await.unwrap();
    assert_eq!((one.calls(), two.calls()), (2, 2));
}

#[tokio::test]
async fn a_not_found_stands_only_if_no_later_url_is_down() {
    let missing = FakeServer::start(|_| Reply::new(404, "")).await;
    let hanging = Sleeper::start().await;
    let kinds = async |urls: [Url; 2]| {
        let client = client_of(urls);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            kinds.push(get(&client, Patience::Full).await.unwrap_err().kind);
        }
        kinds
    };
    // The same from memory as when it is asked.
    assert_eq!(
        kinds([missing.url(), hanging.server.url()]).await,
        [ErrorKind::TimedOut; 2]
    );
    assert_eq!(
        kinds([hanging.server.url(), missing.url()]).await,
        [ErrorKind::NotFound; 2]
    );
}

#[tokio::test]
async fn one_thing_that_a_remote_cannot_give_does_not_keep_others_from_being_asked_for() {
    let server = FakeServer::start(|seen| match seen.target.contains("broken") {
        true => Reply::new(500, ""),
        false => Reply::new(200, "{}"),
    })
    .await;
    let mut remote = remote(server.url());
    remote.answer_timeout = Duration::from_secs(5);
    let client = client(remote);
    let broken = "broken".parse().unwrap();
    let answer = client.manifest_get(&name(), &broken, Patience::Short).await;
    assert_eq!(answer.unwrap_err().status, Some(500));
    // Three in a row look like an outage.
    assert_eq!(passed_over(&client), [true]);
    get(&client, Patience::Short).await.unwrap();
    assert_eq!(passed_over(&client), [false]);
}

#[tokio::test]
async fn a_blob_is_opened_at_the_next_url_when_the_one_to_be_asked_first_is_down() {
    let hanging = Sleeper::start().await;
    let good = FakeServer::start(|_| Reply::new(200, BLOB)).await;
    let client = client_of([good.url(), hanging.server.url()]);
    for _ in 0..2 {
        let mut stream = client.blob_get(&name(), &blob(), 0, 1).await.unwrap();
        assert_eq!(stream.url, 0);
        assert_eq!(read(&mut stream.body).await.unwrap(), BLOB);
    }
    assert_eq!(hanging.server.count("blobs"), 1);
}

#[tokio::test]
async fn a_document_that_stalls_leaves_time_for_the_next_url() {
    let stalling = FakeServer::start(|_| {
        let reply = Reply::new(200, "{").with("content-length", "2");
        reply.stalling()
    })
    .await;
    let good = well().await;
    let mut remote = remote(stalling.url());
    remote.urls.push(good.url());
    // It stalls for longer than there is time for headers.
    remote.header_timeout = Duration::from_secs(1);
    remote.idle_timeout = Duration::from_millis(1200);
    get(&client(remote), Patience::Full).await.unwrap();
}
