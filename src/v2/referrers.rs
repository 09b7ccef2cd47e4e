//! `GET /v2/<name>/referrers/<digest>` (distribution-spec, "Listing Referrers"): an index made here, filtered here.

use axum::{body::Body, response::Response};
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Edge,
    answer::{Reply, provenance},
    error::ApiError,
    page::next_link,
};
use crate::{
    mirror::Repository,
    oci::{
        Descriptor, Digest, Name, Path, error_code::ErrorCode, header::OCI_FILTERS_APPLIED,
        media_type::OCI_INDEX,
    },
};

/// distribution-spec: an index should not be larger than 4 MiB; what follows goes on a next page.
pub(super) const PAGE_BYTES: usize = 4 << 20;

/// What of all referrers is asked for, and in which words.
pub(super) struct Question<'a> {
    pub(super) asked: &'a Name,
    pub(super) subject: &'a Digest,
    pub(super) artifact_type: Option<&'a str>,
    /// Digest of the last descriptor of the page before.
    pub(super) after: Option<&'a str>,
    pub(super) ns: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Box<RawValue>>,
}

impl Edge {
    pub(super) async fn list_referrers(
        &self,
        repository: &Repository,
        question: &Question<'_>,
    ) -> Result<Reply, ApiError> {
        let answer = self
            .parts
            .mirror
            .list_referrers(repository, question.subject)
            .await
            .map_err(|error| ApiError::mirror(error, ErrorCode::NameUnknown))?;
        let mut response = list(&answer.content, question, PAGE_BYTES);
        provenance(response.headers_mut(), answer.outcome, answer.age);
        Ok(Reply {
            response,
            outcome: answer.outcome,
        })
    }
}

pub(super) fn list(all: &[Descriptor], question: &Question<'_>, page_bytes: usize) -> Response {
    let (manifests, next) = page(all, question, page_bytes);
    let body = serde_json::to_vec(&Index {
        schema_version: 2,
        media_type: OCI_INDEX,
        manifests,
    })
    .expect("JSON serialises");
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(OCI_INDEX));
    if question.artifact_type.is_some() {
        headers.insert(
            OCI_FILTERS_APPLIED,
            HeaderValue::from_static("artifactType"),
        );
    }
    if let Some(last) = next {
        let path = Path::Referrers {
            name: question.asked.clone(),
            digest: question.subject.clone(),
        };
        headers.insert(
            header::LINK,
            next_link(
                &path.to_string(),
                &[
                    ("artifactType", question.artifact_type),
                    ("last", Some(&last)),
                    ("ns", question.ns),
                ],
            ),
        );
    }
    response
}

/// Descriptors by digest, as many as fit (one at least), and the digest that the next page begins after.
fn page(
    all: &[Descriptor],
    question: &Question<'_>,
    page_bytes: usize,
) -> (Vec<Box<RawValue>>, Option<String>) {
    let mut wanted: Vec<(String, &Descriptor)> = all
        .iter()
        .filter(|d| {
            question
                .artifact_type
                .is_none_or(|wanted| d.artifact_type.as_deref() == Some(wanted))
        })
        .map(|descriptor| (descriptor.digest.to_string(), descriptor))
        .filter(|(digest, _)| question.after.is_none_or(|after| digest.as_str() > after))
        .collect();
    wanted.sort_by(|left, right| left.0.cmp(&right.0));
    let mut left = page_bytes;
    let mut manifests = Vec::new();
    let mut last: Option<String> = None;
    for (digest, descriptor) in wanted {
        let json = serde_json::value::to_raw_value(descriptor).expect("descriptors serialise");
        let size = json.get().len() + 1;
        if size > left && last.is_some() {
            return (manifests, last);
        }
        left = left.saturating_sub(size);
        manifests.push(json);
        last = Some(digest);
    }
    (manifests, None)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn descriptor(seed: &str, artifact_type: Option<&str>) -> Descriptor {
        serde_json::from_value(serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": Digest::sha256(seed.as_bytes()).to_string(),
            "size": seed.len(),
            "artifactType": artifact_type,
            "annotations": {"k": seed},
            "data": "e30=",
        }))
        .unwrap()
    }

    fn question<'a>(name: &'a Name, subject: &'a Digest) -> Question<'a> {
        Question {
            asked: name,
            subject,
            artifact_type: None,
            after: None,
            ns: Some("ghcr.io"),
        }
    }

    async fn json(response: Response) -> serde_json::Value {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn no_referrers_are_an_empty_index() {
        let (name, subject) = ("a/b".parse().unwrap(), Digest::sha256(b"subject"));
        let response = list(&[], &question(&name, &subject), PAGE_BYTES);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], OCI_INDEX);
        assert!(!response.headers().contains_key("oci-filters-applied"));
        assert_eq!(
            json(response).await,
            serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})
        );
    }

    #[tokio::test]
    async fn the_filter_is_applied_and_said() {
        let (name, subject) = ("a/b".parse().unwrap(), Digest::sha256(b"subject"));
        let all = [
            descriptor("1", Some("x/sbom")),
            descriptor("2", Some("x/signature")),
            descriptor("3", None),
        ];
        let response = list(
            &all,
            &Question {
                artifact_type: Some("x/sbom"),
                ..question(&name, &subject)
            },
            PAGE_BYTES,
        );
        assert_eq!(response.headers()["oci-filters-applied"], "artifactType");
        let body = json(response).await;
        assert_eq!(body["manifests"], serde_json::to_value([&all[0]]).unwrap());
        assert_eq!(body["manifests"][0]["data"], "e30=");
    }

    #[tokio::test]
    async fn a_list_over_the_limit_goes_on_behind_a_link() {
        let (name, subject) = ("a/b".parse().unwrap(), Digest::sha256(b"subject"));
        let all: Vec<_> = (0..7).map(|i| descriptor(&i.to_string(), None)).collect();
        let mut seen = std::collections::BTreeSet::new();
        let mut after: Option<String> = None;
        for _ in 0..7 {
            let response = list(
                &all,
                &Question {
                    after: after.as_deref(),
                    ..question(&name, &subject)
                },
                600,
            );
            let linked = response.headers().get("link").cloned();
            let body = json(response).await;
            for one in body["manifests"].as_array().unwrap() {
                assert!(seen.insert(one["digest"].as_str().unwrap().to_owned()));
            }
            let Some(link) = linked else { break };
            let link = link.to_str().unwrap();
            assert!(link.contains("&ns=ghcr.io>"), "{link}");
            after = seen.last().cloned();
        }
        assert_eq!(seen.len(), 7);
    }
}
