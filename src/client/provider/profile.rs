//! What a kind of registry is, in words for people, and what its API can do. Each provider's file has its own.

/// A kind of registry.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    pub title: &'static str,
    /// What its URL looks like.
    pub url_hint: &'static str,
    /// What to give as user name and password or token.
    pub credential_hint: &'static str,
    /// Members of a remote that it has besides the usual ones.
    pub fields: &'static [&'static str],
    pub can: Abilities,
}

/// What its API can do.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they have nothing to do with each other"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// We make the repositories or projects that a push needs. Elsewhere the first push makes the repository, or nothing
    /// does.
    pub create: bool,
    /// A tag can be deleted, and its manifest stays.
    pub delete_tag: bool,
    /// Blobs can be uploaded in chunks.
    pub chunk: bool,
    /// Blobs can be mounted from another repository.
    pub mount: bool,
    /// It answers the referrers API.
    pub referrers: bool,
}
