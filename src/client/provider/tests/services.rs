//! What makes namespaces and repositories, against services that follow the public documentation: each call is signed as in
//! the tests of the logins.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{
    super::{
        aliyun::Aliyun,
        ecr::Ecr,
        service::{Service, make_at},
        tencent::Tencent,
    },
    *,
};
use crate::{
    client::{Made, RegistryClient},
    telemetry::Metrics,
};

/// What there is, and whether more may be made.
#[derive(Clone)]
struct Place {
    names: Arc<Mutex<Vec<String>>>,
    may_make: bool,
}

impl Place {
    fn new(may_make: bool) -> Self {
        Self {
            names: Arc::new(Mutex::new(vec!["library".to_owned()])),
            may_make,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.names().iter().any(|known| known == name)
    }

    fn names(&self) -> Vec<String> {
        self.names.lock().unwrap().clone()
    }

    /// False: nobody may.
    fn make(&self, name: &str) -> bool {
        if self.may_make {
            self.names.lock().unwrap().push(name.to_owned());
        }
        self.may_make
    }
}

fn client() -> RegistryClient {
    let remote = config::Remote {
        name: "cloud".to_owned(),
        ..crate::client::tests::remote("http://127.0.0.1/".parse().unwrap())
    };
    RegistryClient::new(remote, Metrics::default()).unwrap()
}

/// Makes what is missing if that may be, finds what is there, and says what is needed.
async fn walk(service: &dyn Service, place: &Place, what: &str, needs: &str) {
    let make = async |name: &str| make_at(service, &client(), name).await.unwrap();
    assert_eq!(make("library").await, Made::There);
    assert_eq!(place.names(), ["library"]);
    let made = make("team").await;
    if place.may_make {
        assert_eq!(made, Made::There);
        assert_eq!(make("team").await, Made::There);
        assert_eq!(place.names(), ["library", "team"]);
        return;
    }
    let Made::Refused(why) = made else {
        panic!("{made:?}");
    };
    let wanted = format!("may not create {what} `team` at `cloud`: needs the rights {needs} (");
    assert!(why.starts_with(&wanted), "{why}");
}

async fn amazon(place: Place) -> FakeServer {
    FakeServer::start(move |seen| {
        let body = json_body(seen);
        assert_eq!(body["registryId"], "123456789012");
        let refused =
            |code: &str| Reply::new(400, json!({"__type": code, "message": "no"}).to_string());
        let done = |answer: Value| Reply::new(200, answer.to_string());
        let operation = seen
            .header("x-amz-target")
            .rsplit('.')
            .next()
            .unwrap()
            .to_owned();
        match operation.as_str() {
            "DescribeRepositories" => {
                let name = body["repositoryNames"][0].as_str().unwrap();
                match place.has(name) {
                    true => done(json!({"repositories": [{"repositoryName": name}]})),
                    false => refused("RepositoryNotFoundException"),
                }
            }
            "CreateRepository" => match place.make(body["repositoryName"].as_str().unwrap()) {
                true => done(json!({"repository": {}})),
                false => refused("AccessDeniedException"),
            },
            "BatchDeleteImage" => match body["imageIds"][0]["imageTag"].as_str() {
                Some("1") => done(json!({"imageIds": [{"imageTag": "1"}], "failures": []})),
                Some("gone") => done(json!({"failures": [{"failureCode": "ImageNotFound"}]})),
                _ => refused("AccessDeniedException"),
            },
            other => panic!("{other}"),
        }
    })
    .await
}

fn ecr(server: &FakeServer) -> Ecr {
    let registry = "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com/";
    let region = "eu-central-1".to_owned();
    let ecr = Ecr::new(
        &api(),
        &cloud(true, &[]),
        &registry.parse().unwrap(),
        region,
    );
    ecr.unwrap().at(server.url())
}

#[tokio::test]
async fn ecr_makes_repositories_and_deletes_tags() {
    for may_make in [true, false] {
        let place = Place::new(may_make);
        let server = amazon(place.clone()).await;
        let needs = "ecr:DescribeRepositories and ecr:CreateRepository";
        walk(&ecr(&server), &place, "repository", needs).await;
    }
    let server = amazon(Place::new(true)).await;
    for tag in ["1", "gone"] {
        ecr(&server).delete_tag("team/app", tag).await.unwrap();
    }
    let error = ecr(&server)
        .delete_tag("team/app", "kept")
        .await
        .unwrap_err();
    assert!(error.is_refusal, "{error}");
}

#[tokio::test]
async fn ecr_makes_repositories_as_the_remote_says() {
    use config::{EncryptionType, RepositoryOptions, TagMutability};
    let some = RepositoryOptions {
        scan_on_push: Some(false),
        encryption: Some(EncryptionType::Aes256),
        ..RepositoryOptions::default()
    };
    let all = RepositoryOptions {
        tag_mutability: Some(TagMutability::Immutable),
        scan_on_push: Some(true),
        encryption: Some(EncryptionType::Kms),
        kms_key: Some("alias/registry".to_owned()),
    };
    let told = [
        (RepositoryOptions::default(), json!({})),
        (
            some,
            json!({
                "imageScanningConfiguration": {"scanOnPush": false},
                "encryptionConfiguration": {"encryptionType": "AES256"},
            }),
        ),
        (
            all,
            json!({
                "imageTagMutability": "IMMUTABLE",
                "imageScanningConfiguration": {"scanOnPush": true},
                "encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": "alias/registry"},
            }),
        ),
    ];
    for (repositories, mut expected) in told {
        let server = amazon(Place::new(true)).await;
        let url = "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com/";
        let remote = config::Remote {
            provider: Provider::Ecr,
            repositories,
            ..crate::client::tests::remote(url.parse().unwrap())
        };
        let made = super::super::ecr(&remote, &cloud(true, &[]), &remote.urls[0]).unwrap();
        made.at(server.url()).make("team/app").await.unwrap();
        expected["repositoryName"] = json!("team/app");
        expected["registryId"] = json!("123456789012");
        assert_eq!(json_body(&server.seen()[0]), expected);
    }
}

