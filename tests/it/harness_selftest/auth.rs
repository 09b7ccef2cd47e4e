//! Basic and bearer authentication, and the token endpoint.

use http::Method;

use crate::harness::{Answer, Client, FakeRegistry, ImageBuilder, On, basic, get};

fn filled(registry: FakeRegistry) -> FakeRegistry {
    registry.put_image("a", "latest", &ImageBuilder::new(1).layer(10).build());
    registry
}

async fn get_as(url: &str, authorization: &str) -> Answer {
    Client::new()
        .send(Method::GET, url, &[("authorization", authorization)])
        .await
}

/// Asks for a token as the challenge says.
async fn token_for(answer: &Answer, authorization: Option<&str>) -> Answer {
    let challenge = answer.header("www-authenticate").to_owned();
    let part = |name: &str| {
        let (_, rest) = challenge
            .split_once(&format!("{name}=\""))
            .unwrap_or_default();
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    let url = format!(
        "{}?service={}&scope={}",
        part("realm"),
        part("service"),
        part("scope")
    );
    match authorization {
        Some(authorization) => get_as(&url, authorization).await,
        None => get(&url).await,
    }
}

fn bearer(answer: &Answer, field: &str) -> String {
    format!(
        "Bearer {}",
        answer.json()[field].as_str().expect("there is a token")
    )
}

#[tokio::test]
async fn basic_wants_the_account() {
    let registry = filled(FakeRegistry::builder().basic("u", "p").start().await);
    let url = registry.manifest_url("a", "latest");
    let refused = get(&url).await;
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").starts_with("Basic "));
    assert_eq!(get_as(&url, &basic("u", "wrong")).await.status, 401);
    assert_eq!(get_as(&url, &basic("u", "p")).await.status, 200);
}

#[tokio::test]
async fn bearer_tokens_are_good_for_their_scope_until_revoked() {
    let registry = filled(FakeRegistry::builder().bearer().start().await);
    let url = registry.manifest_url("a", "latest");
    let refused = get(&url).await;
    assert_eq!(
        (refused.status, refused.error_code()),
        (401, "UNAUTHORIZED".into())
    );
    let answer = token_for(&refused, None).await;
    assert_eq!(answer.json()["expires_in"], 300);
    let token = bearer(&answer, "token");
    assert_eq!(get_as(&url, &token).await.status, 200);
    let elsewhere = registry.manifest_url("b", "latest");
    assert_eq!(get_as(&elsewhere, &token).await.status, 401);
    assert_eq!(
        get_as(&format!("{}/v2/", registry.url()), &token)
            .await
            .status,
        200
    );
    registry.revoke_tokens();
    assert_eq!(get_as(&url, &token).await.status, 401);
    assert_eq!(registry.count(On::token()), 1);
}

#[tokio::test]
async fn an_account_and_the_form_of_tokens_can_be_set() {
    let builder = FakeRegistry::builder()
        .bearer_account("u", "p")
        .options(|options| {
            options.access_token_only = true;
            options.token_seconds = None;
            options.token_uses = Some(1);
        });
    let registry = filled(builder.start().await);
    let url = registry.manifest_url("a", "latest");
    let refused = get(&url).await;
    assert_eq!(token_for(&refused, None).await.status, 401);
    let answer = token_for(&refused, Some(&basic("u", "p"))).await;
    assert!(answer.json().get("expires_in").is_none());
    let token = bearer(&answer, "access_token");
    assert_eq!(get_as(&url, &token).await.status, 200);
    assert_eq!(get_as(&url, &token).await.status, 401);
}

#[tokio::test]
async fn unknown_repositories_are_hidden_as_docker_hub_does() {
    let registry = filled(FakeRegistry::builder().like_docker_hub().start().await);
    let unknown = registry.manifest_url("typo", "latest");
    let refused = get(&unknown).await;
    let token = bearer(&token_for(&refused, None).await, "token");
    assert_eq!(get_as(&unknown, &token).await.status, 401);
}

#[tokio::test]
async fn the_realm_can_be_another_host() {
    let issuer = FakeRegistry::builder()
        .address([127, 0, 0, 2])
        .bearer()
        .start()
        .await;
    let registry = FakeRegistry::builder()
        .bearer()
        .tokens_from(&issuer)
        .start()
        .await;
    let registry = filled(registry);
    let url = registry.manifest_url("a", "latest");
    let refused = get(&url).await;
    assert!(refused.header("www-authenticate").contains(issuer.url()));
    let token = bearer(&token_for(&refused, None).await, "token");
    assert_eq!(get_as(&url, &token).await.status, 200);
    assert_eq!(
        (issuer.count(On::token()), registry.count(On::token())),
        (1, 0)
    );
}

#[tokio::test]
async fn a_challenge_uses_up_no_fault() {
    let registry = filled(FakeRegistry::builder().basic("u", "p").start().await);
    let url = registry.manifest_url("a", "latest");
    registry.fault(On::manifest(), crate::harness::Fault::status(503));
    assert_eq!(get(&url).await.status, 401);
    assert_eq!(get_as(&url, &basic("u", "p")).await.status, 503);
}

#[tokio::test]
async fn tokens_can_be_asked_for_by_form() {
    let registry = filled(
        FakeRegistry::builder()
            .bearer_account("u", "p")
            .start()
            .await,
    );
    crate::harness::install_crypto();
    let ask = async |password: &str| {
        let scope = "repository:a:pull,push";
        let form = [("username", "u"), ("password", password), ("scope", scope)];
        let request = reqwest::Client::new().post(format!("{}/token", registry.url()));
        request
            .form(&form)
            .send()
            .await
            .expect("the server answers")
    };
    assert_eq!(ask("wrong").await.status(), 401);
    let answer: serde_json::Value = ask("p").await.json().await.expect("the body is JSON");
    let token = format!(
        "Bearer {}",
        answer["token"].as_str().expect("there is a token")
    );
    let url = registry.manifest_url("a", "latest");
    assert_eq!(get_as(&url, &token).await.status, 200);
}
