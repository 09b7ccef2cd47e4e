//! What anonymous callers see of a private project: nothing, by either listener.

use http::Method;

use crate::{
    harness::{Answer, Client, FakeRegistry, Image, ImageBuilder, basic, get},
    server::{Setup, TestServer},
};

/// `docker.io` for all, `corp` for those who log in.
async fn server_with(access: &str) -> (FakeRegistry, FakeRegistry, Image, TestServer) {
    let image = ImageBuilder::new(1).layer(2048).build();
    let hub = FakeRegistry::start().await;
    hub.put_image("library/nginx", "1", &image);
    let corp = FakeRegistry::builder()
        .basic("robot", "s3cret")
        .start()
        .await;
    corp.put_image("team/app", "1", &image);
    let server = Setup::hub(&hub)
        .remote(
            "corp",
            corp.url(),
            "username = \"robot\"\npassword = \"s3cret\"",
        )
        // A remote with credentials makes its mirror private.
        .project("corp", "corp", "")
        .section(&format!(
            "[access]\nadmin_password = \"admin pass\"\n{access}"
        ))
        .variable("ENTREPOT__SERVER__MIRROR_LISTEN", "127.0.0.1:0")
        .start()
        .await;
    (hub, corp, image, server)
}

fn without_name(answer: &Answer, name: &str) -> (u16, String) {
    (
        answer.status,
        String::from_utf8_lossy(&answer.body).replace(name, "NAME"),
    )
}

#[tokio::test]
async fn a_hidden_project_answers_like_one_that_is_not_there() {
    for access in ["", "challenge = \"never\"", "challenge = \"always\""] {
        let (_hub, corp, image, server) = server_with(access).await;
        let layer = &image.layers()[0];
        for url in [server.url(), server.mirror_url()] {
            for rest in ["manifests/1", "tags/list", &format!("blobs/{layer}")] {
                let hidden = get(&format!("{url}/v2/corp/team/app/{rest}")).await;
                let absent = get(&format!("{url}/v2/gone.io/team/app/{rest}")).await;
                // A name that the default project might complete is asked for there; both are no answer of `corp`.
                assert!(
                    matches!(hidden.status, 401 | 404),
                    "{access} {rest}: {}",
                    hidden.status
                );
                assert_eq!(
                    without_name(&hidden, "corp/"),
                    without_name(&absent, "gone.io/"),
                    "{rest}"
                );
                assert_eq!(
                    hidden.status == 401,
                    access != "challenge = \"never\"" && url == server.url()
                );
            }
            let unknown = get(&format!("{url}/v2/a/manifests/1?ns=gone.io")).await;
            let hidden = get(&format!("{url}/v2/a/manifests/1?ns=corp")).await;
            assert_eq!(
                without_name(&hidden, "corp"),
                without_name(&unknown, "gone.io")
            );
            assert!(!String::from_utf8_lossy(&unknown.body).contains("corp"));
        }
        assert_eq!(corp.connections(), 0);
    }
}

#[tokio::test]
async fn public_content_needs_no_login_beside_a_private_project() {
    let (_hub, _corp, _image, server) = server_with("").await;
    assert_eq!(
        get(&server.manifest_url("docker.io/library/nginx", "1"))
            .await
            .status,
        200
    );
    assert_eq!(get(&server.manifest_url("nginx", "1")).await.status, 200);
}

#[tokio::test]
async fn the_admin_sees_a_private_project_and_strangers_do_not() {
    let (_hub, corp, image, server) = server_with("").await;
    let client = Client::new();
    let url = server.manifest_url("corp/team/app", "1");
    let admin = basic("admin", "admin pass");
    let answer = client
        .send(Method::GET, &url, &[("authorization", &admin)])
        .await;
    assert_eq!(
        (answer.status, answer.body),
        (200, image.root_manifest().bytes.clone())
    );
    let before = corp.requests().len();
    // Cached now, and still hidden.
    let anonymous = client.get(&url).await;
    assert_eq!(
        (anonymous.status, anonymous.error_code().as_str()),
        (401, "UNAUTHORIZED")
    );
    assert!(
        anonymous
            .header("www-authenticate")
            .starts_with("Bearer realm=\"http://")
    );
    let wrong = basic("admin", "guess");
    let answer = client
        .send(Method::GET, &url, &[("authorization", &wrong)])
        .await;
    assert_eq!(answer.status, 401);
    assert_eq!(corp.requests().len(), before);
}

#[tokio::test]
async fn the_base_challenges_only_where_a_login_can_help() {
    let (_hub, _corp, _image, server) = server_with("").await;
    assert_eq!(get(&format!("{}/v2/", server.url())).await.status, 401);
    assert_eq!(
        get(&format!("{}/v2/", server.mirror_url())).await.status,
        200
    );
    let (_hub, _corp, _image, server) = server_with("challenge = \"never\"").await;
    assert_eq!(get(&format!("{}/v2/", server.url())).await.status, 200);
}

#[tokio::test]
async fn the_catalog_leaves_out_what_the_caller_may_not_see() {
    let (_hub, _corp, _image, server) = server_with("challenge = \"never\"").await;
    let admin = basic("admin", "admin pass");
    let login = [("authorization", admin.as_str())];
    let client = Client::new();
    get(&server.manifest_url("nginx", "1")).await;
    let url = server.manifest_url("corp/team/app", "1");
    assert_eq!(client.send(Method::GET, &url, &login).await.status, 200);
    let catalog = format!("{}/v2/_catalog", server.url());
    let all = client.send(Method::GET, &catalog, &login).await.json();
    assert_eq!(
        all["repositories"],
        serde_json::json!(["corp/team/app", "docker.io/library/nginx"])
    );
    let seen = client.get(&catalog).await.json();
    assert_eq!(
        seen["repositories"],
        serde_json::json!(["docker.io/library/nginx"])
    );
}

#[tokio::test]
async fn the_pull_only_listener_ignores_credentials_and_refuses_writes() {
    let (_hub, corp, _image, server) = server_with("").await;
    let client = Client::new();
    let base = format!("{}/v2", server.mirror_url());
    for credentials in [
        basic("admin", "admin pass"),
        basic("x", "y"),
        "Bearer junk".to_owned(),
    ] {
        let login = [("authorization", credentials.as_str())];
        let url = format!("{base}/docker.io/library/nginx/manifests/1");
        assert_eq!(client.send(Method::GET, &url, &login).await.status, 200);
        let hidden = format!("{base}/corp/team/app/manifests/1");
        assert_eq!(client.send(Method::GET, &hidden, &login).await.status, 404);
        let upload = format!("{base}/docker.io/library/nginx/blobs/uploads/");
        assert_eq!(client.send(Method::POST, &upload, &login).await.status, 405);
    }
    assert_eq!(corp.connections(), 0);
}
