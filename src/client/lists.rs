//! The lists that a registry gives: tags and referrers, whole and bounded.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use http::{HeaderValue, Method, header};
use tokio::time::Instant;

use super::{
    ClientError, ErrorKind, Patience, RegistryClient, listing, registry::MAX_MANIFEST_BYTES,
    retry::Deadline, transport::Call,
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
        let deadline = self.deadline(patience);
        let mut tags = BTreeSet::new();
        self.each_page(&mut call, deadline, listing::MAX_BYTES, &mut |bytes| {
            let page =
                listing::tags(bytes).ok_or_else(|| self.invalid("answers with no tag list"))?;
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
        let deadline = self.deadline(patience);
        let mut names = BTreeSet::new();
        self.each_page(&mut call, deadline, listing::MAX_BYTES, &mut |bytes| {
            let page = listing::repositories(bytes)
                .ok_or_else(|| self.invalid("answers with no list of repositories"))?;
            names.extend(page);
            self.bounded(names.len())
        })
        .await?;
        Ok(names)
    }

    /// All referrers, by the referrers API or else by the tag schema; none is an empty list.
    pub async fn referrer_list(
        &self,
        name: &Name,
        digest: &Digest,
        patience: Patience,
    ) -> Result<Vec<Descriptor>, ClientError> {
        let deadline = self.deadline(patience);
        match self.referrers_by_api(name, digest, deadline).await {
            Err(error) if has_no_referrers_api(&error) => {
                self.referrers_by_tag(name, digest, self.renewed(deadline))
                    .await
            }
            answer => answer,
        }
    }

    async fn referrers_by_api(
        &self,
        name: &Name,
        digest: &Digest,
        deadline: Deadline,
    ) -> Result<Vec<Descriptor>, ClientError> {
        let path = Path::Referrers {
            name: name.clone(),
            digest: digest.clone(),
        };
        let mut call = self.list_call("referrers", &path.to_string(), name, media_type::OCI_INDEX);
        let (mut referrers, mut seen) = (Vec::new(), HashSet::new());
        self.each_page(&mut call, deadline, MAX_MANIFEST_BYTES, &mut |bytes| {
            let index = Manifest::parse(bytes);
            if index.kind != ManifestKind::Index {
                return Err(self.invalid("answers with no list of referrers"));
            }
            let new = index.manifests.into_iter();
            referrers.extend(new.filter(|referrer| seen.insert(referrer.digest.clone())));
            self.bounded(referrers.len())
        })
        .await?;
        Ok(referrers)
    }

    async fn referrers_by_tag(
        &self,
        name: &Name,
        digest: &Digest,
        deadline: Deadline,
    ) -> Result<Vec<Descriptor>, ClientError> {
        let tag = Reference::Tag(referrers_tag(digest));
        match self.manifest(name, &tag, deadline).await {
            Ok(manifest) => Ok(Manifest::parse(&manifest.bytes).manifests),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Reads page after page, each of at most `page_bytes`; all of a short patience's pages share its time.
    async fn each_page(
        &self,
        call: &mut Call,
        mut deadline: Deadline,
        page_bytes: u64,
        read: &mut (dyn FnMut(&[u8]) -> Result<(), ClientError> + Send),
    ) -> Result<(), ClientError> {
        let began = Instant::now();
        let mut pages = listing::Pages::new();
        loop {
            let limit = page_bytes.min(pages.bytes_left());
            let page = self.transport.load(call, limit, deadline).await?;
            read(&page.bytes)?;
            let next = pages.after(&page.url, &page.headers, page.bytes.len());
            let Some(next) = next.map_err(|why| self.invalid(why))? else {
                return Ok(());
            };
            if began.elapsed() > LIST_TIMEOUT {
                return Err(self.invalid("its list takes too long"));
            }
            call.page = Some((page.endpoint, next));
            deadline = self.renewed(deadline);
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

    /// The time for one more request of the same operation: a short patience is one for all of them.
    fn renewed(&self, deadline: Deadline) -> Deadline {
        match deadline.patience {
            Patience::Full => self.deadline(Patience::Full),
            Patience::Short => deadline,
        }
    }
}

/// 404, another 4xx, or an answer that is no index; 501 from those who say it plainly.
fn has_no_referrers_api(error: &ClientError) -> bool {
    matches!(error.kind, ErrorKind::NotFound | ErrorKind::Invalid) || error.status == Some(501)
}

/// The tag under which registries without the referrers API have the list of a manifest's referrers.
// spec: Referrers Tag Schema — the hexadecimal part is cut to 64 characters.
pub fn referrers_tag(digest: &Digest) -> Tag {
    let hex = &digest.hex()[..64];
    let tag = format!("{}-{hex}", digest.algorithm().as_str());
    tag.parse()
        .expect("an algorithm and hexadecimal digits are a tag")
}
