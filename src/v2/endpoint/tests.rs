use proptest::{prelude::*, sample::select};

use super::*;
use crate::oci::fuzz::{DIGEST, PATHS, near_text, search};

fn parse(method: &Method, path: &str, query: &str) -> Result<Endpoint, EndpointError> {
    Endpoint::parse(method, path, &Query::parse(Some(query)))
}

fn pull(path: &str, query: &str) -> Pull {
    match parse(&Method::GET, path, query) {
        Ok(Endpoint::Pull { what, .. }) => what,
        other => panic!("{path}?{query}: {other:?}"),
    }
}

#[test]
fn get_and_head_of_content_are_told_apart() {
    let manifest = "/v2/a/b/c/manifests/v1";
    let name: Name = "a/b/c".parse().unwrap();
    let reference: Reference = "v1".parse().unwrap();
    assert_eq!(
        parse(&Method::GET, manifest, ""),
        Ok(Endpoint::Pull {
            name: name.clone(),
            what: Pull::GetManifest(reference.clone())
        })
    );
    assert_eq!(
        parse(&Method::HEAD, manifest, "ns=docker.io"),
        Ok(Endpoint::Pull {
            name: name.clone(),
            what: Pull::HeadManifest(reference)
        })
    );
    let blob = format!("/v2/a/b/c/blobs/{DIGEST}");
    let digest: Digest = DIGEST.parse().unwrap();
    assert_eq!(
        parse(&Method::HEAD, &blob, ""),
        Ok(Endpoint::Pull {
            name,
            what: Pull::HeadBlob(digest.clone())
        })
    );
    assert_eq!(pull(&blob, ""), Pull::GetBlob(digest));
}

#[test]
fn the_base_is_the_base_with_and_without_slash() {
    for path in ["/v2", "/v2/"] {
        assert_eq!(parse(&Method::GET, path, ""), Ok(Endpoint::Base));
        assert_eq!(parse(&Method::HEAD, path, ""), Ok(Endpoint::Base));
    }
}

#[test]
fn pages_are_asked_for_by_n_and_last() {
    assert_eq!(
        pull("/v2/a/tags/list", "n=10&last=v%2B1&n=11&other=x"),
        Pull::ListTags(PageQuery {
            n: Some(10),
            last: Some("v+1".to_owned())
        })
    );
    assert_eq!(
        parse(&Method::GET, "/v2/_catalog", "n=0"),
        Ok(Endpoint::Catalog(PageQuery {
            n: Some(0),
            last: None
        }))
    );
    assert_eq!(
        pull("/v2/a/tags/list", "n=99999999999999999999999"),
        Pull::ListTags(PageQuery {
            n: Some(usize::MAX),
            last: None
        })
    );
    for bad in ["n=-1", "n=ten", "n=1.5"] {
        assert_eq!(
            parse(&Method::GET, "/v2/a/tags/list", bad),
            Err(EndpointError::PageSize),
            "{bad}"
        );
    }
}

#[test]
fn referrers_take_a_filter() {
    assert_eq!(
        pull(
            &format!("/v2/a/referrers/{DIGEST}"),
            "artifactType=application%2Fx&ns=q"
        ),
        Pull::ListReferrers {
            subject: DIGEST.parse().unwrap(),
            artifact_type: Some("application/x".to_owned()),
            after: None
        }
    );
}

#[test]
fn ns_is_read_decoded_and_once() {
    assert_eq!(
        Query::parse(Some("ns=localhost%3A5000&ns=b")).ns.as_deref(),
        Some("localhost:5000")
    );
    assert_eq!(Query::parse(Some("ns=")).ns, None);
    assert_eq!(Query::parse(None), Query::default());
}

#[test]
fn writes_are_known_as_such() {
    let name: Name = "a/b".parse().unwrap();
    let push = |method: &Method, path: &str, query: &str| match parse(method, path, query) {
        Ok(Endpoint::Push { name: of, what }) if of == name => what,
        other => panic!("{method} {path}?{query}: {other:?}"),
    };
    let digest: Digest = DIGEST.parse().unwrap();
    let id = Uuid::new_v4();
    let session = format!("/v2/a/b/blobs/uploads/{id}");
    let (finish, by_digest) = (
        format!("digest={DIGEST}"),
        format!("/v2/a/b/manifests/{DIGEST}"),
    );
    assert_eq!(push(&Method::GET, &session, ""), Push::UploadStatus(id));
    assert_eq!(push(&Method::PATCH, &session, ""), Push::Append(id));
    assert_eq!(push(&Method::DELETE, &session, ""), Push::CancelUpload(id));
    assert_eq!(
        push(&Method::PUT, &session, &finish),
        Push::FinishUpload(id, digest.clone())
    );
    let mount = format!("mount={DIGEST}&from=c%2Fd&digest-algorithm=sha512");
    assert_eq!(
        push(&Method::POST, "/v2/a/b/blobs/uploads/", &mount),
        Push::StartUpload(NewUpload {
            digest: None,
            mount: Some(digest.clone()),
            from: Some("c/d".parse().unwrap()),
            algorithm: Some(Algorithm::Sha512),
        })
    );
    assert_eq!(
        push(&Method::PUT, &by_digest, "tag=1&tag=latest&tag=1"),
        Push::PutManifest {
            reference: Reference::Digest(digest.clone()),
            tags: vec!["1".parse().unwrap(), "latest".parse().unwrap()],
        }
    );
    for (path, expected) in [
        (
            "/v2/a/b/manifests/v1".to_owned(),
            Delete::Manifest("v1".parse().unwrap()),
        ),
        (
            format!("/v2/a/b/blobs/{DIGEST}"),
            Delete::Blob(digest.clone()),
        ),
    ] {
        assert_eq!(
            parse(&Method::DELETE, &path, ""),
            Ok(Endpoint::Delete {
                name: name.clone(),
                what: expected
            })
        );
    }
}

