use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::{super::azure::Azure, *};

fn jwt(minutes: u64) -> String {
    let claims = json!({"exp": in_minutes(minutes) / 1000}).to_string();
    format!("e30.{}.sig", BASE64_URL_SAFE_NO_PAD.encode(claims))
}

async fn azure() -> FakeServer {
    FakeServer::start(|seen| {
        let form = form(seen);
        let is = |name: &str, value: &str| form.get(name).is_some_and(|found| found == value);
        let path = seen.target.split('?').next().unwrap_or_default();
        match (seen.method.as_str(), path) {
            ("GET", "/metadata/identity/oauth2/token") if seen.header("metadata") == "true" => {
                Reply::new(200, r#"{"access_token":"entra","expires_in":"86399"}"#)
            }
            ("POST", "/tenant/oauth2/v2.0/token") if is("grant_type", "client_credentials") => {
                match is("client_secret", "s3cret") || is("client_assertion", "signed by the cluster") {
                    true => Reply::new(200, r#"{"access_token":"entra","expires_in":3599}"#),
                    false => Reply::new(
                        401,
                        r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret"}"#,
                    ),
                }
            }
            ("POST", "/oauth2/exchange") if is("access_token", "entra") && is("grant_type", "access_token") => {
                Reply::new(200, json!({"refresh_token": jwt(180)}).to_string())
            }
            _ => Reply::new(404, ""),
        }
    })
    .await
}

#[tokio::test]
async fn azure_exchanges_the_token_of_the_machine() {
    let server = azure().await;
    let azure = Azure::new(api(), &cloud(false, &[]), &server.url());
    let azure = azure.at(server.url(), server.url());
    let (token, minutes) = given(&azure).await.unwrap();
    assert_eq!((token.starts_with("e30."), minutes), (true, 180));
    let query = "?api-version=2018-02-01&resource=https%3A%2F%2Fcontainerregistry.azure.net";
    assert!(
        server.seen()[0].target.ends_with(query),
        "{}",
        server.seen()[0].target
    );
    assert_eq!(form(&server.seen()[1])["service"], "127.0.0.1");
}

#[tokio::test]
async fn azure_exchanges_the_token_of_a_principal_or_a_workload() {
    let server = azure().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "signed by the cluster\n").unwrap();
    let with = async |proof: (&str, &str)| {
        let variables = [
            ("AZURE_TENANT_ID", "tenant"),
            ("AZURE_CLIENT_ID", "client"),
            proof,
        ];
        let azure = Azure::new(api(), &cloud(false, &variables), &server.url());
        given(&azure.at(server.url(), server.url())).await
    };
    with(("AZURE_CLIENT_SECRET", "s3cret")).await.unwrap();
    with(("AZURE_FEDERATED_TOKEN_FILE", path.to_str().unwrap()))
        .await
        .unwrap();
    let seen = server.seen();
    assert_eq!(
        form(&seen[0])["scope"],
        "https://containerregistry.azure.net/.default"
    );
    assert_eq!(form(&seen[1])["tenant"], "tenant");
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    assert_eq!(form(&seen[2])["client_assertion_type"], kind);
    let error = with(("AZURE_CLIENT_SECRET", "hunter2")).await.unwrap_err();
    assert_eq!(
        error.detail,
        "invalid_client AADSTS7000215: Invalid client secret"
    );
}
