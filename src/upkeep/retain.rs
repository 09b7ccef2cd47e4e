//! Retention of hosted tags: those that neither the newest of their rule nor young enough are go, with what only they
//! kept (`meta/retention.rs`). Pinned and immutable tags stay, and count for nothing.
//!
//! Each repository is read twice, page by page: first for the times of its newest tags, then for those that are due.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{leftovers::delete_gone, rest::rest};
use crate::{
    access::Projects,
    config::{Project, Retention},
    meta::{Meta, PushedTag},
    oci::{Digest, Name, Tag},
    transfer::{Fills, ReconcileError},
};

const EVERY: Duration = Duration::from_hours(1);

const REPOSITORIES: u32 = 100;
const TAGS: u32 = 500;
/// How many tags are told by name.
const TOLD: usize = 1000;

/// What a [`Retainer`] is made of.
pub struct Parts {
    pub meta: Meta,
    pub fills: Fills,
    pub projects: Projects,
}

/// Retires tags, never twice at once; cheap to clone.
#[derive(Clone)]
pub struct Retainer {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    running: Mutex<()>,
}

/// What one run has retired, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retired {
    pub tags: u64,
    /// The first thousand of them.
    pub due: Vec<DueTag>,
}

/// A tag that its project's retention does not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueTag {
    pub repository: Name,
    pub tag: Tag,
    pub digest: Digest,
    pub pushed_at: SystemTime,
}

/// What to do with what is due.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Delete,
    Tell,
}

impl Retainer {
    pub fn new(parts: Parts) -> Self {
        Self {
            inner: Arc::new(Inner {
                parts,
                running: Mutex::default(),
            }),
        }
    }

    /// Retires until the shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let turn = async || {
            // A start reads nothing large.
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.run_once().await {
                tracing::warn!(%error, "cannot retire tags: {error}");
            }
        };
        while shutdown.run_until_cancelled(turn()).await.is_some() {}
    }

    /// Retires what is due now; waits for a run that is under way. May be dropped: the next run does the rest.
    pub async fn run_once(&self) -> Result<Retired, ReconcileError> {
        let _alone = self.inner.running.lock().await;
        let retired = self.inner.retain(Act::Delete).await?;
        if retired.tags > 0 {
            tracing::info!(tags = retired.tags, "retired {} tags", retired.tags);
        }
        Ok(retired)
    }

    /// What would be retired now.
    pub async fn dry_run(&self) -> Result<Retired, ReconcileError> {
        self.inner.retain(Act::Tell).await
    }
}

impl Inner {
    async fn retain(&self, act: Act) -> Result<Retired, ReconcileError> {
        let mut retired = Retired::default();
        let projects = self.parts.projects.now();
        for project in projects
            .iter()
            .filter(|project| !project.retention.is_empty())
        {
            self.retain_project(project, act, &mut retired).await?;
        }
        Ok(retired)
    }

    async fn retain_project(
        &self,
        project: &Project,
        act: Act,
        retired: &mut Retired,
    ) -> Result<(), ReconcileError> {
        let names = std::slice::from_ref(&project.name);
        let mut last: Option<Name> = None;
        loop {
            let after = last.as_ref().map(Name::as_str);
            let page = self.parts.meta.repositories(names, after, REPOSITORIES);
            let page = page.await?;
            for name in &page {
                self.retain_repository(project, name, act, retired).await?;
            }
            last = page.into_iter().next_back();
            if last.is_none() {
                return Ok(());
            }
        }
    }

    async fn retain_repository(
        &self,
        project: &Project,
        repository: &Name,
        act: Act,
        retired: &mut Retired,
    ) -> Result<(), ReconcileError> {
        let mut selection = Selection::new(project, SystemTime::now());
        let mut last: Option<Tag> = None;
        loop {
            let page = self.page(repository, last.as_ref()).await?;
            for tag in &page {
                selection.note(tag);
            }
            last = page.into_iter().next_back().map(|tag| tag.tag);
            if last.is_none() {
                break;
            }
        }
        loop {
            let page = self.page(repository, last.as_ref()).await?;
            for tag in page.iter().filter(|tag| selection.is_due(tag)) {
                if act == Act::Delete && !self.retire(repository, tag).await? {
                    continue;
                }
                retired.note(repository, tag);
            }
            last = page.into_iter().next_back().map(|tag| tag.tag);
            if last.is_none() {
                return Ok(());
            }
        }
    }

