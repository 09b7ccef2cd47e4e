use super::{super::ecr::Ecr, *};

/// AWS, "Create a signed AWS API request".
fn aws_signature(seen: &Seen, region: &str, service: &str) -> String {
    let names = part(seen.header("authorization"), "SignedHeaders");
    let date = seen.header("x-amz-date");
    let day = &date[..8];
    let request = format!(
        "{}\n/\n\n{}\n{names}\n{}",
        seen.method,
        signed_headers(seen, names),
        sha(&seen.body)
    );
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        sha(request.as_bytes())
    );
    let secret = format!("AWS4{SECRET}").into_bytes();
    let parts = [day, region, service, "aws4_request", &text];
    hex::encode(parts.iter().fold(secret, |key, part| mac(&key, part)))
}

async fn aws(region: &'static str, service: &'static str, listed: bool) -> FakeServer {
    FakeServer::start(move |seen| {
        let authorization = seen.header("authorization");
        let signed = part(authorization, "SignedHeaders");
        let complete = ["content-type", "host", "x-amz-date", "x-amz-target"];
        let complete = complete.iter().all(|name| signed.split(';').any(|one| one == *name));
        if !complete || part(authorization, "Signature") != aws_signature(seen, region, service) {
            let body = json!({"__type": "InvalidSignatureException", "message": "The signature does not match"});
            return Reply::new(400, body.to_string());
        }
        // Documented as seconds with a fraction.
        let ends = Duration::from_millis(in_minutes(720)).as_secs_f64();
        let data = json!({"authorizationToken": BASE64_STANDARD.encode("AWS:secret"), "expiresAt": ends});
        let data = if listed { json!([data]) } else { data };
        Reply::new(200, json!({"authorizationData": data}).to_string())
    })
    .await
}

#[tokio::test]
async fn ecr_gives_a_login_for_an_access_key() {
    let server = aws("eu-central-1", "ecr", true).await;
    let registry = "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com/"
        .parse()
        .unwrap();
    let region = || "eu-central-1".to_owned();
    let ecr = Ecr::new(&api(), &cloud(true, &[]), &registry, region()).unwrap();
    assert_eq!(
        ecr.endpoint().as_str(),
        "https://api.ecr.eu-central-1.amazonaws.com/"
    );
    let ecr = ecr.at(server.url());
    assert_eq!(given(&ecr).await.unwrap(), ("AWS:secret".to_owned(), 720));
    let seen = &server.seen()[0];
    let operation = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
    assert_eq!(seen.header("x-amz-target"), operation);
    assert_eq!(seen.header("content-type"), "application/x-amz-json-1.1");
    assert_eq!(seen.body, "{}");
    let credential = part(seen.header("authorization"), "Credential");
    assert!(credential.starts_with("AKIDEXAMPLE/"), "{credential}");

    let wrong = Ecr::new(&api(), &cloud(true, &[]), &registry, "us-east-1".to_owned()).unwrap();
    let error = given(&wrong.at(server.url())).await.unwrap_err();
    assert_eq!(
        error.detail,
        "InvalidSignatureException The signature does not match"
    );
    assert!(!error.to_string().contains(SECRET), "{error}");
}

#[tokio::test]
async fn ecr_takes_the_key_of_the_environment() {
    let server = aws("us-west-2", "ecr", true).await;
    let variables = [
        ("AWS_ACCESS_KEY_ID", ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", "session"),
    ];
    let registry = "https://1.dkr.ecr.us-west-2.amazonaws.com/"
        .parse()
        .unwrap();
    let ecr = Ecr::new(
        &api(),
        &cloud(false, &variables),
        &registry,
        "us-west-2".to_owned(),
    );
    given(&ecr.unwrap().at(server.url())).await.unwrap();
    assert_eq!(server.seen()[0].header("x-amz-security-token"), "session");
}

#[tokio::test]
async fn amazons_public_gallery_has_a_service_of_its_own() {
    let server = aws("us-east-1", "ecr-public", false).await;
    let registry = "https://public.ecr.aws/".parse().unwrap();
    let ecr = Ecr::new(&api(), &cloud(true, &[]), &registry, "us-east-1".to_owned()).unwrap();
    assert_eq!(
        ecr.endpoint().as_str(),
        "https://api.ecr-public.us-east-1.amazonaws.com/"
    );
    given(&ecr.at(server.url())).await.unwrap();
    assert_eq!(
        server.seen()[0].header("x-amz-target"),
        "SpencerFrontendService.GetAuthorizationToken"
    );
}
