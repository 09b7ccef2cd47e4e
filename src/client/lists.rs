//! The lists that a registry gives: tags and referrers, whole and bounded.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use http::{HeaderValue, Method, header};
use tokio::time::Instant;

use super::{
    ClientError, ErrorKind, Patience, RegistryClient, document, listing,
    registry::MAX_MANIFEST_BYTES,
    transport::{Call, Document},
};
use crate::oci::{
    Descriptor, Digest, Manifest, ManifestKind, Name, Path, Reference, Tag, media_type,
};

const TAGS_PER_PAGE: u32 = 1000;
/// Of all pages together: each has its own time, and a remote may have a thousand of them.
const LIST_TIMEOUT: Duration = Duration::from_mins(5);

impl RegistryClient {
    /// All tags, every page (bounded), sorted as bytes, without repeats.
    pub async fn tag_list(&self, name: &Name, patience: Patience) -> Result<Vec<Tag>, ClientError> {
        let path = format!("{}?n={TAGS_PER_PAGE}", Path::Tags { name: name.clone() });
        let mut call = self.list_call("tags", &path, name, "application/json");
        let mut tags = BTreeSet::new();
        self.each_page(&mut call, patience, listing::MAX_BYTES, &mut |page| {
            let page = listing::tags(&page.bytes)
                .ok_or_else(|| self.invalid("answers with no tag list"))?;
            tags.extend(page);
            self.bounded(tags.len())
        })
        .await?;
        Ok(tags.into_iter().collect())
    }

    /// All repositories, every page (bounded), as far as we may see them.
    pub async fn catalog(&self, patience: Patience) -> Result<BTreeSet<Name>, ClientError> {
        let path = format!("{}?n={TAGS_PER_PAGE}", Path::Catalog);
        let mut call = Self::plain_call("catalog", Method::GET, &path);
        "registry:catalog:*".clone_into(&mut call.scope);
        let accept = HeaderValue::from_static("application/json");
        call.headers.insert(header::ACCEPT, accept);
        let mut names = BTreeSet::new();
        self.each_page(&mut call, patience, listing::MAX_BYTES, &mut |page| {
            let page = listing::repositories(&page.bytes)
                .ok_or_else(|| self.invalid("answers with no list of repositories"))?;
            names.extend(page);
            self.bounded(names.len())
        })
        .await?;
        Ok(names)
    }

    /// All referrers, by the referrers API or else by the tag schema; none is an empty list. What is neither a list nor a
    /// registry's way to say that it has no such API is an error, and so is, for who has a list cached, a web page where
    /// there is no such tag either.
    pub async fn referrer_list(
        &self,
        name: &Name,
        digest: &Digest,
        patience: Patience,
    ) -> Result<Vec<Descriptor>, ClientError> {
        let refusal = match self.referrers_by_api(name, digest, patience).await? {
            ByApi::List(referrers) => return Ok(referrers),
            ByApi::NoApi => None,
            ByApi::Page(error) => Some(error).filter(|_| patience == Patience::Short),
        };
        let tag = Reference::Tag(referrers_tag(digest));
        match (self.manifest_get(name, &tag, patience).await, refusal) {
            (Ok(manifest), _) => Ok(Manifest::parse(&manifest.bytes).manifests),
            (Err(error), None) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
            (Err(error), Some(refusal)) if error.kind == ErrorKind::NotFound => Err(refusal),
            (Err(error), _) => Err(error),
        }
    }

    async fn referrers_by_api(
        &self,
        name: &Name,
        digest: &Digest,
        patience: Patience,
    ) -> Result<ByApi, ClientError> {
        let path = Path::Referrers {
            name: name.clone(),
            digest: digest.clone(),
        };
        let mut call = self.list_call("referrers", &path.to_string(), name, media_type::OCI_INDEX);
        let (mut referrers, mut seen) = (Vec::new(), HashSet::new());
        let mut is_page = false;
        let mut read = |page: &Document| {
            is_page = document::is_web_page(&page.headers) || page.bytes.starts_with(b"<");
            let index = Manifest::parse(&page.bytes);
            if index.kind != ManifestKind::Index {
                return Err(self.invalid("answers with no list of referrers"));
            }
            let new = index.manifests.into_iter();
            referrers.extend(new.filter(|referrer| seen.insert(referrer.digest.clone())));
            self.bounded(referrers.len())
        };
        let pages = self.each_page(&mut call, patience, MAX_MANIFEST_BYTES, &mut read);
        match pages.await {
            Ok(()) => Ok(ByApi::List(referrers)),
            Err(error) if has_no_referrers_api(&error) => Ok(ByApi::NoApi),
            Err(error) if is_page => Ok(ByApi::Page(error)),
            Err(error) => Err(error),
        }
    }

    /// Reads page after page, each of at most `page_bytes` and in a time of its own.
    async fn each_page(
        &self,
        call: &mut Call,
        patience: Patience,
        page_bytes: u64,
        read: &mut (dyn FnMut(&Document) -> Result<(), ClientError> + Send),
    ) -> Result<(), ClientError> {
        let began = Instant::now();
        let mut pages = listing::Pages::new();
        loop {
            let limit = page_bytes.min(pages.bytes_left());
            let deadline = self.deadline(patience);
            let page = self.transport.load(call, limit, deadline).await?;
            read(&page)?;
            let next = pages.after(&page.url, &page.headers, page.bytes.len());
            let Some(next) = next.map_err(|why| self.invalid(why))? else {
                return Ok(());
            };
            if began.elapsed() > LIST_TIMEOUT {
                return Err(self.invalid("its list takes too long"));
            }
            call.page = Some((page.endpoint, next));
        }
    }

    fn list_call(&self, kind: &'static str, path: &str, name: &Name, accept: &'static str) -> Call {
        let mut call = self.call(kind, Method::GET, path, name);
        call.headers
            .insert(header::ACCEPT, HeaderValue::from_static(accept));
        call
    }

    fn bounded(&self, entries: usize) -> Result<(), ClientError> {
        if entries > listing::MAX_ENTRIES {
            return Err(self.invalid("its list is too long"));
        }
        Ok(())
    }
}

/// What the referrers API gave.
enum ByApi {
    List(Vec<Descriptor>),
    /// The registry says that it has no such API, or does not know the repository.
    NoApi,
    /// A web page: a registry without the API whose pages for people answer everything, or somebody else altogether.
    Page(ClientError),
}

/// 404 or another 4xx; 501 from those who say it plainly.
fn has_no_referrers_api(error: &ClientError) -> bool {
    match error.kind {
        ErrorKind::NotFound => true,
        ErrorKind::Invalid => matches!(error.status, Some(400..=499)),
        _ => error.status == Some(501),
    }
}

/// The tag under which registries without the referrers API have the list of a manifest's referrers.
// spec: Referrers Tag Schema — the hexadecimal part is cut to 64 characters.
pub fn referrers_tag(digest: &Digest) -> Tag {
    let hex = &digest.hex()[..64];
    let tag = format!("{}-{hex}", digest.algorithm().as_str());
    tag.parse()
        .expect("an algorithm and hexadecimal digits are a tag")
}
