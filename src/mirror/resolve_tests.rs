use proptest::{option, prelude::*};

use super::*;
use crate::{
    config::{Pattern, ProjectKind, Visibility},
    oci::fuzz::{near_text, search},
};

fn mirror(name: &str, hosts: &[&str]) -> Project {
    let kind = ProjectKind::Mirror {
        remote: name.into(),
    };
    Project {
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        default: name == "docker.io",
        visibility: Visibility::Public,
        ..Project::with_defaults(name.into(), kind)
    }
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect("a pattern")
}

/// docker.io (the default), ghcr.io, and `team`: private, with a prefix at its remote and a repository denied.
fn projects() -> ProjectSet {
    let team = Project {
        visibility: Visibility::Private,
        prefix: Some("org/mirror".parse().expect("a name")),
        deny: vec![pattern("secret/**")],
        ..mirror("team", &["team"])
    };
    let hub = mirror(
        "docker.io",
        &["docker.io", "index.docker.io", "registry-1.docker.io"],
    );
    let known = vec![hub, mirror("ghcr.io", &["ghcr.io"]), team];
    ProjectSet::with_hubs(known, ["docker.io".to_owned()].into())
}

fn resolve(name: &str, ns: Option<&str>, caller: &Caller) -> Result<(String, String), String> {
    let name = name.parse().expect("a name");
    super::resolve(&projects(), &name, ns, caller)
        .map(|found| (found.name.to_string(), found.remote_name.to_string()))
        .map_err(|error| error.to_string())
}

fn found(local: &str, remote: &str) -> (String, String) {
    (local.to_owned(), remote.to_owned())
}

#[test]
fn ns_path_prefix_and_default_reach_one_repository() {
    let nginx = found("docker.io/library/nginx", "library/nginx");
    for (name, ns) in [
        ("nginx", None),
        ("library/nginx", None),
        ("docker.io/nginx", None),
        ("docker.io/library/nginx", None),
        ("library/nginx", Some("docker.io")),
        ("nginx", Some("index.docker.io")),
        ("library/nginx", Some("Registry-1.Docker.io")),
        ("docker.io/library/nginx", Some("docker.io")),
    ] {
        assert_eq!(
            resolve(name, ns, &Caller::Anonymous),
            Ok(nginx.clone()),
            "{name} {ns:?}"
        );
    }
}

#[test]
fn only_docker_hub_names_are_completed_with_library() {
    assert_eq!(
        resolve("ghcr.io/tool", None, &Caller::Anonymous),
        Ok(found("ghcr.io/tool", "tool"))
    );
    assert_eq!(
        resolve("tool", Some("ghcr.io"), &Caller::Anonymous),
        Ok(found("ghcr.io/tool", "tool"))
    );
}

#[test]
fn the_component_that_ns_selects_is_lost_only_once() {
    let twice = Ok(found("ghcr.io/ghcr.io/tool", "ghcr.io/tool"));
    assert_eq!(
        resolve("ghcr.io/ghcr.io/tool", Some("ghcr.io"), &Caller::Anonymous),
        twice
    );
}

#[test]
fn an_unknown_ns_or_host_is_told_the_mirrors_that_the_caller_may_see() {
    let error = resolve("a/b", Some("169.254.169.254"), &Caller::Anonymous).expect_err("unknown");
    assert_eq!(
        error,
        "no project mirrors `169.254.169.254`; mirror projects: docker.io, ghcr.io"
    );
    let error = resolve("quay.example/a/b", None, &Caller::admin()).expect_err("unknown");
    assert_eq!(
        error,
        "no project has `quay.example/a/b`; mirror projects: docker.io, ghcr.io, team"
    );
}

#[test]
fn a_private_project_does_not_exist_for_who_may_not_see_it() {
    let hidden = resolve("app", Some("team"), &Caller::Anonymous).expect_err("private");
    let absent = resolve("app", Some("none"), &Caller::Anonymous).expect_err("absent");
    assert_eq!(hidden.replace("team", "none"), absent);
    assert_eq!(
        resolve("app", Some("team"), &Caller::admin()),
        Ok(found("team/app", "org/mirror/app"))
    );
}

#[test]
fn allow_and_deny_look_at_the_name_without_the_project() {
    let error = resolve("team/secret/key", None, &Caller::admin()).expect_err("denied");
    assert_eq!(error, "project `team` does not mirror `secret/key`");
}

#[test]
fn a_project_alone_names_no_repository() {
    assert!(resolve("ghcr.io", None, &Caller::Anonymous).is_err());
    assert!(resolve("ghcr.io", Some("ghcr.io"), &Caller::Anonymous).is_err());
}

#[test]
fn a_name_that_grows_too_long_is_refused() {
    let long = "a".repeat(250);
    assert!(resolve(&long, None, &Caller::Anonymous).is_err());
}

#[test]
fn what_is_nearly_a_name_or_ns_leads_to_nothing_but_what_its_project_lets_through() {
    let names = near_text(&[
        "nginx",
        "library/nginx",
        "docker.io/library/nginx",
        "ghcr.io/org/app",
        "team/secret/app",
        "quay.io/app",
    ]);
    let ns = option::of(near_text(&[
        "docker.io",
        "Registry-1.docker.io",
        "ghcr.io",
        "team",
    ]));
    let projects = projects();
    search((names, ns), |(name, ns)| {
        let Ok(name) = name.parse::<Name>() else {
            return Ok(());
        };
        let located = locate(&projects, &name, ns.as_deref());
        let resolved = super::resolve(&projects, &name, ns.as_deref(), &Caller::Anonymous);
        let Ok(found) = resolved else {
            return Ok(());
        };
        prop_assert_eq!(found.project.visibility, Visibility::Public);
        prop_assert_eq!(found.name.first(), found.project.name.as_str());
        prop_assert_eq!(found.name.rest(), Some(found.remote_name));
        prop_assert_eq!(located.map(|located| located.name), Some(found.name));
        if let Some(ns) = &ns {
            let claims = |host: &String| host.eq_ignore_ascii_case(ns);
            prop_assert!(found.project.hosts.iter().any(claims));
        }
        Ok(())
    });
}
