//! `/token` and what its tokens are good for, as clients go about it.

use super::*;
use crate::{
    api::PASSWORD as ADMIN_PASSWORD,
    harness::{FakeRegistry, ImageBuilder, basic, get},
    push::Pusher,
    server::Setup,
};

/// `docker.io` for all, hosted `team` for those who may.
async fn server(access: &str) -> (FakeRegistry, TestServer) {
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(2048).build();
    hub.put_image("library/nginx", "1", &image);
    let server = Setup::hub(&hub)
        .section(&format!(
            "[access]\nadmin_password = \"{ADMIN_PASSWORD}\"\n{access}\n\
             [[project]]\nname = \"team\"\nkind = \"hosted\"\nvisibility = \"private\"\n"
        ))
        .variable("ENTREPOT__SERVER__MIRROR_LISTEN", "127.0.0.1:0")
        .start()
        .await;
    (hub, server)
}

/// With `team/app:1` and `team/other:1`, and a user `ann` who may pull and push the first.
async fn server_with_ann() -> (FakeRegistry, TestServer, People) {
    let (hub, server) = server("").await;
    let pusher = Pusher::of(&server);
    let image = ImageBuilder::new(2).layer(1024).build();
    for repository in ["team/app", "team/other"] {
        pusher.image(repository, "1", &image).await;
    }
    let people = People::of(&server).await;
    people
        .add("ann", &[grant("team", "app", &["pull", "push"])])
        .await;
    (hub, server, people)
}

fn ann() -> String {
    basic("ann", &password_of("ann"))
}

#[tokio::test]
async fn docker_login_asks_for_a_token_without_scope_and_shows_it_to_v2() {
    let (_hub, server, _people) = server_with_ann().await;
    let base = format!("{}/v2/", server.url());
    let asked = challenge(&get(&base).await);
    assert_eq!(
        parameter(&asked, "realm"),
        format!("{}/token", server.url())
    );
    assert_eq!(parameter(&asked, "service"), "entrepot");
    assert_eq!(parameter(&asked, "scope"), "");
    let wrong = token(&server, &[], Some(&basic("ann", "guess"))).await;
    assert_eq!(
        (wrong.status, wrong.error_code().as_str()),
        (401, "UNAUTHORIZED")
    );
    let issued = token(&server, &[], Some(&ann())).await;
    assert_eq!(issued.json()["expires_in"], 300);
    assert_eq!(issued.header("cache-control"), "no-store");
    assert_eq!(get_as(&base, &bearer(&issued)).await.status, 200);
    assert_eq!(get_as(&base, "Bearer nonsense").await.status, 401);
    assert_eq!(get_as(&base, &ann()).await.status, 200);
}

#[tokio::test]
async fn a_token_opens_the_repository_that_the_challenge_named_and_no_other() {
    let (_hub, server, _people) = server_with_ann().await;
    let app = server.manifest_url("team/app", "1");
    let asked = challenge(&get(&app).await);
    let scope = parameter(&asked, "scope");
    assert_eq!(scope, "repository:team/app:pull");
    let pull = bearer(&token(&server, &[scope], Some(&ann())).await);
    assert_eq!(get_as(&app, &pull).await.status, 200);
    // For a push another token is needed, and the challenge says which.
    let uploads = format!("{}/v2/team/app/blobs/uploads/", server.url());
    let asked = challenge(&ask(Method::POST, &uploads, Some(&pull)).await);
    let scope = parameter(&asked, "scope");
    assert_eq!(scope, "repository:team/app:pull,push");
    assert_eq!(parameter(&asked, "error"), "insufficient_scope");
    let push = bearer(&token(&server, &[scope], Some(&ann())).await);
    assert_eq!(ask(Method::POST, &uploads, Some(&push)).await.status, 202);
    // What she may not do, she may not do with a token for it either; and is not asked again.
    let other = server.manifest_url("team/other", "1");
    let scope = "repository:team/other:pull,push";
    let more = bearer(&token(&server, &[scope], Some(&ann())).await);
    let hidden = get_as(&other, &more).await;
    assert_eq!(
        (hidden.status, hidden.error_code().as_str()),
        (404, "NAME_UNKNOWN")
    );
}

