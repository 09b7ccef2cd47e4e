use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::oci::{
    Algorithm,
    fuzz::{DIGEST, PATHS, near_text, search},
};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn digest() -> Digest {
    DIGEST.parse().unwrap()
}

#[test]
fn every_endpoint_is_recognised() {
    let nginx = || name("docker.io/library/nginx");
    for (path, expected) in [
        ("/v2".to_owned(), Path::Base),
        ("/v2/".to_owned(), Path::Base),
        ("/v2/_catalog".to_owned(), Path::Catalog),
        (
            "/v2/docker.io/library/nginx/manifests/1.27".to_owned(),
            Path::Manifest {
                name: nginx(),
                reference: "1.27".parse().unwrap(),
            },
        ),
        (
            format!("/v2/docker.io/library/nginx/manifests/{DIGEST}"),
            Path::Manifest {
                name: nginx(),
                reference: Reference::Digest(digest()),
            },
        ),
        (
            format!("/v2/docker.io/library/nginx/blobs/{DIGEST}"),
            Path::Blob {
                name: nginx(),
                digest: digest(),
            },
        ),
        (
            "/v2/docker.io/library/nginx/blobs/uploads/".to_owned(),
            Path::Uploads { name: nginx() },
        ),
        (
            "/v2/docker.io/library/nginx/blobs/uploads".to_owned(),
            Path::Uploads { name: nginx() },
        ),
        (
            "/v2/docker.io/library/nginx/blobs/uploads/0192-ab".to_owned(),
            Path::Upload {
                name: nginx(),
                id: "0192-ab".to_owned(),
            },
        ),
        (
            "/v2/docker.io/library/nginx/tags/list".to_owned(),
            Path::Tags { name: nginx() },
        ),
        (
            format!("/v2/docker.io/library/nginx/referrers/{DIGEST}"),
            Path::Referrers {
                name: nginx(),
                digest: digest(),
            },
        ),
    ] {
        assert_eq!(Path::parse(&path), Ok(expected), "{path}");
    }
}

#[test]
fn a_name_may_contain_the_words_of_endpoints() {
    assert_eq!(
        Path::parse("/v2/tags/list/tags/list"),
        Ok(Path::Tags {
            name: name("tags/list")
        })
    );
    assert_eq!(
        Path::parse("/v2/manifests/manifests/manifests"),
        Ok(Path::Manifest {
            name: name("manifests"),
            reference: "manifests".parse().unwrap()
        })
    );
    assert_eq!(
        Path::parse("/v2/a/blobs/uploads/blobs/uploads/"),
        Ok(Path::Uploads {
            name: name("a/blobs/uploads")
        })
    );
}

#[test]
fn percent_escapes_are_read_before_the_path_is_split() {
    let escaped = format!("/v2/library%2Fnginx/blobs/{}", DIGEST.replace(':', "%3a"));
    assert_eq!(
        Path::parse(&escaped),
        Ok(Path::Blob {
            name: name("library/nginx"),
            digest: digest()
        })
    );
    assert_eq!(Path::parse("/v2/%5Fcatalog"), Ok(Path::Catalog));
}

#[test]
fn the_wrong_part_is_told() {
    for path in [
        "/v2/Nginx/manifests/1",
        "/v2/a//b/tags/list",
        "/v2//tags/list",
        "/v2/a%00/tags/list",
        "/v2/a%ff/tags/list",
    ] {
        assert!(
            matches!(Path::parse(path), Err(PathError::Name(_))),
            "{path}"
        );
    }
    for path in [
        "/v2/a/manifests/.x",
        "/v2/a/manifests/a%20b",
        "/v2/a/manifests/%zz",
    ] {
        assert!(
            matches!(Path::parse(path), Err(PathError::Tag(_))),
            "{path}"
        );
    }
    for path in [
        "/v2/a/manifests/sha256:00",
        "/v2/a/blobs/latest",
        "/v2/a/referrers/sha256:0",
        "/v2/a/blobs/md5:00",
    ] {
        assert!(
            matches!(Path::parse(path), Err(PathError::Digest(_))),
            "{path}"
        );
    }
    let long = "a".repeat(256);
    assert!(matches!(
        Path::parse(&format!("/v2/{long}/tags/list")),
        Err(PathError::Name(_))
    ));
}

