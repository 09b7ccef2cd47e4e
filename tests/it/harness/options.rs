//! `Options`: how a fake registry behaves; set by its builder, changeable while it runs.

use std::time::Duration;

/// Who may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Auth {
    #[default]
    None,
    Basic {
        user: String,
        password: String,
    },
    /// Tokens from the token endpoint: for everybody, or for one account only.
    Bearer {
        account: Option<(String, String)>,
    },
}

/// How referrers are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Referrers {
    /// The API, with the `artifactType` filter.
    #[default]
    Filtering,
    /// The API, which ignores `artifactType`.
    Unfiltered,
    /// 404; the index is under the tag `<algorithm>-<hex>`.
    ByTag,
}

#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a habit of some registry"
)]
pub(crate) struct Options {
    pub(crate) auth: Auth,
    /// Where challenges send clients, if not to this server's own `/token`.
    pub(crate) realm: Option<String>,
    pub(crate) service: String,
    /// `expires_in` of tokens; None leaves it out (the specification then says 60 s).
    pub(crate) token_seconds: Option<u64>,
    /// Tokens are refused after so many requests.
    pub(crate) token_uses: Option<u64>,
    /// Answers with `access_token` in place of `token`.
    pub(crate) access_token_only: bool,
    /// Like Docker Hub: an unknown repository is 401 even with a token.
    pub(crate) hides_unknown: bool,
    /// Base URL that blob requests are redirected to.
    pub(crate) redirect_blobs: Option<String>,
    pub(crate) digest_header: bool,
    pub(crate) length_header: bool,
    pub(crate) ranges: bool,
    /// Tags per page at most.
    pub(crate) page_size: usize,
    /// `Link` with a whole URL rather than a path.
    pub(crate) absolute_links: bool,
    pub(crate) referrers: Referrers,
    pub(crate) latency: Duration,
    /// Manifest GETs that are left (HEADs are free, as at Docker Hub), then 429.
    pub(crate) pulls_left: Option<u64>,
    /// Bytes per second of each connection made from now on.
    pub(crate) bandwidth: Option<u64>,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            auth: Auth::None,
            realm: None,
            service: "fake.registry".to_owned(),
            token_seconds: Some(300),
            token_uses: None,
            access_token_only: false,
            hides_unknown: false,
            redirect_blobs: None,
            digest_header: true,
            length_header: true,
            ranges: true,
            page_size: 1000,
            absolute_links: false,
            referrers: Referrers::Filtering,
            latency: Duration::ZERO,
            pulls_left: None,
            bandwidth: None,
        }
    }
}