#[tokio::test]
async fn public_content_gets_an_anonymous_token_whatever_credentials_come_along() {
    let (hub, server, people) = server_with_ann().await;
    let logins = people.audit().await.len();
    let foreign = basic("hubuser", "hub s3cret");
    for authorization in [None, Some(foreign.as_str())] {
        let scopes = ["repository:library/nginx:pull"];
        let public = bearer(&token(&server, &scopes, authorization).await);
        let url = server.manifest_url("library/nginx", "1");
        assert_eq!(get_as(&url, &public).await.status, 200);
        assert_eq!(get(&url).await.status, 200);
    }
    assert_eq!(people.audit().await.len(), logins);
    assert!(
        hub.requests()
            .iter()
            .all(|seen| !seen.request.headers.contains_key("authorization"))
    );
    for scopes in [
        &["repository:team/app:pull"][..],
        &["repository:library/nginx:pull", "repository:team/app:pull"],
        &["repository:library/nginx:pull,push"],
    ] {
        let refused = token(&server, scopes, Some(&foreign)).await;
        assert_eq!(refused.status, 401, "{scopes:?}");
    }
}

#[tokio::test]
async fn docker_hubs_short_names_and_this_servers_long_ones_are_one_repository_in_a_token() {
    let (_hub, server, _people) = server_with_ann().await;
    let admin = basic("admin", ADMIN_PASSWORD);
    let scopes = ["repository:library/nginx:pull", "repository:team/app:pull"];
    let both = bearer(&token(&server, &scopes, Some(&admin)).await);
    for repository in ["library/nginx", "docker.io/library/nginx", "team/app"] {
        let url = server.manifest_url(repository, "1");
        assert_eq!(get_as(&url, &both).await.status, 200, "{repository}");
    }
}

