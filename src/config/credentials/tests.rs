use std::{fs, path::Path};

use tempfile::TempDir;

use super::*;
use crate::config::{Remote, load};

/// A folder with one configuration file, and a credential helper.
fn folder(keys: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entrepot.toml");
    fs::write(&file, format!("[[remote]]\nname = \"r\"\n{keys}\n")).unwrap();
    fs::write(folder.path().join("docker-credential-sample"), "").unwrap();
    (folder, file)
}

fn environment(folder: &Path) -> Vec<(String, String)> {
    let path = format!("/nowhere:{}", folder.display());
    let pairs = [
        ("PATH", path.as_str()),
        ("HOME", "/home/me"),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_EMPTY", ""),
        ("UNRELATED", "x"),
    ];
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn remote(keys: &str) -> Remote {
    let (folder, file) = folder(keys);
    let config = load(Some(&file), environment(folder.path()));
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    config.remotes[0].clone()
}

fn mistake(keys: &str) -> String {
    let (folder, file) = folder(keys);
    let error = load(Some(&file), environment(folder.path())).unwrap_err();
    error
        .to_string()
        .replace(&format!("{}/entrepot.toml:", folder.path().display()), "")
}

const URLS: &str = "urls = [\"https://r.example.com\"]\n";

#[test]
fn each_kind_of_credentials_is_understood() {
    let of = |keys: &str| remote(&format!("{URLS}{keys}")).credentials;
    assert!(matches!(of(""), Credentials::None));
    assert!(matches!(
        of("username = \"u\"\ntoken = \"t\""),
        Credentials::Password { username, password } if username == "u" && password.expose() == "t"
    ));
    assert!(matches!(of("token = \"t\""), Credentials::Token(token) if token.expose() == "t"));
    assert!(matches!(
        of("credential_helper = \"sample\""),
        Credentials::Helper(program) if program.ends_with("docker-credential-sample")
    ));
    let Credentials::DockerConfig(config) = of("docker_config = true") else {
        panic!("expected the files of docker");
    };
    assert_eq!(config.files, [Path::new("/home/me/.docker/config.json")]);
    assert_eq!(config.programs[0], Path::new("/nowhere"));
    assert!(matches!(of("docker_config = false"), Credentials::None));
}

#[test]
fn the_files_of_podman_come_before_those_of_docker() {
    let (_folder, file) = folder(&format!("{URLS}docker_config = true"));
    let variables = [
        ("HOME", "/home/me"),
        ("XDG_RUNTIME_DIR", "/run/user/1"),
        ("REGISTRY_AUTH_FILE", "/etc/auth.json"),
        ("DOCKER_CONFIG", "/etc/docker"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = load(Some(&file), variables).unwrap();
    let Credentials::DockerConfig(found) = &config.remotes[0].credentials else {
        panic!("expected the files of docker");
    };
    let expected = [
        "/etc/auth.json",
        "/run/user/1/containers/auth.json",
        "/etc/docker/config.json",
    ];
    assert_eq!(found.files, expected.map(PathBuf::from));
    let error = load(Some(&file), []).unwrap_err().to_string();
    assert!(
        error.contains("`remote[0].docker_config`") && error.contains("HOME"),
        "{error}"
    );
}

#[test]
fn an_access_key_is_told_from_a_login_by_its_beginning() {
    let of = |provider: &str, username: &str| {
        let keys = format!(
            "{URLS}provider = \"{provider}\"\nusername = \"{username}\"\npassword = \"p\"\n"
        );
        let region = if provider == "tencent" {
            ""
        } else {
            "region = \"eu-west-1\""
        };
        remote(&format!("{keys}{region}")).credentials
    };
    for (provider, id) in [("ecr", "AKIA1"), ("aliyun", "LTAI1"), ("tencent", "AKID1")] {
        let Credentials::Cloud(cloud) = of(provider, id) else {
            panic!("{id} is an access key of {provider}");
        };
        assert_eq!(cloud.key.unwrap().id, id);
    }
    for (provider, name) in [
        ("ecr", "AWS"),
        ("aliyun", "me@1234"),
        ("tencent", "100012345678"),
    ] {
        assert!(
            matches!(of(provider, name), Credentials::Password { .. }),
            "{name}"
        );
    }
}

#[test]
fn a_cloud_registry_is_found_by_account_instance_and_region() {
    let ecr = remote("provider = \"ecr\"\naccount = \"123456789012\"\nregion = \"eu-west-1\"");
    assert_eq!(
        ecr.urls[0].as_str(),
        "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/"
    );
    let Credentials::Cloud(cloud) = ecr.credentials else {
        panic!("a private registry of Amazon lets nobody in without a login");
    };
    assert!(cloud.key.is_none());
    assert_eq!(
        cloud.environment.get("AWS_ACCESS_KEY_ID"),
        Some("AKIAEXAMPLE")
    );
    assert_eq!(
        (
            cloud.environment.get("AWS_EMPTY"),
            cloud.environment.get("UNRELATED")
        ),
        (None, None)
    );
    assert!(!format!("{cloud:?}").contains("AKIAEXAMPLE"), "{cloud:?}");
    let tcr = remote("provider = \"tencent\"\ninstance = \"mine\"\ncredentials = \"environment\"");
    assert_eq!(tcr.urls[0].as_str(), "https://mine.tencentcloudcr.com/");
    let gallery = remote("provider = \"ecr\"\nurls = [\"https://public.ecr.aws\"]");
    assert!(gallery.is_anonymous());
    let acr = remote("provider = \"aliyun\"\nregion = \"cn-beijing\"");
    assert!(acr.is_anonymous());
    assert_eq!(
        acr.urls[0].as_str(),
        "https://registry.cn-beijing.aliyuncs.com/"
    );
}

#[test]
fn mistakes_in_credentials_name_the_key_and_what_is_allowed() {
    let mistakes = [
        "username = \"u\"",
        "password = \"hunter2\"",
        "username = \"u\"\npassword = \"hunter2\"\ntoken = \"hunter2\"",
        "token = \"hunter2\"\ndocker_config = true",
        "credential_helper = \"absent\"",
        "credential_helper = \"../sample\"",
        "credential_helper = \"sample\"\ncredentials = \"environment\"",
        "credentials = \"environment\"",
        "credentials = \"machine\"",
        "provider = \"harbor\"\ninstance = \"mine\"",
        "provider = \"ecr\"",
        "provider = \"ecr\"\nregion = \"EU\"",
        "provider = \"aliyun\"\ninstance = \"mine\"",
    ];
    let told = mistakes.map(|keys| format!("{keys}\n=> {}\n", mistake(&format!("{URLS}{keys}"))));
    insta::assert_snapshot!(told.join("\n"));
    let without_urls = ["ecr", "tencent", "aliyun", "azure"];
    let told = without_urls.map(|name| mistake(&format!("provider = \"{name}\"")));
    insta::assert_snapshot!(told.join("\n"));
}
