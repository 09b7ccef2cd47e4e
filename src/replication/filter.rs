//! What of a source a rule takes. Pure: everything that is asked of a tag is in [`Candidate`].
//!
//! All filters must match; of what passes, `newest` takes the newest of each repository. What a referrer is does not matter:
//! it follows its subject.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use crate::{
    config::Pattern,
    oci::{Digest, ManifestKind, Platform, PlatformPattern, Tag},
};

/// The config of a Helm chart.
const HELM_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const IMAGE_CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// Does a filter take what it describes, or all else?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoration {
    Matches,
    Excludes,
}

/// One filter of a rule.
#[derive(Debug, Clone)]
pub enum Filter {
    /// On the repository's name without its project; on the whole name if the rule is for every project.
    Name(Pattern, Decoration),
    Tag(Pattern, Decoration),
    /// All of these are there.
    Label(BTreeSet<String>, Decoration),
    Resource(BTreeSet<Resource>, Decoration),
    Semver(semver::VersionReq, Decoration),
    Newest(u32),
    MaxAge(Duration),
    Platform(Vec<PlatformPattern>, Decoration),
}

/// What kind of thing a tag points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// A Docker or OCI manifest with the config of an image, or an index.
    Image,
    /// A Helm chart.
    Chart,
    /// All else.
    Artifact,
}

/// All filters of a rule.
#[derive(Debug, Clone, Default)]
pub struct Filters(pub Vec<Filter>);

/// A tag that may be taken, and what the filters ask of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub tag: Tag,
    pub digest: Digest,
    pub resource: Resource,
    pub labels: BTreeSet<String>,
    /// Of the image itself, or when it was pushed.
    pub created_at: SystemTime,
}

impl Decoration {
    fn takes(self, matches: bool) -> bool {
        matches == (self == Self::Matches)
    }
}

impl Resource {
    pub const WORDS: [(&'static str, Self); 3] = [
        ("image", Self::Image),
        ("chart", Self::Chart),
        ("artifact", Self::Artifact),
    ];

    /// What a manifest is, by its kind and by its `artifactType`, else the media type of its config.
    pub fn told(kind: ManifestKind, artifact_type: Option<&str>) -> Self {
        match (kind, artifact_type) {
            (ManifestKind::Index, None) => Self::Image,
            (ManifestKind::Manifest, Some(HELM_CONFIG)) => Self::Chart,
            (ManifestKind::Manifest, Some(config)) if IMAGE_CONFIGS.contains(&config) => {
                Self::Image
            }
            _ => Self::Artifact,
        }
    }

    pub fn as_str(self) -> &'static str {
        let word = Self::WORDS.iter().find(|(_, resource)| *resource == self);
        word.expect("each has its word").0
    }
}

