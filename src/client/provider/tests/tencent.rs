use super::{
    super::tencent::{self, Tencent},
    *,
};

/// Tencent Cloud, "Signature v3".
fn tencent_signature(seen: &Seen, secret: &str) -> String {
    let names = part(seen.header("authorization"), "SignedHeaders");
    let timestamp = seen.header("x-tc-timestamp");
    let scope = part(seen.header("authorization"), "Credential")
        .split_once('/')
        .unwrap()
        .1;
    let day = scope.split('/').next().unwrap();
    let request = format!(
        "POST\n/\n\n{}\n{names}\n{}",
        signed_headers(seen, names),
        sha(&seen.body)
    );
    let text = format!(
        "TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{}",
        sha(request.as_bytes())
    );
    let first = format!("TC3{secret}").into_bytes();
    let parts = [day, "tcr", "tc3_request", &text];
    hex::encode(parts.iter().fold(first, |key, part| mac(&key, part)))
}

async fn tencent_cloud(secret: &'static str) -> FakeServer {
    FakeServer::start(move |seen| {
        let answer = |response: serde_json::Value| Reply::new(200, json!({"Response": response}).to_string());
        if seen.method == "GET" {
            return match seen.target.as_str() {
                "/latest/meta-data/cam/security-credentials/" => Reply::new(200, "puller"),
                "/latest/meta-data/cam/security-credentials/puller" => {
                    let key = json!({"TmpSecretId": "AKID-tmp", "TmpSecretKey": secret, "Token": "sts",
                        "ExpiredTime": 1_900_000_000, "Code": "Success"});
                    Reply::new(200, key.to_string())
                }
                _ => Reply::new(404, ""),
            };
        }
        if part(seen.header("authorization"), "Signature") != tencent_signature(seen, secret) {
            return answer(json!({"Error": {"Code": "AuthFailure.SignatureFailure", "Message": "The provided credentials could not be validated."}, "RequestId": "1"}));
        }
        let body = json_body(seen);
        match seen.header("x-tc-action") {
            "DescribeInstances" => {
                assert_eq!(body["AllRegion"], true);
                let found = body["Filters"][0]["Values"][0] == "mine" || body["Registryids"][0] == "tcr-1";
                let one = json!({"RegistryId": "tcr-1", "RegistryName": "mine", "RegionName": "ap-shanghai",
                    "PublicDomain": "mine.tencentcloudcr.com"});
                answer(json!({"TotalCount": 1, "Registries": if found { json!([one]) } else { json!([]) }}))
            }
            "CreateInstanceToken" => {
                assert_eq!((&body["RegistryId"], &body["TokenType"]), (&json!("tcr-1"), &json!("temp")));
                assert_eq!(seen.header("x-tc-region"), "ap-shanghai");
                answer(json!({"Username": "100012345678", "Token": "jwt", "ExpTime": in_minutes(60), "RequestId": "1"}))
            }
            other => panic!("{other}"),
        }
    })
    .await
}

fn tencent(server: &FakeServer, cloud: &Cloud, registry: &str) -> Tencent {
    let tencent = Tencent::new(api(), cloud, &registry.parse().unwrap());
    tencent.at(server.url(), at(server, "latest/meta-data/"))
}

#[tokio::test]
async fn tencent_gives_a_login_for_the_instance_in_the_url() {
    let server = tencent_cloud(SECRET).await;
    let key = cloud(true, &[]);
    let login = given(&tencent(&server, &key, "https://mine.tencentcloudcr.com/")).await;
    assert_eq!(login.unwrap(), ("100012345678:jwt".to_owned(), 60));
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].header("x-tc-version"), "2019-09-24");
    let other = given(&tencent(&server, &key, "https://other.tencentcloudcr.com/")).await;
    assert!(other.unwrap_err().detail.contains("`other`"));
}

#[tokio::test]
async fn tencent_needs_no_search_for_an_id_in_a_region() {
    let server = tencent_cloud(SECRET).await;
    let place = Cloud {
        instance: Some("tcr-1".to_owned()),
        region: Some("ap-shanghai".to_owned()),
        ..cloud(true, &[])
    };
    given(&tencent(&server, &place, "https://registry.example.com/"))
        .await
        .unwrap();
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn tencent_takes_the_key_of_the_environment_or_of_the_machine() {
    let server = tencent_cloud(SECRET).await;
    let url = "https://mine.tencentcloudcr.com/";
    let variables = [
        ("TENCENTCLOUD_SECRET_ID", ID),
        ("TENCENTCLOUD_SECRET_KEY", SECRET),
    ];
    given(&tencent(&server, &cloud(false, &variables), url))
        .await
        .unwrap();
    given(&tencent(&server, &cloud(false, &[]), url))
        .await
        .unwrap();
    assert_eq!(server.seen().last().unwrap().header("x-tc-token"), "sts");
    let wrong = tencent_cloud("another").await;
    let error = given(&tencent(&wrong, &cloud(true, &[]), url))
        .await
        .unwrap_err();
    assert!(
        error.detail.starts_with("AuthFailure.SignatureFailure"),
        "{error}"
    );
}

#[test]
fn tencents_own_example_is_signed_as_they_say() {
    let body =
        r#"{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}"#;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_551_113_065);
    let key = key(
        "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE",
        "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
    );
    let signed = tencent::authorization(&key, "cvm", "cvm.tencentcloudapi.com", body, now);
    let expected = "TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE/2019-02-25/cvm/tc3_request, \
        SignedHeaders=content-type;host, \
        Signature=72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168";
    assert_eq!(signed, expected);
}
