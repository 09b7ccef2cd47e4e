use super::{
    super::aliyun::{Aliyun, Call},
    *,
};

/// Alibaba Cloud, "Request syntax and signature method V3".
fn aliyun_signature(seen: &Seen, secret: &str) -> String {
    let names = part(seen.header("authorization"), "SignedHeaders");
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let request = format!(
        "{}\n{path}\n{query}\n{}\n{names}\n{}",
        seen.method,
        signed_headers(seen, names),
        sha(&seen.body)
    );
    let text = format!("ACS3-HMAC-SHA256\n{}", sha(request.as_bytes()));
    hex::encode(mac(secret.as_bytes(), &text))
}

async fn alibaba(secret: &'static str) -> FakeServer {
    FakeServer::start(move |seen| {
        if seen.target.contains("/latest/") {
            return match (seen.target.as_str(), seen.header("x-aliyun-ecs-metadata-token")) {
                ("/latest/api/token", _) if seen.method == "PUT" => Reply::new(200, "session"),
                ("/latest/meta-data/ram/security-credentials/", "session") => Reply::new(200, "puller\n"),
                ("/latest/meta-data/ram/security-credentials/puller", "session") => {
                    let key = json!({"AccessKeyId": "STS.1", "AccessKeySecret": secret, "SecurityToken": "sts",
                        "Expiration": "2030-01-01T00:00:00Z", "Code": "Success"});
                    Reply::new(200, key.to_string())
                }
                _ => Reply::new(404, ""),
            };
        }
        let authorization = seen.header("authorization");
        if part(authorization, "Signature") != aliyun_signature(seen, secret) {
            let body = json!({"Code": "SignatureDoesNotMatch", "Message": "Specified signature is not matched."});
            return Reply::new(403, body.to_string());
        }
        let ends = in_minutes(60);
        match (seen.method.as_str(), seen.target.as_str(), seen.header("x-acs-version")) {
            ("POST", "/?InstanceId=cri-1", "2018-12-01") => Reply::new(
                200,
                json!({"RequestId": "1", "Code": "success", "IsSuccess": true, "TempUsername": "cr_temp_user",
                    "AuthorizationToken": "enterprise", "ExpireTime": ends})
                .to_string(),
            ),
            ("GET", "/tokens", "2016-06-07") => Reply::new(
                200,
                json!({"requestId": "1", "data": {"tempUserName": "cr_temp_user",
                    "authorizationToken": "personal", "expireDate": ends}})
                .to_string(),
            ),
            _ => Reply::new(404, r#"{"Code":"InvalidAction.NotFound","Message":"no such action"}"#),
        }
    })
    .await
}

fn aliyun(server: &FakeServer, cloud: &Cloud) -> Aliyun {
    let aliyun = Aliyun::new(api(), cloud, "cn-hangzhou").unwrap();
    assert_eq!(
        aliyun.endpoint().as_str(),
        "https://cr.cn-hangzhou.aliyuncs.com/"
    );
    aliyun.at(server.url(), at(server, "latest/"))
}

#[tokio::test]
async fn alibaba_gives_logins_for_both_editions() {
    let server = alibaba(SECRET).await;
    let personal = cloud(true, &[]);
    let enterprise = Cloud {
        instance: Some("cri-1".to_owned()),
        ..personal.clone()
    };
    let given = async |cloud| given(&aliyun(&server, cloud)).await.unwrap();
    assert_eq!(
        given(&enterprise).await,
        ("cr_temp_user:enterprise".to_owned(), 60)
    );
    assert_eq!(
        given(&personal).await,
        ("cr_temp_user:personal".to_owned(), 60)
    );
    let seen = server.seen();
    assert_eq!(seen[0].header("x-acs-action"), "GetAuthorizationToken");
    let nonce = |seen: &Seen| seen.header("x-acs-signature-nonce").to_owned();
    assert_ne!(nonce(&seen[0]), nonce(&seen[1]));
}

#[tokio::test]
async fn alibaba_takes_the_key_of_the_environment_or_of_the_machine() {
    let server = alibaba(SECRET).await;
    let variables = [
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", ID),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET),
    ];
    given(&aliyun(&server, &cloud(false, &variables)))
        .await
        .unwrap();
    assert_eq!(server.seen().len(), 1);
    given(&aliyun(&server, &cloud(false, &[]))).await.unwrap();
    let seen = server.seen();
    let last = seen.last().unwrap();
    assert_eq!(last.header("x-acs-security-token"), "sts");
    assert!(part(last.header("authorization"), "SignedHeaders").contains("x-acs-security-token"));
    let wrong = alibaba("another").await;
    let error = given(&aliyun(&wrong, &cloud(true, &[]))).await.unwrap_err();
    assert_eq!(
        error.detail,
        "SignatureDoesNotMatch Specified signature is not matched."
    );
}

#[test]
fn alibabas_own_example_is_signed_as_they_say() {
    let call = Call {
        action: "RunInstances",
        method: http::Method::POST,
        version: "2014-05-26",
        path: "/",
        query: "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai"
            .to_owned(),
    };
    let headers = [
        ("host", "ecs.cn-shanghai.aliyuncs.com"),
        ("x-acs-action", "RunInstances"),
        (
            "x-acs-content-sha256",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        ("x-acs-date", "2023-10-26T10:22:32Z"),
        ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
        ("x-acs-version", "2014-05-26"),
    ];
    let signed = call.authorization(&key("YourAccessKeyId", "YourAccessKeySecret"), &headers);
    let expected = "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;\
        x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,\
        Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0";
    assert_eq!(signed, expected);
}