impl Filters {
    /// All patterns among them.
    pub(super) fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.0.iter().filter_map(|filter| match filter {
            Filter::Name(pattern, _) | Filter::Tag(pattern, _) => Some(pattern),
            _ => None,
        })
    }

    /// May anything of the repository be taken that the rule knows by this name?
    pub fn take_name(&self, name: &str) -> bool {
        self.0.iter().all(|filter| match filter {
            Filter::Name(pattern, decoration) => decoration.takes(pattern.matches(name)),
            _ => true,
        })
    }

    /// The only names that can be taken, if the filters tell them without a list of what there is.
    pub fn literal_names(&self) -> Option<Vec<String>> {
        self.0.iter().find_map(|filter| match filter {
            Filter::Name(pattern, Decoration::Matches) => pattern.literal_texts(),
            _ => None,
        })
    }

    /// Can the tag alone decide that this one is not taken?
    pub fn take_tag(&self, tag: &Tag) -> bool {
        self.0.iter().all(|filter| match filter {
            Filter::Tag(pattern, decoration) => decoration.takes(pattern.matches(tag.as_str())),
            Filter::Semver(range, decoration) => {
                let version = version(tag.as_str());
                decoration.takes(version.is_some_and(|version| range.matches(&version)))
            }
            _ => true,
        })
    }

    /// Does the tag alone decide of everything?
    pub fn ask_tags_alone(&self) -> bool {
        self.0.iter().all(|filter| {
            matches!(
                filter,
                Filter::Name(..) | Filter::Tag(..) | Filter::Semver(..) | Filter::Platform(..)
            )
        })
    }

    /// Does one of the filters ask what a tag points to, or how old it is?
    pub fn look_inside(&self) -> bool {
        self.0.iter().any(|filter| {
            matches!(
                filter,
                Filter::Resource(..) | Filter::Newest(_) | Filter::MaxAge(_)
            )
        })
    }

    /// Does one of the filters ask for the age of an image?
    pub fn ask_age(&self) -> bool {
        let asks = |filter: &Filter| matches!(filter, Filter::Newest(_) | Filter::MaxAge(_));
        self.0.iter().any(asks)
    }

    /// Does `newest` make the choice of one tag depend on the others?
    pub fn compare_tags(&self) -> bool {
        let compares = |filter: &Filter| matches!(filter, Filter::Newest(_));
        self.0.iter().any(compares)
    }

    /// Does one of the filters ask for labels?
    pub fn ask_labels(&self) -> bool {
        let asks = |filter: &Filter| matches!(filter, Filter::Label(..));
        self.0.iter().any(asks)
    }

    /// Of the tags of one repository those that are taken, in their order.
    pub fn select(&self, candidates: Vec<Candidate>, now: SystemTime) -> Vec<Candidate> {
        let mut taken = candidates;
        taken.retain(|candidate| self.takes(candidate, now));
        let newest = self.0.iter().filter_map(|filter| match filter {
            Filter::Newest(count) => Some(*count),
            _ => None,
        });
        let Some(count) = newest.min() else {
            return taken;
        };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut by_age: Vec<_> = taken
            .iter()
            .map(|candidate| (candidate.created_at, candidate.tag.clone()))
            .collect();
        by_age.sort_by(|one, other| other.cmp(one));
        by_age.truncate(count);
        let newest: BTreeSet<Tag> = by_age.into_iter().map(|(_, tag)| tag).collect();
        taken.retain(|candidate| newest.contains(&candidate.tag));
        taken
    }

    fn takes(&self, candidate: &Candidate, now: SystemTime) -> bool {
        self.take_tag(&candidate.tag)
            && self.0.iter().all(|filter| match filter {
                Filter::Label(labels, decoration) => {
                    decoration.takes(labels.is_subset(&candidate.labels))
                }
                Filter::Resource(resources, decoration) => {
                    decoration.takes(resources.contains(&candidate.resource))
                }
                Filter::MaxAge(age) => {
                    now.duration_since(candidate.created_at)
                        .is_ok_and(|is| is <= *age)
                        || candidate.created_at > now
                }
                _ => true,
            })
    }

    /// The platforms that are asked for; none: all.
    pub fn take_platform(&self, platform: &Platform) -> bool {
        self.0.iter().all(|filter| match filter {
            Filter::Platform(platforms, decoration) => {
                decoration.takes(platforms.iter().any(|asked| asked.matches(platform)))
            }
            _ => true,
        })
    }

    /// Is there a choice of platforms?
    pub fn choose_platforms(&self) -> bool {
        let chooses = |filter: &Filter| matches!(filter, Filter::Platform(..));
        self.0.iter().any(chooses)
    }
}

/// The version that a tag says: `v` in front and missing numbers are forgiven.
fn version(tag: &str) -> Option<semver::Version> {
    let text = tag.strip_prefix('v').unwrap_or(tag);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let missing = 3_usize.checked_sub(numbers.split('.').count())?;
    let text = format!("{numbers}{}{rest}", ".0".repeat(missing));
    semver::Version::parse(&text).ok()
}

#[cfg(test)]
mod tests;
