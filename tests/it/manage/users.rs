//! Users and tokens by the API: who may see and change what, and what the audit tells of it.

use http::Method;
use serde_json::{Value, json};

use super::{Called, call_as, delete, get, names, post, put};
use crate::{
    api::{hub, pull, setup},
    server::TestServer,
};

const ADA: (&str, &str) = ("ada", "a long password");

async fn as_ada(server: &TestServer, method: Method, path: &str, body: Option<Value>) -> Called {
    call_as(server, ADA, method, path, body).await
}

/// A server with `ada`, who may pull from and push to the private project `team`.
async fn server_with_ada() -> TestServer {
    let (hub, image) = hub().await;
    let server = setup(&hub).start().await;
    pull(&server, "library/app", "1", &image).await;
    for project in ["team", "secret"] {
        let body = json!({"name": project, "kind": "hosted"});
        assert_eq!(post(&server, "/projects", body).await.status, 201);
        let body = json!({"name": format!("{project}/app")});
        assert_eq!(post(&server, "/repositories", body).await.status, 201);
    }
    let rights = json!([{"project": "team", "repositories": "**", "rights": ["pull", "push"]}]);
    let ada = json!({"name": ADA.0, "password": ADA.1, "rights": rights});
    let made = post(&server, "/users", ada).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.headers["location"], "/api/v1/users/ada");
    assert!(!made.body.to_string().contains(ADA.1));
    server
}

#[tokio::test]
async fn a_user_sees_what_is_theirs_and_nothing_else() {
    let server = server_with_ada().await;
    let projects = as_ada(&server, Method::GET, "/projects", None).await;
    assert_eq!(
        names(&projects.body["items"], "name"),
        ["docker.io", "team"]
    );
    assert_eq!(projects.headers["x-total-count"], "2");
    let found = as_ada(&server, Method::GET, "/search?q=app", None).await;
    let repositories = names(&found.body["repositories"], "name");
    assert_eq!(repositories, ["docker.io/library/app", "team/app"]);
    for path in ["/projects/secret", "/repository?name=secret/app"] {
        let hidden = as_ada(&server, Method::GET, path, None).await;
        assert_eq!(hidden.status, 404, "{path}");
    }
    for (method, path) in [
        (Method::GET, "/remotes"),
        (Method::GET, "/users"),
        (Method::GET, "/audit"),
        (Method::GET, "/status"),
        (Method::DELETE, "/projects/team"),
        (Method::POST, "/upkeep/evict"),
    ] {
        let refused = as_ada(&server, method, path, None).await;
        assert_eq!(refused.status, 403, "{path}");
    }
    let open = json!({"visibility": "public"});
    let refused = as_ada(
        &server,
        Method::PUT,
        "/repository?name=team/app",
        Some(open.clone()),
    )
    .await;
    assert_eq!(refused.status, 403);
    let hidden = as_ada(
        &server,
        Method::PUT,
        "/repository?name=secret/app",
        Some(open),
    )
    .await;
    assert_eq!(hidden.status, 404);
}

#[tokio::test]
async fn a_token_is_shown_once_serves_its_owner_and_goes_with_its_delete() {
    let server = server_with_ada().await;
    let body = json!({"name": "ci", "expires_in": "1h"});
    let made = as_ada(&server, Method::POST, "/tokens", Some(body.clone())).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let secret = made.body["secret"].as_str().expect("a secret").to_owned();
    let username = made.body["username"].as_str().expect("a name").to_owned();
    assert!(made.body["expires_at"].is_string());
    let again = as_ada(&server, Method::POST, "/tokens", Some(body)).await;
    assert_eq!(again.status, 409);
    let list = as_ada(&server, Method::GET, "/tokens", None).await;
    assert_eq!(names(&list.body["items"], "name"), ["ci"]);
    assert!(!list.body.to_string().contains(&secret));
    let by_token = async |method, path: &str, body| {
        call_as(&server, (&username, &secret), method, path, body).await
    };
    let projects = by_token(Method::GET, "/projects", None).await;
    assert_eq!(
        names(&projects.body["items"], "name"),
        ["docker.io", "team"]
    );
    let breeds = by_token(Method::POST, "/tokens", Some(json!({"name": "more"}))).await;
    assert_eq!(breeds.status, 403);
    let id = made.body["id"].as_str().expect("an id");
    let gone = as_ada(&server, Method::DELETE, &format!("/tokens/{id}"), None).await;
    assert_eq!(gone.status, 204);
    assert_eq!(by_token(Method::GET, "/projects", None).await.status, 401);
    assert_eq!(delete(&server, &format!("/tokens/{id}")).await.status, 404);
}

#[tokio::test]
async fn a_user_is_changed_and_deleted_and_changes_their_own_password() {
    let server = server_with_ada().await;
    let wrong = post(
        &server,
        "/users",
        json!({"name": "ada", "password": "another one"}),
    )
    .await;
    assert_eq!(wrong.status, 409);
    let bad = json!({"name": "bob", "rights": [{"project": "[", "rights": ["pull"]}]});
    assert_eq!(
        post(&server, "/users", bad).await.fields(),
        ["rights[0].project"]
    );
    let short = json!({"name": "bob", "password": "short"});
    assert_eq!(post(&server, "/users", short).await.fields(), ["password"]);
    let new = Some(json!({"password": "a newer password"}));
    let changed = as_ada(&server, Method::PUT, "/users/me/password", new).await;
    assert_eq!(changed.status, 204);
    assert_eq!(
        as_ada(&server, Method::GET, "/projects", None).await.status,
        401
    );
    let renewed = ("ada", "a newer password");
    let projects = call_as(&server, renewed, Method::GET, "/projects", None).await;
    assert_eq!(projects.status, 200);
    let none = put(&server, "/users/ada", json!({"rights": []})).await;
    assert_eq!((none.status, &none.body["rights"]), (200, &json!([])));
    let projects = call_as(&server, renewed, Method::GET, "/projects", None).await;
    assert_eq!(names(&projects.body["items"], "name"), ["docker.io"]);
    assert_eq!(delete(&server, "/users/ada").await.status, 204);
    assert_eq!(get(&server, "/users/ada").await.status, 404);
    let gone = call_as(&server, renewed, Method::GET, "/projects", None).await;
    assert_eq!(gone.status, 401);
}

#[tokio::test]
async fn the_audit_tells_who_did_what() {
    let server = server_with_ada().await;
    let refused = as_ada(&server, Method::DELETE, "/projects/team", None).await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        delete(&server, "/repository?name=team/app").await.status,
        204
    );
    let audit = get(&server, "/audit?limit=200").await;
    assert_eq!(audit.status, 200, "{}", audit.body);
    let entries = audit.body["items"].as_array().expect("a list");
    let has = |principal: &str, action: &str, outcome: &str| {
        entries.iter().any(|entry| {
            entry["principal"] == principal
                && entry["action"] == action
                && entry["outcome"] == outcome
        })
    };
    assert!(has("admin", "POST /projects", "done"), "{}", audit.body);
    assert!(has("admin", "DELETE /repository", "done"));
    assert!(has("admin", "user.create", "done"));
    assert!(has("ada", "DELETE /projects/team", "403"));
    assert!(!audit.body.to_string().contains(ADA.1));
    assert_eq!(
        get(&server, "/audit?limit=1").await.body["items"][0]["id"],
        entries[0]["id"]
    );
}