#[tokio::test]
async fn a_form_gets_a_token_too_by_password_and_by_a_machines_secret() {
    let (_hub, server, people) = server_with_ann().await;
    let (username, secret) = people.add_token("ann").await;
    let scope = ("scope", "repository:team/app:pull");
    let password = password_of("ann");
    for (form, expected) in [
        (
            vec![
                ("grant_type", "password"),
                ("username", "ann"),
                ("password", &*password),
            ],
            200,
        ),
        (
            vec![
                ("grant_type", "password"),
                ("username", &*username),
                ("password", &*secret),
            ],
            200,
        ),
        (
            vec![("grant_type", "refresh_token"), ("refresh_token", &*secret)],
            200,
        ),
        (
            vec![
                ("grant_type", "password"),
                ("username", "ann"),
                ("password", "guess"),
            ],
            401,
        ),
        (
            vec![("grant_type", "refresh_token"), ("refresh_token", "guess")],
            401,
        ),
    ] {
        let form = form
            .into_iter()
            .chain([scope, ("service", "entrepot"), ("client_id", "test")]);
        let form: Vec<_> = form.collect();
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let url = format!("{}/token", server.url());
        let answer = http.post(url).form(&form).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), expected, "{form:?}");
        if expected == 200 {
            let answer: serde_json::Value = answer.json().await.expect("JSON");
            let token = answer["access_token"].as_str().expect("a text");
            let url = server.manifest_url("team/app", "1");
            assert_eq!(get_as(&url, &format!("Bearer {token}")).await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_machines_secret_opens_what_its_owner_may_by_every_way() {
    let (_hub, server, people) = server_with_ann().await;
    let (username, secret) = people.add_token("ann").await;
    let url = server.manifest_url("team/app", "1");
    for authorization in [basic(&username, &secret), format!("Bearer {secret}")] {
        assert_eq!(get_as(&url, &authorization).await.status, 200);
        let other = server.manifest_url("team/other", "1");
        assert_eq!(get_as(&other, &authorization).await.status, 404);
    }
    assert_eq!(get_as(&url, &basic("ann", &secret)).await.status, 401);
}

#[tokio::test]
async fn a_token_is_not_got_by_a_token() {
    let (_hub, server, _people) = server_with_ann().await;
    let issued = bearer(&token(&server, &[], Some(&ann())).await);
    let more = token(&server, &["repository:team/app:pull"], Some(&issued)).await;
    assert_eq!(more.status, 401);
}

#[tokio::test]
async fn the_list_of_repositories_shows_what_the_caller_may_pull() {
    let (_hub, server, _people) = server_with_ann().await;
    let url = format!("{}/v2/_catalog", server.url());
    let listed = |answer: Answer| answer.json()["repositories"].to_string();
    assert_eq!(listed(get_as(&url, &ann()).await), r#"["team/app"]"#);
    let scopes = ["registry:catalog:*"];
    let issued = bearer(&token(&server, &scopes, Some(&ann())).await);
    assert_eq!(listed(get_as(&url, &issued).await), r#"["team/app"]"#);
    assert_eq!(listed(get(&url).await), "[]");
    let pull = token(&server, &["repository:team/app:pull"], Some(&ann())).await;
    let refused = challenge(&get_as(&url, &bearer(&pull)).await);
    assert_eq!(parameter(&refused, "scope"), "registry:catalog:*");
}

#[tokio::test]
async fn the_pull_only_listener_knows_no_tokens_and_looks_at_no_credentials() {
    let (_hub, server, _people) = server_with_ann().await;
    let mirror = server.mirror_url();
    assert_eq!(get(&format!("{mirror}/token")).await.status, 404);
    for authorization in [
        ann(),
        basic("hubuser", "wrong"),
        "Bearer nonsense".to_owned(),
    ] {
        let base = get_as(&format!("{mirror}/v2/"), &authorization).await;
        assert_eq!(base.status, 200);
        let url = format!("{mirror}/v2/library/nginx/manifests/1");
        assert_eq!(get_as(&url, &authorization).await.status, 200);
        let url = format!("{mirror}/v2/team/app/manifests/1");
        assert_eq!(get_as(&url, &authorization).await.status, 404);
    }
}

#[tokio::test]
async fn guessing_at_the_door_is_told_to_wait() {
    let (_hub, server) = server("").await;
    let mut statuses = Vec::new();
    for _ in 0..7 {
        let answer = token(&server, &[], Some(&basic("admin", "guess"))).await;
        statuses.push(answer.status);
    }
    assert_eq!(statuses[..5], [401; 5]);
    assert_eq!(statuses[5..], [429; 2]);
    let right = token(&server, &[], Some(&basic("admin", ADMIN_PASSWORD))).await;
    assert_eq!(
        (right.status, right.error_code().as_str()),
        (429, "TOOMANYREQUESTS")
    );
    let seconds: u64 = right.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds));
    // The API and Basic on `/v2/` have the same door.
    let api = format!("{}/api/v1/status", server.url());
    let slowed = get_as(&api, &basic("admin", "guess")).await;
    assert_eq!(slowed.status, 429);
    assert!(slowed.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_proxy_that_is_trusted_says_where_tokens_are_had() {
    let trusting = Setup::empty().section("[access]\nchallenge = \"always\"");
    let server = trusting
        .variable("ENTREPOT__SERVER__TRUSTED_PROXIES", "[\"127.0.0.0/8\"]")
        .start()
        .await;
    let headers = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "registry.example.com"),
    ];
    let base = format!("{}/v2/", server.url());
    let answer = Client::new().send(Method::GET, &base, &headers).await;
    let asked = challenge(&answer);
    assert_eq!(
        parameter(&asked, "realm"),
        "https://registry.example.com/token"
    );
    let (_hub, other) = super::tokens::server("challenge = \"always\"").await;
    let base = format!("{}/v2/", other.url());
    let answer = Client::new().send(Method::GET, &base, &headers).await;
    let realm = format!("{}/token", other.url());
    assert_eq!(parameter(&challenge(&answer), "realm"), realm);
}

#[tokio::test]
async fn without_anonymous_pull_nobody_gets_an_anonymous_token() {
    let (_hub, server) = server("anonymous_pull = false").await;
    let scopes = ["repository:library/nginx:pull"];
    assert_eq!(token(&server, &scopes, None).await.status, 401);
    assert_eq!(token(&server, &[], None).await.status, 401);
    let admin = basic("admin", ADMIN_PASSWORD);
    let issued = bearer(&token(&server, &scopes, Some(&admin)).await);
    let url = server.manifest_url("library/nginx", "1");
    assert_eq!(get_as(&url, &issued).await.status, 200);
    let asked = challenge(&get(&url).await);
    assert_eq!(
        parameter(&asked, "scope"),
        "repository:docker.io/library/nginx:pull"
    );
}
