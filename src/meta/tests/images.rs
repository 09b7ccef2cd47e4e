//! Images as rows, for the tests of what goes and what stays.

use super::*;

/// A manifest with these blobs.
pub(super) fn image(repository: &str, content: &str, blobs: &[&str]) -> ManifestCommit {
    let mut image = commit(repository, content);
    image.manifest.blobs = blobs
        .iter()
        .map(|blob| descriptor(blob, Some(10)))
        .collect();
    image
}

pub(super) fn index(repository: &str, content: &str, children: &[&str]) -> ManifestCommit {
    let mut index = commit(repository, content);
    index.manifest.manifests = children
        .iter()
        .map(|child| descriptor(child, Some(123)))
        .collect();
    index
}

pub(super) fn referrer(
    repository: &str,
    content: &str,
    subject: &str,
    blobs: &[&str],
) -> ManifestCommit {
    let mut referrer = image(repository, content, blobs);
    referrer.manifest.subject = Some(descriptor(subject, None));
    referrer
}

pub(super) fn tagged(commit: ManifestCommit, name: &str) -> ManifestCommit {
    ManifestCommit {
        tag: Some((tag(name), at(1))),
        ..commit
    }
}

impl Database {
    pub(super) async fn commit(&self, commits: impl IntoIterator<Item = ManifestCommit>) {
        for commit in commits {
            self.meta.manifest_commit(commit).await.unwrap();
        }
    }

    pub(super) async fn link(&self, repository: &str, blobs: &[&str]) {
        for blob in blobs {
            let repositories = [name(repository)];
            self.meta
                .blob_link(&repositories, &digest(blob), 10)
                .await
                .unwrap();
        }
    }

    pub(super) async fn has_manifest(&self, repository: &str, content: &str) -> bool {
        let row = self
            .meta
            .manifest(&name(repository), &digest(content))
            .await;
        row.unwrap().is_some()
    }

    pub(super) async fn has_blob(&self, repository: &str, content: &str) -> bool {
        self.meta
            .blob_linked(&name(repository), &digest(content))
            .await
            .unwrap()
    }

    /// Rows that an earlier version, or a use long ago, would have left.
    pub(super) async fn run(&self, sql: &'static str) {
        run(&mut *self.outside().await, sql).await;
    }
}

/// Later than every use in these tests.
pub(super) fn end() -> SystemTime {
    at(40_000_000_000)
}
