use super::*;

#[tokio::test]
async fn google_gives_the_token_of_the_machine() {
    let server = FakeServer::start(|seen| match seen.header("metadata-flavor") {
        "Google" => Reply::new(
            200,
            r#"{"access_token":"ya29","expires_in":3599,"token_type":"Bearer"}"#,
        ),
        _ => Reply::new(403, ""),
    })
    .await;
    let google = Google::new(api(), &cloud(false, &[])).at(server.url());
    assert_eq!(
        given(&google).await.unwrap(),
        ("oauth2accesstoken:ya29".to_owned(), 60)
    );
    let path = "/computeMetadata/v1/instance/service-accounts/default/token";
    assert_eq!(server.seen()[0].target, path);
}

#[tokio::test]
async fn a_key_file_of_google_is_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    let variables = [("GOOGLE_APPLICATION_CREDENTIALS", path.to_str().unwrap())];
    let google = Google::new(api(), &cloud(false, &variables));
    assert!(
        given(&google)
            .await
            .unwrap_err()
            .detail
            .contains("No such file")
    );
    let key = "{\n\"type\": \"service_account\",\n\"private_key\": \"s3cret\"}";
    std::fs::write(&path, key).unwrap();
    assert_eq!(given(&google).await.unwrap().0, format!("_json_key:{key}"));
    std::fs::write(
        &path,
        r#"{"type":"authorized_user","refresh_token":"s3cret"}"#,
    )
    .unwrap();
    let error = given(&google).await.unwrap_err().to_string();
    assert!(
        error.contains("authorized_user") && !error.contains("s3cret"),
        "{error}"
    );
}
