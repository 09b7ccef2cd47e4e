use std::{fs, path::Path};

use object_store::{ClientConfigKey, aws::AmazonS3ConfigKey};

use super::*;
use crate::config::load;

fn loaded(text: &str, environment: &[(&str, &str)]) -> Result<Option<ObjectStorage>, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entrepot.toml");
    fs::write(folder.path().join("key"), "from a file\n").unwrap();
    fs::write(&file, text).unwrap();
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Ok(load(Some(&file), environment)?.storage.objects)
}

fn read(text: &str, environment: &[(&str, &str)]) -> ObjectStorage {
    let text = format!("[storage]\n{text}");
    let read = loaded(&text, environment).unwrap_or_else(|error| panic!("{error}"));
    read.expect("`url` is set")
}

fn shown(storage: &ObjectStorage) -> Vec<(&str, &str)> {
    let option = |(name, secret): &'_ (&'static str, Secret)| (*name, secret.expose().to_owned());
    let options: Vec<(&str, String)> = storage.options.iter().map(option).collect();
    options
        .into_iter()
        .map(|(name, value)| (name, &*value.leak()))
        .collect()
}

#[test]
fn a_url_is_a_bucket_and_a_prefix() {
    for (url, bucket, prefix) in [
        ("s3://content", "content", ""),
        ("s3://content/", "content", ""),
        ("s3://my.bucket-1/a/b_c/", "my.bucket-1", "a/b_c"),
    ] {
        let storage = read(&format!("url = \"{url}\""), &[]);
        assert_eq!((&*storage.bucket, &*storage.prefix), (bucket, prefix));
        assert_eq!(storage.service, ObjectService::S3);
        assert_eq!(storage.local_max_bytes, 20 << 30);
    }
    assert!(loaded("", &[]).unwrap().is_none());
}

#[test]
fn options_have_object_stores_own_names_short_or_long() {
    let storage = read(
        "url = \"s3://b\"\nlocal_max_bytes = \"1MiB\"\n\
         [storage.options]\naws_access_key_id = \"me\"\nsecret_access_key = { file = \"key\" }\n\
         session_token = { env = \"TOKEN\" }\nendpoint = \"http://127.0.0.1:7070\"\nallow_http = true\n\
         connect_timeout = \"5s\"",
        &[("TOKEN", "from a variable")],
    );
    assert_eq!(storage.local_max_bytes, 1 << 20);
    assert_eq!(
        shown(&storage),
        [
            ("aws_access_key_id", "me"),
            ("allow_http", "true"),
            ("connect_timeout", "5s"),
            ("aws_endpoint", "http://127.0.0.1:7070"),
            ("aws_secret_access_key", "from a file"),
            ("aws_session_token", "from a variable"),
        ]
    );
    assert!(!format!("{storage:?}").contains("from a"));
}

#[test]
fn a_relative_path_starts_at_the_folder_of_the_file() {
    let storage = read(
        "url = \"s3://b\"\n[storage.options]\nweb_identity_token_file = \"token\"\nrole_arn = \"r\"",
        &[],
    );
    let path = shown(&storage)[1].1;
    assert!(
        Path::new(path).is_absolute() && path.ends_with("/token"),
        "{path}"
    );
}

#[test]
fn the_usual_variables_say_what_the_file_leaves_out() {
    let environment = [
        ("AWS_REGION", "eu-1"),
        ("AWS_ENDPOINT_URL", "https://elsewhere"),
        ("AWS_ACCESS_KEY_ID", "theirs"),
        ("AWS_SECRET_ACCESS_KEY", "theirs"),
        ("AWS_UNKNOWN", "x"),
        ("AWS_ROLE_ARN", ""),
    ];
    let all = read("url = \"s3://b\"", &environment);
    assert_eq!(
        shown(&all),
        [
            ("aws_access_key_id", "theirs"),
            ("aws_endpoint_url", "https://elsewhere"),
            ("aws_region", "eu-1"),
            ("aws_secret_access_key", "theirs"),
        ]
    );
    let own = "url = \"s3://b\"\n[storage.options]\nrole_arn = \"r\"\n\
               web_identity_token_file = \"/token\"\nendpoint = \"https://here\"";
    assert_eq!(
        shown(&read(own, &environment)),
        [
            ("aws_endpoint", "https://here"),
            ("aws_region", "eu-1"),
            ("aws_role_arn", "r"),
            ("aws_web_identity_token_file", "/token"),
        ]
    );
}

#[test]
fn mistakes_name_key_file_and_what_is_allowed() {
    let mistakes = [
        "url = \"bucket\"",
        "url = \"https://user:secret@s3.example.com/bucket\"",
        "url = \"s3://\"",
        "url = \"s3://bucket//a\"",
        "url = \"s3://bucket/a b\"",
        "url = \"gs://bucket\"",
        "local_max_bytes = \"1GiB\"",
        "[storage.options]\nregion = \"r\"",
        "url = \"s3://b\"\nlocal_max_bytes = \"lots\"",
        "url = \"s3://b\"\n[storage.options]\nregoin = \"r\"",
        "url = \"s3://b\"\n[storage.options]\ntimeout = \"3s\"",
        "url = \"s3://b\"\n[storage.options]\naccess_key_id = \"a\"",
        "url = \"s3://b\"\n[storage.options]\nregion = \"r\"\naws_region = \"r\"",
        "url = \"s3://b\"\n[storage.options]\nendpoint = \"http://here\"",
        "url = \"s3://b\"\n[storage.options]\nendpoint = \"here:7070\"",
        "url = \"s3://b\"\n[storage.options]\nallow_http = \"perhaps\"",
        "url = \"s3://b\"\n[storage.options]\nconnect_timeout = 5",
        "url = \"s3://b\"\n[storage.options]\nconditional_put = \"off\"",
        "url = \"s3://b\"\n[storage.options]\nsecret_access_key = { env = \"NOT_SET\" }",
    ];
    let told = |text: &&str| {
        let error = loaded(&format!("[storage]\n{text}"), &[]).unwrap_err();
        let shown = error.to_string();
        let at = shown.find("entrepot.toml").expect("the file is named");
        let hint = error
            .hint
            .map_or_else(String::new, |hint| format!("\n   hint: {hint}"));
        format!("{text}\n=> {}{hint}\n", &shown[at..])
    };
    let told: Vec<String> = mistakes.iter().map(told).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    let environment = [("AWS_SKIP_SIGNATURE", "perhaps")];
    let error = loaded("[storage]\nurl = \"s3://b\"", &environment).unwrap_err();
    assert_eq!(
        error.to_string(),
        "environment: `AWS_SKIP_SIGNATURE`: expected true or false"
    );
}

#[test]
fn every_option_is_one_that_object_store_knows() {
    for known in S3 {
        for name in [known.name, known.long] {
            // This one it knows by its long name only.
            let parsed = name.parse::<AmazonS3ConfigKey>();
            assert!(parsed.is_ok() || name == "endpoint_url_s3", "{name}");
        }
    }
    for known in HTTP {
        assert!(
            known.long.parse::<ClientConfigKey>().is_ok(),
            "{}",
            known.long
        );
    }
    let listed = |name: &&str| S3.iter().any(|known| known.name == *name);
    assert!(
        S3_LOGIN
            .iter()
            .chain(S3_SAME.iter().copied().flatten())
            .all(listed)
    );
}
