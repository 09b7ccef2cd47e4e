//! Logins for other registries come to a mirror that asks for one: the user's own for Docker Hub, a pod's pull secret. None
//! is kept, logged, or shown to anybody.

use std::path::Path;

use base64::{Engine, prelude::BASE64_STANDARD};

use super::*;
use crate::{
    harness::{FakeRegistry, ImageBuilder, basic},
    process::Process,
};

const NAME: &str = "hubuser-7f3a";
const PASSWORD: &str = "dckr_pat_0f1e2d3c4b5a";

/// The login in every form in which it might turn up.
fn forms() -> Vec<String> {
    let pair = BASE64_STANDARD.encode(format!("{NAME}:{PASSWORD}"));
    vec![
        NAME.to_owned(),
        PASSWORD.to_owned(),
        pair.trim_end_matches('=').to_owned(),
        BASE64_STANDARD
            .encode(PASSWORD)
            .trim_end_matches('=')
            .to_owned(),
    ]
}

fn files(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, into);
        } else if path.is_file() {
            into.push(path);
        }
    }
}

/// `docker.io` for all beside a private project, so that `/v2/` asks for a login.
async fn start(hub: &FakeRegistry) -> Process {
    let configuration = format!(
        "builtin = false\n[server]\nlisten = \"127.0.0.1:0\"\nmirror_listen = \"127.0.0.1:0\"\n\
         [storage]\npath = \"data\"\n[access]\nadmin_password = \"admin pass\"\n\
         [[remote]]\nname = \"docker.io\"\nprovider = \"docker-hub\"\nurls = [\"{}\"]\n\
         [[project]]\nname = \"docker.io\"\nremote = \"docker.io\"\ndefault = true\n\
         [[project]]\nname = \"team\"\nkind = \"hosted\"",
        hub.url()
    );
    let level = ("ENTREPOT__LOG__LEVEL", "debug,sqlx=info");
    Process::serve(&configuration, &[level]).await
}

/// What a client does that is logged in to Docker Hub: ping, token (by GET or by form), pull.
async fn pull_as_docker(url: &str, asks_by_form: bool) {
    let login = basic(NAME, PASSWORD);
    let ping = ask(Method::GET, &format!("{url}/v2/"), None).await;
    let manifest = format!("{url}/v2/library/nginx/manifests/1");
    if ping.status == 200 {
        assert_eq!(get_as(&manifest, &login).await.status, 200);
        return;
    }
    let realm = parameter(&challenge(&ping), "realm").to_owned();
    let scope = "repository:library/nginx:pull";
    let answer = if asks_by_form {
        let form = [
            ("grant_type", "password"),
            ("service", "entrepot"),
            ("scope", scope),
            ("username", NAME),
            ("password", PASSWORD),
        ];
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let answer = http
            .post(&realm)
            .form(&form)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.json::<serde_json::Value>().await.expect("JSON")
    } else {
        let query = format!("account={NAME}&service=entrepot&scope={scope}");
        let answer = get_as(&format!("{realm}?{query}"), &login).await;
        assert_eq!(answer.status, 200);
        answer.json()
    };
    let token = answer["token"].as_str().expect("a token");
    let pulled = get_as(&manifest, &format!("Bearer {token}")).await;
    assert_eq!(pulled.status, 200);
}

#[tokio::test]
async fn no_login_for_docker_hub_reaches_logs_files_or_remotes() {
    let hub = FakeRegistry::builder().like_docker_hub().start().await;
    let image = ImageBuilder::new(1).layer(1024).build();
    hub.put_image("library/nginx", "1", &image);
    let server = start(&hub).await;
    pull_as_docker(&server.url, false).await;
    pull_as_docker(&server.url, true).await;
    // By the way without challenges, and a plain wrong guess beside it.
    let mirror = server.stdout();
    let mirror = mirror.split("http://").nth(2).expect("a second address");
    let mirror = mirror
        .split([' ', ',', '\n', ';'])
        .next()
        .expect("an address");
    pull_as_docker(&format!("http://{mirror}"), false).await;
    let private = format!("{}/v2/team/app/manifests/1", server.url);
    assert_eq!(
        get_as(
            &private,
            &format!("Basic {}", BASE64_STANDARD.encode(format!("x:{PASSWORD}")))
        )
        .await
        .status,
        401
    );

    for seen in hub.requests() {
        let request = format!("{:?}", seen.request);
        for form in forms() {
            assert!(!request.contains(&form), "{form} in {request}");
        }
    }
    server.logged(|line| line["status"] == 401).await;
    let logs = format!("{}{}", server.stdout(), server.stderr());
    let mut paths = Vec::new();
    files(server.folder.path(), &mut paths);
    for form in forms() {
        assert!(!logs.contains(&form), "{form} is in the logs");
        for path in &paths {
            let bytes = std::fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(&form), "{form} is in {}", path.display());
        }
    }
}