#[tokio::test]
async fn tencent_makes_private_namespaces() {
    for may_make in [true, false] {
        let place = Place::new(may_make);
        let there = place.clone();
        let server = FakeServer::start(move |seen| {
            let body = json_body(seen);
            assert_eq!(body["RegistryId"], "tcr-1");
            let name = body["NamespaceName"].as_str().unwrap();
            let response = match seen.header("x-tc-action") {
                "DescribeNamespaces" => {
                    let names = there.names();
                    let found = names.iter().filter(|known| known.contains(name));
                    let found: Vec<_> = found.map(|known| json!({"Name": known})).collect();
                    json!({"NamespaceList": found, "TotalCount": found.len()})
                }
                "CreateNamespace" if body["IsPublic"] == false && there.make(name) => json!({}),
                _ => json!({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}),
            };
            Reply::new(200, json!({"Response": response}).to_string())
        });
        let server = server.await;
        let of = Cloud {
            instance: Some("tcr-1".to_owned()),
            region: Some("ap-shanghai".to_owned()),
            ..cloud(true, &[])
        };
        let registry = "https://mine.tencentcloudcr.com/".parse().unwrap();
        let tencent = Tencent::new(api(), &of, &registry).at(server.url(), server.url());
        let needs = "tcr:DescribeNamespaces and tcr:CreateNamespace";
        walk(&tencent, &place, "namespace", needs).await;
    }
}

#[tokio::test]
async fn alibaba_makes_namespaces_whose_repositories_come_with_a_push() {
    for may_make in [true, false] {
        let place = Place::new(may_make);
        let there = place.clone();
        let server = FakeServer::start(move |seen| {
            let query = seen.target.split_once('?').unwrap().1;
            let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect();
            assert_eq!(query["InstanceId"], "cri-1");
            let answer = match seen.header("x-acs-action") {
                "ListNamespace" => {
                    let names = there.names();
                    let found = names.iter().map(|known| json!({"NamespaceName": known}));
                    json!({"IsSuccess": true, "Namespaces": found.collect::<Vec<_>>()})
                }
                "CreateNamespace"
                    if query["AutoCreateRepo"] == "true"
                        && query["DefaultRepoType"] == "PRIVATE"
                        && there.make(&query["NamespaceName"]) =>
                {
                    json!({"IsSuccess": true, "Code": "success"})
                }
                _ => json!({"IsSuccess": false, "Code": "NO_PERMISSION", "Message": "no"}),
            };
            Reply::new(200, answer.to_string())
        });
        let server = server.await;
        let of = Cloud {
            instance: Some("cri-1".to_owned()),
            ..cloud(true, &[])
        };
        let aliyun = Aliyun::new(api(), &of, "cn-hangzhou").unwrap();
        let aliyun = aliyun.at(server.url(), server.url());
        let needs = "cr:ListNamespace and cr:CreateNamespace";
        walk(&aliyun, &place, "namespace", needs).await;
    }
}

#[tokio::test]
async fn a_service_that_is_away_is_asked_again_later() {
    let server = FakeServer::start(|_| Reply::new(503, "")).await;
    let error = make_at(&ecr(&server), &client(), "team/app").await;
    assert_eq!(
        error.unwrap_err().kind,
        crate::client::ErrorKind::Unreachable
    );
}
