//! Members of projects: who may do what in one, said by those who administer it.

use http::Method;
use serde_json::{Value, json};

use super::{call_as, delete, get, post, put};
use crate::{
    api::{hub, setup},
    server::TestServer,
};

const ADA: (&str, &str) = ("ada", "a long password");
const BOB: (&str, &str) = ("bob", "another password");

/// A server with the private project `team`, which `ada` administers, and with `bob`, who may nothing.
async fn server() -> TestServer {
    let (hub, _image) = hub().await;
    let server = setup(&hub).start().await;
    for (name, password) in [ADA, BOB] {
        let user = json!({"name": name, "password": password});
        assert_eq!(post(&server, "/users", user).await.status, 201);
    }
    let team = json!({
        "name": "team", "kind": "hosted", "quota": "1GiB", "members": [member("ada", "**", &["admin"])],
    });
    let made = post(&server, "/projects", team).await;
    assert_eq!(made.status, 201, "{}", made.body);
    server
}

fn member(principal: &str, repositories: &str, rights: &[&str]) -> Value {
    json!({"principal": principal, "repositories": repositories, "rights": rights})
}

#[tokio::test]
async fn members_are_the_rights_of_users_in_this_project_and_the_other_way_round() {
    let server = server().await;
    let team = get(&server, "/projects/team").await.body;
    assert_eq!(team["members"], json!([member("ada", "**", &["admin"])]));
    let rights = json!([
        {"project": "team", "repositories": "apps/**", "rights": ["pull"]},
        {"project": "t*", "repositories": "**", "rights": ["pull"]},
    ]);
    let bob = put(&server, "/users/bob", json!({"rights": rights})).await;
    assert_eq!(bob.status, 200, "{}", bob.body);
    let mut team = get(&server, "/projects/team").await.body;
    let of_both = json!([
        member("ada", "**", &["admin"]),
        member("bob", "apps/**", &["pull"])
    ]);
    assert_eq!(team["members"], of_both);
    // What was got can be put; and what is left out stays.
    assert_eq!(
        put(&server, "/projects/team", team.clone()).await.body["members"],
        of_both
    );
    let described = json!({"kind": "hosted", "description": "ours"});
    assert_eq!(
        put(&server, "/projects/team", described).await.body["members"],
        of_both
    );
    team["members"] = json!([
        member("bob", "**", &["pull", "push"]),
        member("bob", "x/**", &["delete"])
    ]);
    let changed = put(&server, "/projects/team", team.clone()).await;
    assert_eq!(changed.body["members"], team["members"]);
    let bob = get(&server, "/users/bob").await.body;
    assert_eq!(bob["rights"].as_array().map(Vec::len), Some(3), "{bob}");
    assert_eq!(bob["rights"][0]["project"], "t*");
    assert_eq!(get(&server, "/users/ada").await.body["rights"], json!([]));
    let listed = get(&server, "/projects?q=team").await.body;
    assert_eq!(listed["items"][0]["members"], team["members"]);
    // Who makes another project of this name begins anew.
    assert_eq!(delete(&server, "/projects/team").await.status, 204);
    let bob = get(&server, "/users/bob").await.body;
    assert_eq!(bob["rights"].as_array().map(Vec::len), Some(1), "{bob}");
}

#[tokio::test]
async fn an_admin_of_a_project_changes_it_and_its_members_but_not_its_bounds() {
    let server = server().await;
    let as_ada = async |method, path: &str, body| call_as(&server, ADA, method, path, body).await;
    let mut team = as_ada(Method::GET, "/projects/team", None).await.body;
    team["visibility"] = json!("public");
    team["members"] = json!([
        member("ada", "**", &["admin"]),
        member("bob", "**", &["push"])
    ]);
    let changed = as_ada(Method::PUT, "/projects/team", Some(team.clone())).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(
        (&changed.body["visibility"], &changed.body["members"]),
        (&json!("public"), &team["members"])
    );
    for (bound, value) in [
        ("quota", json!("2GiB")),
        ("quota", json!(null)),
        ("kind", json!("mirror")),
        ("hide_default", json!(true)),
        ("allow", json!(["x"])),
    ] {
        let mut other = team.clone();
        other[bound] = value;
        let refused = as_ada(Method::PUT, "/projects/team", Some(other)).await;
        assert_eq!(refused.status, 403, "{bound}: {}", refused.body);
        assert!(refused.body["detail"].to_string().contains(bound));
    }
    // What is left out of the bounds stays, too.
    let short = json!({"description": "ours"});
    let changed = as_ada(Method::PUT, "/projects/team", Some(short)).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(changed.body["quota"], 1_u64 << 30);
    assert_eq!(
        as_ada(Method::DELETE, "/projects/team", None).await.status,
        403
    );
    let others = json!({"visibility": "public"});
    let hidden = as_ada(Method::PUT, "/projects/none", Some(others.clone())).await;
    assert_eq!(hidden.status, 404);
    let refused = as_ada(Method::PUT, "/projects/docker.io", Some(others)).await;
    assert_eq!(refused.status, 403);
    let audit = get(&server, "/audit?limit=100").await.body;
    let entries = audit["items"].as_array().expect("a list");
    let is_it =
        |entry: &&Value| entry["action"] == "project.members" && entry["principal"] == "ada";
    let entry = entries.iter().find(is_it).expect("it is told");
    assert_eq!(entry["subject"], "team");
}

#[tokio::test]
async fn who_may_only_push_sees_no_members_and_changes_nothing() {
    let server = server().await;
    let members = json!({"kind": "hosted", "members": [member("bob", "**", &["push"])]});
    assert_eq!(
        put(&server, "/projects/team", members.clone()).await.status,
        200
    );
    let team = call_as(&server, BOB, Method::GET, "/projects/team", None).await;
    assert_eq!((team.status, team.body.get("members")), (200, None));
    let refused = call_as(&server, BOB, Method::PUT, "/projects/team", Some(members)).await;
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn members_of_a_declared_project_are_kept_here_and_nothing_else_of_it() {
    let server = server().await;
    let only = json!({"members": [member("bob", "**", &["pull"])]});
    let changed = put(&server, "/projects/docker.io", only.clone()).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(changed.body["members"], only["members"]);
    assert_eq!(changed.body["managed_by"], "configuration");
    let mut more = only;
    more["description"] = json!("ours");
    assert_eq!(put(&server, "/projects/docker.io", more).await.status, 409);
}

#[tokio::test]
async fn a_wrong_member_is_named_and_nothing_is_changed() {
    let server = server().await;
    for (wrong, field) in [
        (member("eve", "**", &["pull"]), "members[1].principal"),
        (member("admin", "**", &["pull"]), "members[1].principal"),
        (member("bob", "[", &["pull"]), "members[1].repositories"),
        (member("bob", "**", &["write"]), "members[1].rights"),
    ] {
        let members = [member("bob", "**", &["pull"]), wrong];
        let body = json!({"kind": "hosted", "visibility": "public", "members": members});
        let refused = put(&server, "/projects/team", body).await;
        assert_eq!(refused.fields(), [field]);
    }
    let unknown = json!({"kind": "hosted", "members": [{"principal": "bob", "right": []}]});
    assert_eq!(
        put(&server, "/projects/team", unknown).await.fields(),
        ["members"]
    );
    let team = get(&server, "/projects/team").await.body;
    assert_eq!(team["visibility"], "private");
    assert_eq!(team["members"], json!([member("ada", "**", &["admin"])]));
}
