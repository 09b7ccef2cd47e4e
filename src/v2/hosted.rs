//! Pulls from hosted projects: manifests, blobs, tags and referrers of what was pushed.

use http::HeaderMap;

use super::{
    Edge,
    answer::{Reply, client_has, provenance},
    blobs::{content_reply, size_reply},
    endpoint::{PageQuery, Pull},
    error::ApiError,
    manifests, referrers,
    referrers::{PAGE_BYTES, Question},
    tags,
};
use crate::{
    mirror::{Answer, Outcome},
    oci::{Digest, Name, error_code::ErrorCode},
    push::{PushError, Repository},
};

/// Tags of one page, at most: a client that wants all of them follows the links.
const MAX_TAGS: usize = 100_000;

impl Edge {
    pub(super) async fn pull_hosted(
        &self,
        what: &Pull,
        repository: &Repository,
        request: &HeaderMap,
    ) -> Result<Reply, ApiError> {
        let pushes = &self.parts.pushes;
        let asked = &repository.name;
        match what {
            Pull::GetManifest(reference) => {
                let found = pushes.get_manifest(repository, reference).await;
                let (summary, bytes) = found.map_err(unknown_manifest)?;
                Ok(manifests::reply(here(summary), bytes.into(), request))
            }
            Pull::HeadManifest(reference) => {
                let found = pushes.head_manifest(repository, reference).await;
                let summary = found.map_err(unknown_manifest)?;
                let empty = axum::body::Body::empty();
                Ok(manifests::reply(here(summary), empty, request))
            }
            Pull::GetBlob(digest) if !client_has(request, digest) => {
                let found = pushes.get_blob(repository, digest).await;
                let content = found.map_err(unknown_blob)?;
                content_reply(&here(content), digest, request)
            }
            Pull::GetBlob(digest) | Pull::HeadBlob(digest) => {
                let found = pushes.head_blob(repository, digest).await;
                let size = found.map_err(unknown_blob)?;
                Ok(size_reply(&here(size), digest, request))
            }
            Pull::ListTags(page) => self.list_hosted_tags(repository, asked, page).await,
            Pull::ListReferrers {
                subject,
                artifact_type,
                after,
            } => {
                let question = Question {
                    asked,
                    subject,
                    artifact_type: artifact_type.as_deref(),
                    after: after.as_deref(),
                    ns: None,
                };
                self.list_hosted_referrers(repository, subject, &question)
                    .await
            }
        }
    }

    /// The page is cut by the database: a repository may have more tags than anybody wants to read.
    async fn list_hosted_tags(
        &self,
        repository: &Repository,
        asked: &Name,
        page: &PageQuery,
    ) -> Result<Reply, ApiError> {
        let page = PageQuery {
            n: page.n.map(|n| n.min(MAX_TAGS)),
            last: page.last.clone(),
        };
        // One more tells whether there is a next page.
        let limit = u32::try_from(page.n.unwrap_or(MAX_TAGS) + 1).expect("a page is small");
        let found = self
            .parts
            .pushes
            .list_tags(repository, page.last.as_deref(), limit);
        let found = found
            .await
            .map_err(|error| ApiError::push(error, ErrorCode::NameUnknown))?;
        let page = PageQuery {
            n: page.n.or((found.len() > MAX_TAGS).then_some(MAX_TAGS)),
            ..page
        };
        Ok(hit(tags::list(asked, &found, &page, None)))
    }

    async fn list_hosted_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        question: &Question<'_>,
    ) -> Result<Reply, ApiError> {
        let found = self.parts.pushes.list_referrers(repository, subject).await;
        let found = found.map_err(|error| ApiError::push(error, ErrorCode::NameUnknown))?;
        Ok(hit(referrers::list(&found, question, PAGE_BYTES)))
    }
}

fn unknown_manifest(error: PushError) -> ApiError {
    ApiError::push(error, ErrorCode::ManifestUnknown)
}

fn unknown_blob(error: PushError) -> ApiError {
    ApiError::push(error, ErrorCode::BlobUnknown)
}

/// What was pushed is here, and never out of date.
fn here<T>(content: T) -> Answer<T> {
    Answer {
        content,
        outcome: Outcome::Hit,
        age: None,
    }
}

fn hit(mut response: axum::response::Response) -> Reply {
    provenance(response.headers_mut(), Outcome::Hit, None);
    Reply {
        response,
        outcome: Outcome::Hit,
    }
}