    async fn page(
        &self,
        repository: &Name,
        after: Option<&Tag>,
    ) -> Result<Vec<PushedTag>, ReconcileError> {
        let started = Instant::now();
        let page = self.parts.meta.pushed_tags(repository, after, TAGS).await?;
        rest(started).await;
        Ok(page)
    }

    /// `false`: it is not due any more.
    async fn retire(&self, repository: &Name, tag: &PushedTag) -> Result<bool, ReconcileError> {
        let Parts { meta, fills, .. } = &self.parts;
        let started = Instant::now();
        let Some(removed) = meta.tag_retire(repository, tag.clone()).await? else {
            return Ok(false);
        };
        tracing::info!(%repository, tag = %tag.tag, digest = %tag.digest, "retired a tag");
        let (project, bytes) = (repository.first(), removed.project_bytes);
        fills.space().freed(Some(project), bytes);
        if !removed.gone.is_empty() {
            delete_gone(fills, meta).await?;
        }
        rest(started).await;
        Ok(true)
    }
}

impl Retired {
    fn note(&mut self, repository: &Name, tag: &PushedTag) {
        self.tags += 1;
        if self.due.len() < TOLD {
            self.due.push(DueTag {
                repository: repository.clone(),
                tag: tag.tag.clone(),
                digest: tag.digest.clone(),
                pushed_at: tag.pushed_at,
            });
        }
    }
}

/// Which tags of one repository are due. No I/O.
struct Selection<'p> {
    project: &'p Project,
    now: SystemTime,
    /// Of each rule that keeps some: the newest so far, the oldest of them on top.
    newest: Vec<BinaryHeap<Reverse<(SystemTime, Tag)>>>,
}

impl<'p> Selection<'p> {
    fn new(project: &'p Project, now: SystemTime) -> Self {
        Self {
            project,
            now,
            newest: project
                .retention
                .iter()
                .map(|_| BinaryHeap::new())
                .collect(),
        }
    }

    /// Every tag is noted before any is asked for.
    fn note(&mut self, tag: &PushedTag) {
        let Some((place, rule)) = self.rule(tag) else {
            return;
        };
        let Some(kept) = rule.newest else {
            return;
        };
        let heap = &mut self.newest[place];
        heap.push(Reverse((tag.pushed_at, tag.tag.clone())));
        if heap.len() > kept as usize {
            heap.pop();
        }
    }

    fn is_due(&self, tag: &PushedTag) -> bool {
        let Some((place, rule)) = self.rule(tag) else {
            return false;
        };
        let oldest_kept = self.newest[place].peek();
        let is_among_newest = rule.newest.is_some()
            && oldest_kept
                .is_none_or(|Reverse(oldest)| (tag.pushed_at, &tag.tag) >= (oldest.0, &oldest.1));
        let age = self.now.duration_since(tag.pushed_at).unwrap_or_default();
        let is_young = rule.max_age.is_some_and(|max| age <= max);
        !is_among_newest && !is_young
    }

    /// The rule that decides about a tag, and its place among the rules.
    fn rule(&self, tag: &PushedTag) -> Option<(usize, &'p Retention)> {
        let is_immutable = || {
            let patterns = &self.project.immutable_tags;
            patterns.iter().any(|p| p.matches(tag.tag.as_str()))
        };
        if tag.is_pinned || leads_to_referrers(&tag.tag) || is_immutable() {
            return None;
        }
        let mut rules = self.project.retention.iter().enumerate();
        rules.find(|(_, rule)| rule.applies_to(&tag.tag))
    }
}

