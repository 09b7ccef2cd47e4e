use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use tokio::{sync::Notify, time::advance};

use super::*;

const HOUR: Duration = Duration::from_hours(1);

/// Gives logins `1`, `2`, … that live for an hour, as long as it works.
#[derive(Default)]
struct Script {
    fetched: AtomicUsize,
    broken: AtomicUsize,
    /// Fetches wait for it.
    gate: Option<Notify>,
}

struct Scripted(Arc<Script>);

impl Source for Scripted {
    fn fetch(&self) -> BoxFuture<'_, Result<Grant, CredentialError>> {
        let fetch = async {
            let n = self.0.fetched.fetch_add(1, SeqCst) + 1;
            if let Some(gate) = &self.0.gate {
                gate.notified().await;
            }
            if self.0.broken.load(SeqCst) > 0 {
                return Err(CredentialError::new(
                    "the script gives none",
                    "it is broken",
                ));
            }
            Ok(Grant {
                login: Some(Login::token(&n.to_string())),
                lifetime: HOUR,
            })
        };
        fetch.boxed()
    }
}

fn scripted(script: Script) -> (Arc<Script>, Renewal) {
    let script = Arc::new(script);
    let renewal = Renewal::new("r.io", Box::new(Scripted(Arc::clone(&script))));
    (script, renewal)
}

fn text(login: Option<&Arc<Login>>) -> String {
    match login.map(Arc::as_ref) {
        None => "nobody".to_owned(),
        Some(Login::Token(token)) => token.expose().to_owned(),
        Some(Login::Password(header)) => header.to_str().unwrap().to_owned(),
    }
}

async fn now(renewal: &Renewal) -> String {
    text(renewal.get().await.unwrap().as_ref())
}