#[test]
fn what_a_push_leaves_out_or_gets_wrong_is_named() {
    let session = format!("/v2/a/blobs/uploads/{}", Uuid::new_v4());
    assert_eq!(
        parse(&Method::PUT, &session, ""),
        Err(EndpointError::NoDigest)
    );
    for (parameter, query) in [
        ("digest", "digest=sha256:00"),
        ("mount", "mount=x"),
        ("digest-algorithm", "digest-algorithm=md5"),
    ] {
        let parsed = parse(&Method::POST, "/v2/a/blobs/uploads/", query);
        assert!(
            matches!(parsed, Err(EndpointError::Digest { parameter: p, .. }) if p == parameter)
        );
    }
    assert_eq!(
        parse(&Method::PATCH, "/v2/a/blobs/uploads/1", ""),
        Err(EndpointError::NoSuchUpload)
    );
    let path = format!("/v2/a/manifests/{DIGEST}");
    assert!(matches!(
        parse(&Method::PUT, &path, "tag=.bad"),
        Err(EndpointError::Tag(_))
    ));
    let many: Vec<_> = (0..=MAX_TAGS).map(|n| format!("tag={n}")).collect();
    assert_eq!(
        parse(&Method::PUT, &path, &many.join("&")),
        Err(EndpointError::TooManyTags)
    );
}

#[test]
fn other_methods_hear_what_is_allowed() {
    for (method, path, allowed) in [
        (Method::POST, "/v2/", "GET, HEAD"),
        (Method::DELETE, "/v2/_catalog", "GET, HEAD"),
        (Method::PUT, "/v2/a/tags/list", "GET, HEAD"),
        (Method::POST, "/v2/a/manifests/v1", "GET, HEAD, PUT, DELETE"),
        (Method::GET, "/v2/a/blobs/uploads/", "POST"),
    ] {
        assert_eq!(
            parse(&method, path, ""),
            Err(EndpointError::Method { allow: allowed }),
            "{method} {path}"
        );
    }
}

#[test]
fn a_manifest_by_what_is_no_tag_is_not_there() {
    for method in [Method::GET, Method::HEAD] {
        assert!(matches!(
            parse(&method, "/v2/a/manifests/.INVALID_MANIFEST_NAME", ""),
            Err(EndpointError::NoSuchTag(_))
        ));
    }
    assert!(matches!(
        parse(&Method::PUT, "/v2/a/manifests/.bad", ""),
        Err(EndpointError::Path(PathError::Tag(_)))
    ));
}

#[test]
fn what_is_nearly_a_request_is_read_by_its_method_or_refused() {
    let methods = [
        "GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "BREW",
    ];
    let methods =
        select(methods.to_vec()).prop_map(|name| name.parse::<Method>().expect("a token"));
    let queries = near_text(&[
        "n=10&last=v1",
        "ns=docker.io",
        "artifactType=application%2Fspdx%2Bjson",
        "digest=sha256%3Ae3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "mount=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855&from=team/app",
        "digest-algorithm=sha512",
        "tag=v1&tag=v1.0&tag=latest",
    ]);
    search(
        (methods, near_text(PATHS), queries),
        |(method, path, query)| {
            let query = Query::parse(Some(&query));
            let Ok(endpoint) = Endpoint::parse(&method, &path, &query) else {
                return Ok(());
            };
            let is_expected = match &endpoint {
                Endpoint::Base | Endpoint::Catalog(_) | Endpoint::Pull { .. } => is_read(&method),
                Endpoint::Delete { .. } => method == Method::DELETE,
                Endpoint::Push { what, .. } => match what {
                    Push::StartUpload(_) => method == Method::POST,
                    Push::UploadStatus(_) => method == Method::GET,
                    Push::Append(_) => method == Method::PATCH,
                    Push::CancelUpload(_) => method == Method::DELETE,
                    Push::FinishUpload(..) => method == Method::PUT,
                    Push::PutManifest { tags, .. } => {
                        method == Method::PUT && tags.len() <= MAX_TAGS
                    }
                },
            };
            prop_assert!(is_expected, "{method} {path}: {endpoint:?}");
            Ok(())
        },
    );
}