#[test]
fn an_unknown_endpoint_is_not_found() {
    for path in [
        "",
        "/",
        "/v1/",
        "/v20/",
        "/v2x",
        "/v2//",
        "v2/",
        "/v2/a",
        "/v2/a/b",
        "/v2/a/b/c",
        "/v2/a/tags",
        "/v2/a/tags/",
        "/v2/a/tags/list/",
        "/v2/a/manifests/",
        "/v2/a/manifests",
        "/v2/manifests/x",
        "/v2/a/uploads/x",
        "/v2/a/blobs/uploads/a%20b",
        "/v2/_catalog/",
        "/v2/_catalog/x",
    ] {
        assert_eq!(Path::parse(path), Err(PathError::NotFound), "{path}");
    }
}

fn names() -> impl Strategy<Value = Name> {
    let word = prop_oneof!["[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}"]
        .boxed()
        .prop_union(
            prop::sample::select(vec![
                "manifests",
                "blobs",
                "uploads",
                "tags",
                "list",
                "referrers",
                "v2",
            ])
            .prop_map(str::to_owned)
            .boxed(),
        );
    prop::collection::vec(word, 1..12).prop_map(|components| components.join("/").parse().unwrap())
}

fn digests() -> impl Strategy<Value = Digest> {
    (
        prop::sample::select(vec![Algorithm::Sha256, Algorithm::Sha512]),
        any::<[u8; 4]>(),
    )
        .prop_map(|(algorithm, bytes)| algorithm.digest(&bytes))
}

fn references() -> impl Strategy<Value = Reference> {
    prop_oneof![
        "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}".prop_map(|tag| Reference::Tag(tag.parse().unwrap())),
        digests().prop_map(Reference::Digest),
    ]
}

fn paths() -> impl Strategy<Value = Path> {
    prop_oneof![
        Just(Path::Base),
        Just(Path::Catalog),
        (names(), references()).prop_map(|(name, reference)| Path::Manifest { name, reference }),
        (names(), digests()).prop_map(|(name, digest)| Path::Blob { name, digest }),
        names().prop_map(|name| Path::Uploads { name }),
        (names(), "[a-zA-Z0-9._~-]{1,40}").prop_map(|(name, id)| Path::Upload { name, id }),
        names().prop_map(|name| Path::Tags { name }),
        (names(), digests()).prop_map(|(name, digest)| Path::Referrers { name, digest }),
    ]
}

proptest! {
    #[test]
    fn what_is_built_is_parsed_back(path in paths()) {
        prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
    }

    #[test]
    fn a_fully_escaped_path_means_the_same(path in paths()) {
        let mut escaped = String::new();
        for byte in path.to_string().bytes() {
            write!(escaped, "%{byte:02X}").expect("a string takes everything");
        }
        prop_assert_eq!(Path::parse(&escaped), Ok(path));
    }

    #[test]
    fn what_is_parsed_is_built_back(text in "/v2(/(a|b-|C|manifests|blobs|uploads|tags|list|x:y)){0,6}/?") {
        if let Ok(path) = Path::parse(&text) {
            let built = path.to_string();
            prop_assert_eq!(built.trim_end_matches('/'), text.trim_end_matches('/'));
        }
    }

    #[test]
    fn parsing_never_panics(text in "\\PC*") {
        let _ = Path::parse(&text);
    }
}

#[test]
fn what_is_nearly_a_path_has_one_meaning_or_none() {
    search(near_text(PATHS), |text| {
        if let Ok(path) = Path::parse(&text) {
            let built = path.to_string();
            prop_assert!(built.is_ascii() && built.len() <= text.len() + 1);
            prop_assert_eq!(Path::parse(&built), Ok(path));
        }
        Ok(())
    });
}