#[tokio::test(start_paused = true)]
async fn one_fetch_serves_all_who_wait() {
    let (script, renewal) = scripted(Script {
        gate: Some(Notify::new()),
        ..Script::default()
    });
    let all = join_all((0..20).map(|_| now(&renewal)));
    let open = async { script.gate.as_ref().unwrap().notify_one() };
    let (all, ()) = tokio::join!(all, open);
    assert_eq!(all, vec!["1"; 20]);
    assert_eq!(script.fetched.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_goes_on_when_who_asked_has_left() {
    let (script, renewal) = scripted(Script {
        gate: Some(Notify::new()),
        ..Script::default()
    });
    let impatient = tokio::time::timeout(Duration::from_secs(2), renewal.get()).await;
    assert!(impatient.is_err());
    script.gate.as_ref().unwrap().notify_one();
    assert_eq!(now(&renewal).await, "1");
    assert_eq!(script.fetched.load(SeqCst), 1);
}

/// Lets what runs behind go on.
async fn later() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_login_is_replaced_before_it_ends_and_nobody_waits() {
    let (script, renewal) = scripted(Script::default());
    assert_eq!(now(&renewal).await, "1");
    advance(Duration::from_mins(54)).await;
    assert_eq!(now(&renewal).await, "1");
    later().await;
    assert_eq!(script.fetched.load(SeqCst), 1);
    advance(Duration::from_mins(2)).await;
    assert_eq!(now(&renewal).await, "1");
    later().await;
    assert_eq!(now(&renewal).await, "2");
    assert_eq!(script.fetched.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_login_is_sent_to_its_end_while_there_is_no_newer_one() {
    let (script, renewal) = scripted(Script::default());
    assert_eq!(now(&renewal).await, "1");
    script.broken.store(1, SeqCst);
    advance(Duration::from_mins(56)).await;
    for _ in 0..3 {
        assert_eq!(now(&renewal).await, "1");
        later().await;
    }
    assert_eq!(
        script.fetched.load(SeqCst),
        2,
        "the failure is remembered for a while"
    );
    advance(Duration::from_mins(5)).await;
    let error = renewal.get().await.unwrap_err();
    assert_eq!(error.to_string(), "the script gives none: it is broken");
    renewal.get().await.unwrap_err();
    assert_eq!(script.fetched.load(SeqCst), 3);
    script.broken.store(0, SeqCst);
    advance(Duration::from_secs(6)).await;
    assert_eq!(now(&renewal).await, "4");
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_is_replaced_but_not_at_once_again() {
    let (script, renewal) = scripted(Script::default());
    let first = renewal.get().await.unwrap().unwrap();
    let renewed = async |refused| renewal.renewed(refused).await.unwrap();
    assert_eq!(
        text(renewed(&first).await.as_ref()),
        "nobody",
        "it was only just fetched"
    );
    advance(Duration::from_mins(1)).await;
    let second = renewed(&first).await.unwrap();
    assert_eq!(text(Some(&second)), "2");
    assert_eq!(
        text(renewed(&first).await.as_ref()),
        "2",
        "somebody else has renewed it"
    );
    assert_eq!(text(renewed(&second).await.as_ref()), "nobody");
    assert_eq!(script.fetched.load(SeqCst), 2);
}

fn sample() -> PathBuf {
    concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/programs/docker-credential-sample"
    )
    .into()
}

async fn helped(server: &str) -> Result<String, CredentialError> {
    let helper = Helper::optional(sample(), server.to_owned());
    helper
        .fetch()
        .await
        .map(|grant| text(grant.login.map(Arc::new).as_ref()))
}

#[tokio::test]
async fn a_helper_is_asked_by_its_protocol() {
    assert_eq!(helped("r.io").await.unwrap(), "Basic cm9ib3Q6czNjcmV0");
    assert_eq!(helped("token.io").await.unwrap(), "identity");
    assert_eq!(helped("unknown.io").await.unwrap(), "nobody");
}

#[tokio::test]
async fn a_helper_that_fails_is_quoted_to_the_operator_only() {
    let failure = async |server| helped(server).await.unwrap_err();
    let broken = failure("broken.io").await;
    assert_eq!(broken.what, "`docker-credential-sample` gives none");
    assert_eq!(broken.detail, "exit status: 3 (no such profile)");
    assert!(
        failure("garbage.io")
            .await
            .detail
            .contains("credential helper")
    );
    assert!(failure("endless.io").await.detail.contains("64 KiB"));
    let required = Helper::required(sample(), "unknown.io".to_owned());
    let error = required.fetch().await.err().unwrap();
    assert!(error.detail.contains("credentials not found"), "{error}");
}

#[tokio::test]
async fn a_helper_that_never_ends_is_given_up() {
    let asked = helped("silent.io");
    tokio::pin!(asked);
    // Lets the program start before the clock is turned.
    let soon = tokio::time::timeout(Duration::from_millis(50), &mut asked).await;
    assert!(soon.is_err());
    tokio::time::pause();
    let error = asked.await.unwrap_err();
    assert!(error.detail.contains("20 seconds"), "{error}");
}

fn docker_config(files: &[PathBuf]) -> DockerConfig {
    let config = config::DockerConfig {
        files: files.to_vec(),
        programs: vec![sample().parent().unwrap().to_owned()],
    };
    DockerConfig::new("r.io", Provider::DockerRegistry, &config)
}

/// Writes a file that is seen to be newer, however coarse the file system's clock.
fn write(path: &std::path::Path, text: &str, version: u64) {
    fs::write(path, text).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + version);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let config = docker_config(&[folder.path().join("missing.json"), path.clone()]);
    let url: Url = "https://r.io/".parse().unwrap();
    let login = async || {
        config
            .get(&url, "a/b")
            .await
            .map(|login| text(login.as_ref()))
    };
    assert_eq!(login().await.unwrap(), "nobody");
    write(&path, r#"{"auths":{"r.io":{"identitytoken":"one"}}}"#, 1);
    assert_eq!(login().await.unwrap(), "one");
    let first = config.get(&url, "a/b").await.unwrap().unwrap();
    write(&path, r#"{"auths":{"r.io":{"identitytoken":"two"}}}"#, 2);
    assert_eq!(
        text(config.renewed(&url, "a/b", &first).await.unwrap().as_ref()),
        "two"
    );
    write(&path, r#"{"auths":{"r.io":{"identitytoken":"three}}}"#, 3);
    let error = login().await.unwrap_err().to_string();
    assert!(
        error.contains("line 1") && !error.contains("three"),
        "{error}"
    );
    fs::remove_file(&path).unwrap();
    assert_eq!(login().await.unwrap(), "nobody");
}

#[tokio::test]
async fn helpers_in_a_file_come_before_its_entries() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let text_of = async |json: &str, host: &str| {
        write(&path, json, 1);
        let url = format!("https://{host}/").parse().unwrap();
        docker_config(std::slice::from_ref(&path))
            .get(&url, "a")
            .await
            .map(|login| text(login.as_ref()))
    };
    let own = r#"{"credHelpers":{"r.io":"sample"},"auths":{"r.io":{"identitytoken":"entry"}}}"#;
    assert_eq!(
        text_of(own, "r.io").await.unwrap(),
        "Basic cm9ib3Q6czNjcmV0"
    );
    let store = r#"{"credsStore":"sample","auths":{"unknown.io":{"identitytoken":"entry"}}}"#;
    assert_eq!(text_of(store, "token.io").await.unwrap(), "identity");
    assert_eq!(text_of(store, "unknown.io").await.unwrap(), "entry");
    let absent = r#"{"credHelpers":{"r.io":"absent"}}"#;
    let error = text_of(absent, "r.io").await.unwrap_err();
    assert!(error.detail.contains("PATH"), "{error}");
    assert_eq!(text_of(absent, "other.io").await.unwrap(), "nobody");
}

#[test]
fn no_login_is_ever_printed() {
    let password = format!("{:?}", Login::password("robot", "s3cret"));
    let token = format!("{:?}", Login::token("s3cret"));
    assert!(
        !password.contains("s3cret") && !password.contains("cm9ib3"),
        "{password}"
    );
    assert!(!token.contains("s3cret"), "{token}");
}
