use http_body_util::BodyExt;

use super::*;

async fn seen(error: ApiError) -> (u16, http::HeaderMap, serde_json::Value) {
    let response = error.into_response();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, headers, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn the_body_has_the_specifications_shape() {
    let error = ApiError::mirror(
        MirrorError::NotFound("docker.io says 404".to_owned()),
        ErrorCode::ManifestUnknown,
    );
    let (status, headers, body) = seen(error).await;
    assert_eq!(status, 404);
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(
        body,
        serde_json::json!({"errors": [
            {"code": "MANIFEST_UNKNOWN", "message": "docker.io says 404", "detail": null}
        ]})
    );
}

#[tokio::test]
async fn an_outage_is_a_5xx_with_the_time_to_wait_rounded_up() {
    let message = "down".to_owned();
    for (error, expected) in [
        (
            MirrorError::BadGateway {
                message: message.clone(),
            },
            502,
        ),
        (
            MirrorError::Unavailable {
                message: message.clone(),
                retry_after: None,
            },
            503,
        ),
        (
            MirrorError::TimedOut {
                message: message.clone(),
            },
            504,
        ),
        (MirrorError::Internal, 500),
    ] {
        let (status, headers, body) = seen(ApiError::mirror(error, ErrorCode::BlobUnknown)).await;
        assert_eq!(status, expected);
        assert_eq!(body["errors"][0]["code"], "UNAVAILABLE");
        assert!(!headers.contains_key("retry-after"));
    }
    let limited = MirrorError::Unavailable {
        message,
        retry_after: Some(Duration::from_millis(1200)),
    };
    let (_, headers, _) = seen(ApiError::mirror(limited, ErrorCode::BlobUnknown)).await;
    assert_eq!(headers["retry-after"], "2");
}

#[tokio::test]
async fn each_part_of_a_bad_request_has_its_code() {
    for (path, status, code) in [
        ("/v2/UPPER/manifests/v1", 400, "NAME_INVALID"),
        ("/v2/a/blobs/sha256:zz", 400, "DIGEST_INVALID"),
        ("/v2/a/manifests/.x", 404, "MANIFEST_UNKNOWN"),
        ("/v2/a/nothing", 404, "UNSUPPORTED"),
        ("/v2/a/tags/list?n=x", 400, "UNSUPPORTED"),
    ] {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query = super::super::endpoint::Query::parse(Some(query));
        let error =
            super::super::endpoint::Endpoint::parse(&http::Method::GET, path, &query).unwrap_err();
        let (had, _, body) = seen(error.into()).await;
        assert_eq!(
            (had, body["errors"][0]["code"].as_str()),
            (status, Some(code)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn refusals_carry_what_their_status_needs() {
    let (status, headers, _) = seen(EndpointError::Method { allow: "GET" }.into()).await;
    assert_eq!((status, headers["allow"].as_bytes()), (405, &b"GET"[..]));
    let (status, headers, _) = seen(ApiError::unsatisfiable(10)).await;
    assert_eq!(
        (status, headers["content-range"].as_bytes()),
        (416, &b"bytes */10"[..])
    );
}