/// `sha256-<64 hex>`, and what signers put behind that: it goes with its subject.
fn leads_to_referrers(tag: &Tag) -> bool {
    let Some((algorithm, rest)) = tag.as_str().split_once('-') else {
        return false;
    };
    let hex = rest.split(['.', '-']).next().unwrap_or_default();
    matches!(algorithm, "sha256" | "sha512")
        && hex.len() == 64
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn project(rules: &str) -> Project {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("entrepot.toml");
        let text = format!("[[project]]\nname = \"team\"\nkind = \"hosted\"\n{rules}");
        std::fs::write(&file, text).unwrap();
        let config = config::load(Some(&file), []).unwrap();
        let mut projects = config.projects.into_iter();
        projects.find(|project| project.name == "team").unwrap()
    }

    fn pushed(tag: &str, days_ago: u64) -> PushedTag {
        PushedTag {
            tag: tag.parse().unwrap(),
            digest: Digest::sha256(tag.as_bytes()),
            pushed_at: now() - Duration::from_hours(24 * days_ago),
            is_pinned: false,
        }
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 1000)
    }

    /// Names of those that go.
    fn due(rules: &str, tags: &[PushedTag]) -> Vec<String> {
        let project = project(rules);
        let mut selection = Selection::new(&project, now());
        for tag in tags {
            selection.note(tag);
        }
        let due = tags.iter().filter(|tag| selection.is_due(tag));
        due.map(|tag| tag.tag.to_string()).collect()
    }

    #[test]
    fn a_tag_stays_that_is_among_the_newest_or_young_enough() {
        let tags = [
            pushed("a", 1),
            pushed("b", 2),
            pushed("c", 3),
            pushed("d", 4),
        ];
        let rule = |keys: &str| due(&format!("[[project.retention]]\n{keys}\n"), &tags);
        assert_eq!(rule("newest = 2"), ["c", "d"]);
        assert_eq!(rule("max_age = \"3d\""), ["d"]);
        assert_eq!(rule("newest = 2\nmax_age = \"3d\""), ["d"]);
        assert_eq!(rule("newest = 3\nmax_age = \"1h\""), ["d"]);
        assert_eq!(rule("newest = 9"), Vec::<String>::new());
        assert_eq!(due("", &tags), Vec::<String>::new());
    }

    #[test]
    fn of_tags_pushed_at_the_same_time_so_many_stay_as_are_to() {
        let tags = [pushed("a", 1), pushed("b", 1), pushed("c", 1)];
        assert_eq!(due("[[project.retention]]\nnewest = 2\n", &tags), ["a"]);
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_what_none_matches_stays() {
        let rules = "immutable_tags = [\"v*\"]\n\
             [[project.retention]]\ntags = \"nightly-*\"\nnewest = 1\n\
             [[project.retention]]\ntags = \"{nightly,weekly}-*\"\nmax_age = \"1d\"\n\
             [[project.retention]]\ntags = \"v*\"\nmax_age = \"1d\"\n";
        let tags = [
            pushed("nightly-1", 9),
            pushed("nightly-2", 8),
            pushed("weekly-1", 9),
            pushed("v1", 9),
            pushed("latest", 9),
        ];
        assert_eq!(due(rules, &tags), ["nightly-1", "weekly-1"]);
    }

    #[test]
    fn what_is_pinned_or_leads_to_referrers_stays_and_takes_no_place() {
        let pinned = PushedTag {
            is_pinned: true,
            ..pushed("pinned", 1)
        };
        let hex = "0123456789abcdef".repeat(4);
        let tags = [
            pinned,
            pushed(&format!("sha256-{hex}"), 1),
            pushed(&format!("sha256-{hex}.sig"), 1),
            pushed("new", 2),
            pushed("sha256-old", 3),
        ];
        assert_eq!(
            due("[[project.retention]]\nnewest = 1\n", &tags),
            ["sha256-old"]
        );
    }
}
