use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;

use Decoration::{Excludes, Matches};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn candidate(tag: &str, seconds: u64) -> Candidate {
    Candidate {
        tag: tag.parse().unwrap(),
        digest: Digest::sha256(tag.as_bytes()),
        resource: Resource::Image,
        labels: BTreeSet::new(),
        created_at: at(seconds),
    }
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn taken(filters: &[Filter], candidates: &[Candidate]) -> Vec<String> {
    let taken = Filters(filters.to_vec()).select(candidates.to_vec(), at(1000));
    taken.iter().map(|one| one.tag.to_string()).collect()
}

fn tags_taken(filter: Filter, tags: &[&str]) -> Vec<String> {
    let candidates: Vec<_> = tags.iter().map(|tag| candidate(tag, 0)).collect();
    taken(&[filter], &candidates)
}

#[test]
fn no_filter_takes_everything() {
    assert_eq!(
        taken(&[], &[candidate("1", 0), candidate("latest", 0)]).len(),
        2
    );
    assert!(Filters::default().take_name("library/nginx"));
}

#[test]
fn names_and_tags_are_taken_or_left_out_by_their_pattern() {
    let name = |text: &str, decoration| Filters(vec![Filter::Name(pattern(text), decoration)]);
    assert!(name("library/**", Matches).take_name("library/nginx"));
    assert!(!name("library/**", Matches).take_name("other/nginx"));
    assert!(!name("library/**", Excludes).take_name("library/nginx"));
    assert!(name("/^lib/", Matches).take_name("library/nginx"));
    let tags = ["1.2", "1.10-rc", "latest"];
    assert_eq!(
        tags_taken(Filter::Tag(pattern("1.*"), Matches), &tags),
        ["1.2", "1.10-rc"]
    );
    assert_eq!(
        tags_taken(Filter::Tag(pattern("1.*"), Excludes), &tags),
        ["latest"]
    );
}

#[test]
fn versions_are_compared_as_versions() {
    let range = |text: &str, decoration| {
        Filter::Semver(semver::VersionReq::parse(text).unwrap(), decoration)
    };
    let tags = [
        "1.2",
        "v1.10.3",
        "1",
        "2.0.0",
        "1.9.9-rc1",
        "latest",
        "1.2.3.4",
    ];
    assert_eq!(
        tags_taken(range(">=1.2, <2", Matches), &tags),
        ["1.2", "v1.10.3"]
    );
    let others = tags_taken(range(">=1.2, <2", Excludes), &tags);
    assert_eq!(others, ["1", "2.0.0", "1.9.9-rc1", "latest", "1.2.3.4"]);
}

#[test]
fn all_labels_must_be_there() {
    let labels = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    let mut both = candidate("both", 0);
    both.labels = labels(&["prod", "signed"]);
    let mut one = candidate("one", 0);
    one.labels = labels(&["prod"]);
    let candidates = [both, one, candidate("none", 0)];
    let wanted = || labels(&["prod", "signed"]);
    assert_eq!(
        taken(&[Filter::Label(wanted(), Matches)], &candidates),
        ["both"]
    );
    assert_eq!(
        taken(&[Filter::Label(wanted(), Excludes)], &candidates),
        ["one", "none"]
    );
}

#[test]
fn the_newest_are_counted_among_what_the_other_filters_take() {
    let candidates = [
        candidate("1.0", 10),
        candidate("1.1", 30),
        candidate("2.0", 40),
        candidate("1.2", 20),
    ];
    let ones = Filter::Tag(pattern("1.*"), Matches);
    assert_eq!(
        taken(&[Filter::Newest(2), ones.clone()], &candidates),
        ["1.1", "1.2"]
    );
    assert_eq!(
        taken(&[ones, Filter::Newest(9)], &candidates),
        ["1.0", "1.1", "1.2"]
    );
    assert_eq!(
        taken(&[Filter::Newest(3), Filter::Newest(1)], &candidates),
        ["2.0"]
    );
}

#[test]
fn what_is_too_old_is_left_out_and_what_is_from_the_future_is_not() {
    let candidates = [
        candidate("old", 899),
        candidate("young", 900),
        candidate("ahead", 2000),
    ];
    let age = Filter::MaxAge(Duration::from_secs(100));
    assert_eq!(taken(&[age], &candidates), ["young", "ahead"]);
}

#[test]
fn a_manifest_is_an_image_a_chart_or_an_artifact() {
    let manifest = |config: &str| Resource::told(ManifestKind::Manifest, Some(config));
    assert_eq!(manifest(IMAGE_CONFIGS[0]), Resource::Image);
    assert_eq!(manifest(IMAGE_CONFIGS[1]), Resource::Image);
    assert_eq!(manifest(HELM_CONFIG), Resource::Chart);
    assert_eq!(
        manifest("application/vnd.oci.empty.v1+json"),
        Resource::Artifact
    );
    let index = |artifact_type| Resource::told(ManifestKind::Index, artifact_type);
    assert_eq!(index(None), Resource::Image);
    assert_eq!(index(Some("application/x")), Resource::Artifact);
    assert_eq!(
        Resource::told(ManifestKind::Other, None),
        Resource::Artifact
    );
}

#[test]
fn resources_are_taken_by_their_kind() {
    let mut chart = candidate("chart", 0);
    chart.resource = Resource::Chart;
    let candidates = [candidate("image", 0), chart];
    let kinds = BTreeSet::from([Resource::Chart]);
    assert_eq!(
        taken(&[Filter::Resource(kinds.clone(), Matches)], &candidates),
        ["chart"]
    );
    assert_eq!(
        taken(&[Filter::Resource(kinds, Excludes)], &candidates),
        ["image"]
    );
}

#[test]
fn a_platform_without_a_variant_means_every_variant() {
    let platform = |text: &str| text.parse::<Platform>().unwrap();
    let chosen = |texts: &[&str], decoration| {
        let platforms = texts.iter().map(|text| platform(text)).collect();
        Filters(vec![Filter::Platform(platforms, decoration)])
    };
    let arm = chosen(&["linux/arm"], Matches);
    assert!(arm.take_platform(&platform("linux/arm/v7")));
    assert!(!arm.take_platform(&platform("linux/arm64")));
    let v7 = chosen(&["linux/arm/v7", "linux/amd64"], Matches);
    assert!(!v7.take_platform(&platform("linux/arm/v6")));
    assert!(v7.take_platform(&platform("linux/amd64")));
    assert!(!chosen(&["linux/amd64"], Excludes).take_platform(&platform("linux/amd64")));
    assert!(Filters::default().take_platform(&platform("windows/amd64")));
    assert!("linux".parse::<Platform>().is_err() && "linux/".parse::<Platform>().is_err());
}

#[test]
fn literal_patterns_need_no_list_of_repositories() {
    let literal = |text: &str, decoration| {
        Filters(vec![Filter::Name(pattern(text), decoration)]).literal_names()
    };
    assert_eq!(
        literal("library/nginx", Matches).unwrap(),
        ["library/nginx"]
    );
    assert_eq!(
        literal("{library,team}/{nginx,redis}", Matches).unwrap(),
        ["library/nginx", "library/redis", "team/nginx", "team/redis"]
    );
    for no_list in ["library/*", "**", "/nginx/", "a?", "[ab]", "a\\*"] {
        assert_eq!(literal(no_list, Matches), None, "{no_list}");
    }
    assert_eq!(literal("library/nginx", Excludes), None);
}
