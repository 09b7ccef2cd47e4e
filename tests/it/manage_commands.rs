//! `entrepot project`, `user` and `token` as processes, against a server that is one too.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::{
    process::{Process, Said, command},
    server::Setup,
};

pub(crate) struct Scene {
    pub(crate) server: Process,
}

impl Scene {
    async fn new() -> Self {
        Self::of(&Setup::empty()).await
    }

    pub(crate) async fn of(setup: &Setup) -> Self {
        let server = Process::serve(&setup.text(), &[]).await;
        Self { server }
    }

    /// Runs a command as a person does who has the server's configuration at hand.
    pub(crate) async fn run(&self, arguments: &str) -> Said {
        self.run_with(arguments, "", &[("ENTREPOT_CONFIG", "entrepot.toml")])
            .await
    }

    pub(crate) async fn run_with(
        &self,
        arguments: &str,
        input: &str,
        environment: &[(&str, &str)],
    ) -> Said {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let mut command = command(self.server.folder.path(), &arguments);
        command.env("ENTREPOT_URL", &self.server.url);
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command)
            .spawn()
            .expect("the binary runs");
        let mut stdin = child.stdin.take().expect("it is piped");
        // Who reads nothing may be gone already.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await.expect("it ends").into()
    }

    /// What it says is there, by the API's names.
    pub(crate) async fn json(&self, arguments: &str) -> Value {
        let said = self.run(&format!("{arguments} --output json")).await;
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        serde_json::from_str(&said.stdout).expect("JSON")
    }
}

#[tokio::test]
async fn a_project_is_made_shown_changed_given_members_and_deleted() {
    let scene = Scene::new().await;
    let made = scene
        .run("project create team kind=hosted quota=1GiB")
        .await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stdout.contains("1.0 GiB"), "{}", made.stdout);
    let ada = scene.run("user create ada").await;
    assert_eq!(ada.code, Some(0), "{}", ada.stderr);
    let set = r#"project set team immutable_tags=["v*"] description=ours"#;
    let changed = scene.json(set).await;
    assert_eq!(changed["immutable_tags"], json!(["v*"]));
    assert_eq!(changed["quota"], 1_u64 << 30);
    let back = scene.json("project set team quota=null").await;
    assert_eq!(
        (back.get("quota"), &back["description"]),
        (None, &json!("ours"))
    );
    for grant in [
        "project grant team ada pull,push --repositories apps/**",
        "project grant team ada pull",
        "project grant team ada pull,delete",
    ] {
        assert_eq!(scene.run(grant).await.code, Some(0), "{grant}");
    }
    let team = scene.json("project show team").await;
    let members = json!([
        {"principal": "ada", "repositories": "apps/**", "rights": ["pull", "push"]},
        {"principal": "ada", "repositories": "**", "rights": ["pull", "delete"]},
    ]);
    assert_eq!(team["members"], members);
    let user = scene.run("user show ada").await;
    let may = "team/apps/**:pull,push team:pull,delete";
    assert!(user.stdout.contains(may), "{}", user.stdout);
    let revoked = scene.json("project revoke team ada").await;
    assert_eq!(revoked["members"], json!([]));
    let list = scene.run("project list --search tea").await;
    let expected = "PROJECT  KIND    VISIBILITY  FROM\nteam     hosted  private\n";
    assert_eq!(list.stdout, expected);
    assert_eq!(
        scene.run("project delete team").await.stdout,
        "team: deleted\n"
    );
    let gone = scene.run("project show team").await;
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(1), ""));
    assert!(gone.stderr.contains("there is no project `team`"));
    let wrong = scene.run("project create team kind=other").await;
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("kind"), "{}", wrong.stderr);
    assert_eq!(scene.run("project create team kind").await.code, Some(64));
}

#[tokio::test]
async fn a_user_logs_in_makes_a_token_and_that_opens_what_it_says() {
    let scene = Scene::new().await;
    for project in ["team", "other"] {
        let create = format!("project create {project} kind=hosted");
        assert_eq!(scene.run(&create).await.code, Some(0));
    }
    let create =
        "user create ada --password-stdin team:pull,push other:pull --config entrepot.toml";
    let made = scene.run_with(create, "a long password\n", &[]).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(!made.stdout.contains("a long password"));
    let as_ada = [("ENTREPOT_ADMIN_PASSWORD", "a long password")];
    let create = "token create ci team:pull --expires-in 1h --user ada --output json";
    let made = scene.run_with(create, "", &as_ada).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let made: Value = serde_json::from_str(&made.stdout).expect("JSON");
    let secret = made["secret"].as_str().expect("a secret");
    let by_token = [("ENTREPOT_TOKEN", secret)];
    let list = scene.run_with("project list", "", &by_token).await;
    assert!(list.stdout.contains("team") && !list.stdout.contains("other"));
    let users = scene.run_with("user list", "", &by_token).await;
    assert_eq!((users.code, users.stdout.as_str()), (Some(77), ""));
    let tokens = scene.run("token list").await;
    assert!(tokens.stdout.contains("ada+ci") && tokens.stdout.contains("team:pull"));
    assert!(!tokens.stdout.contains(secret));
    let delete = format!("token delete {}", made["id"].as_str().expect("an id"));
    assert_eq!(scene.run(&delete).await.code, Some(0));
    let refused = scene.run_with("project list", "", &by_token).await;
    assert_eq!(refused.code, Some(77));

    let password = "user password ada --config entrepot.toml";
    let changed = scene.run_with(password, "a newer password", &[]).await;
    assert_eq!(changed.code, Some(0), "{}", changed.stderr);
    let old = scene.run_with("project list --user ada", "", &as_ada).await;
    assert_eq!(old.code, Some(77));
    assert_eq!(scene.run("user rights ada --admin").await.code, Some(0));
    let newer = [("ENTREPOT_ADMIN_PASSWORD", "a newer password")];
    let list = scene.run_with("user list --user ada", "", &newer).await;
    assert_eq!(list.stdout, "USER  MAY\nada   everything\n");
    assert_eq!(scene.run("user delete ada").await.stdout, "ada: deleted\n");
    let gone = scene.run_with("user list --user ada", "", &newer).await;
    assert_eq!(gone.code, Some(77));
}

#[tokio::test]
async fn an_empty_variable_is_as_if_it_were_not_set() {
    let scene = Scene::new().await;
    let empty = [
        ("ENTREPOT_CONFIG", "entrepot.toml"),
        ("ENTREPOT_TOKEN", ""),
        ("ENTREPOT_ADMIN_PASSWORD", ""),
    ];
    let said = scene.run_with("project list", "", &empty).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // Where the server is, then the configuration says.
    let own = [("ENTREPOT_CONFIG", "entrepot.toml"), ("ENTREPOT_URL", "")];
    let said = scene.run_with("project list", "", &own).await;
    assert!(said.stderr.contains("no answer from"), "{}", said.stderr);
    // Who writes it down meant something.
    let said = scene
        .run_with(
            "project list --token=",
            "",
            &[("ENTREPOT_CONFIG", "entrepot.toml")],
        )
        .await;
    assert_eq!(said.code, Some(64), "{}", said.stderr);
}
