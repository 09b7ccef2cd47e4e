//! Harbor's projects API, by its public description: HEAD and POST `/projects`, Basic logins, errors as a list.

use std::sync::{Arc, Mutex};

use super::*;
use crate::{
    client::{Made, RegistryClient},
    telemetry::Metrics,
};

const LOGIN: &str = "Basic cm9ib3QkcHVzaDpzZWNyZXQ=";

/// A Harbor whose robot may do so much.
struct Harbor {
    server: FakeServer,
    projects: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Robot {
    /// Pushes, and sees no project's being.
    Pushes,
    Looks,
    Creates,
}

impl Harbor {
    async fn start(robot: Robot) -> Self {
        let projects = Arc::new(Mutex::new(vec!["library".to_owned()]));
        let known = Arc::clone(&projects);
        let error = |status, code: &str, message: &str| {
            let body = json!({"errors": [{"code": code, "message": message}]});
            Reply::new(status, body.to_string())
        };
        let forbidden = move || error(403, "FORBIDDEN", "forbidden");
        let server = FakeServer::start(move |seen| {
            if seen.header("authorization") != LOGIN {
                return error(401, "UNAUTHORIZED", "unauthorized");
            }
            let mut known = known.lock().unwrap();
            if seen.method == "HEAD" {
                let name = seen.target.strip_prefix("/api/v2.0/projects?project_name=");
                let is_there = known.iter().any(|project| Some(project.as_str()) == name);
                return match (robot, is_there) {
                    (Robot::Pushes, _) => Reply::new(403, ""),
                    (_, true) => Reply::new(200, ""),
                    (_, false) => Reply::new(404, ""),
                };
            }
            if seen.method == "DELETE" {
                let tag = "/api/v2.0/projects/team/repositories/deep%252Fapp/artifacts/1/tags/1";
                return match seen.target == tag {
                    true => Reply::new(200, ""),
                    false => error(404, "NOT_FOUND", "not found"),
                };
            }
            assert_eq!(
                (seen.method.as_str(), seen.target.as_str()),
                ("POST", "/api/v2.0/projects")
            );
            if robot != Robot::Creates {
                return forbidden();
            }
            let body = json_body(seen);
            let name = body["project_name"].as_str().unwrap().to_owned();
            assert_eq!(body["metadata"]["public"], "false");
            if known.contains(&name) {
                return error(409, "CONFLICT", "The project is there already");
            }
            known.push(name);
            Reply::new(201, "").with("location", "/api/v2.0/projects/7")
        });
        let server = server.await;
        Self { server, projects }
    }

    fn client(&self) -> RegistryClient {
        let remote = config::Remote {
            name: "corp".to_owned(),
            provider: Provider::Harbor,
            credentials: config::Credentials::Password {
                username: "robot$push".to_owned(),
                password: Secret::new("secret".to_owned()),
            },
            ..crate::client::tests::remote(self.server.url())
        };
        RegistryClient::new(remote, Metrics::default()).unwrap()
    }
}

#[tokio::test]
async fn a_project_that_harbor_does_not_have_is_made_private() {
    let harbor = Harbor::start(Robot::Creates).await;
    let client = harbor.client();
    let name: crate::oci::Name = "team/deep/app".parse().unwrap();
    let needed = client.project_needed(&name).unwrap();
    assert_eq!(needed, "team");
    assert_eq!(client.project_make(&name).await.unwrap(), Made::There);
    assert_eq!(*harbor.projects.lock().unwrap(), ["library", "team"]);
    // It is found there the next time.
    assert_eq!(client.project_make(&name).await.unwrap(), Made::There);
    let library = "library/app".parse().unwrap();
    assert_eq!(client.project_make(&library).await.unwrap(), Made::There);
    assert_eq!(harbor.server.seen().len(), 4);
}

#[tokio::test]
async fn who_may_not_make_a_project_is_told_which_right_is_missing() {
    let harbor = Harbor::start(Robot::Looks).await;
    let client = harbor.client();
    let [library, team] = ["library/app", "team/app"].map(|name| name.parse().unwrap());
    assert_eq!(client.project_make(&library).await.unwrap(), Made::There);
    let Made::Refused(why) = client.project_make(&team).await.unwrap() else {
        panic!("it was made");
    };
    assert_eq!(
        why,
        "may not create project `team` at `corp`: needs a system robot account with the permission to create projects \
         (the remote refuses: FORBIDDEN forbidden)"
    );
}

#[tokio::test]
async fn a_robot_that_only_pushes_goes_on_to_push() {
    let harbor = Harbor::start(Robot::Pushes).await;
    let library = "library/app".parse().unwrap();
    let made = harbor.client().project_make(&library).await.unwrap();
    assert!(matches!(made, Made::Unsure(_)), "{made:?}");
}

#[tokio::test]
async fn a_tag_is_deleted_by_harbors_own_api_and_never_its_artifact() {
    let harbor = Harbor::start(Robot::Creates).await;
    let client = harbor.client();
    let name = "team/deep/app".parse().unwrap();
    // The second one is not there: it is deleted, too.
    for tag in ["1", "2"] {
        client
            .tag_delete(&name, &tag.parse().unwrap(), None)
            .await
            .unwrap();
    }
    let seen = harbor.server.seen();
    assert_eq!(seen.len(), 2);
    assert!(
        seen.iter()
            .all(|seen| seen.target.starts_with("/api/v2.0/"))
    );
    assert!(seen[0].target.ends_with("/deep%252Fapp/artifacts/1/tags/1"));
}
