//! What goes from hosted projects, what may not come into them, and what is pushed into mirrors, over real HTTP.

mod clean_up;
mod concurrent;
mod deletes;
mod limits;
mod retention;
mod seeding;

use http::Method;

use crate::push::{Pushed, Pusher};

impl Pusher {
    async fn delete(&self, path: &str) -> Pushed {
        Self::send(self.request(Method::DELETE, path)).await
    }

    async fn delete_manifest(&self, repository: &str, reference: &str) -> Pushed {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.delete(&path).await
    }

    async fn delete_blob(&self, repository: &str, digest: &str) -> Pushed {
        let path = format!("/v2/{repository}/blobs/{digest}");
        self.delete(&path).await
    }

    async fn has_manifest(&self, repository: &str, reference: &str) -> bool {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.get(&path).await.status == 200
    }

    async fn has_blob(&self, repository: &str, digest: &str) -> bool {
        let path = format!("/v2/{repository}/blobs/{digest}");
        self.head(&path).await.status == 200
    }

    /// A call of the management API that must be answered with 200.
    async fn upkeep(&self, path: &str) -> serde_json::Value {
        let path = format!("/api/v1/upkeep/{path}");
        let answer = Self::send(self.request(Method::POST, &path)).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        serde_json::from_slice(&answer.body).expect("JSON")
    }
}
