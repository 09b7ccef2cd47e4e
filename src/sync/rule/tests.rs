use super::*;

fn with(json: &str, defaults: &Defaults) -> Result<Vec<Rule>, String> {
    let entries = serde_json::from_str(json).unwrap();
    let variables = Variables::new([("NS".to_owned(), "team".to_owned())]);
    super::read(entries, defaults, &variables).map_err(|error| error.to_string())
}

fn all(json: &str) -> Result<Vec<Rule>, String> {
    with(json, &Defaults::default())
}

fn defaults(registry: Option<&str>, namespace: Option<&str>) -> Defaults {
    Defaults {
        registry: registry.map(str::to_owned),
        namespace: namespace.map(str::to_owned),
    }
}

/// `source what -> destination tags`
fn told(rule: &Rule) -> String {
    let what = match &rule.what {
        What::AllTags => "*".to_owned(),
        What::Tags(tags) => tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(","),
        What::Matching(expression) => format!("/{expression}/"),
        What::Digest(_) => "@".to_owned(),
    };
    let tags: Vec<_> = rule.to.tags.iter().map(Tag::as_str).collect();
    format!(
        "{} {what} -> {} {}",
        rule.from,
        rule.to.place,
        tags.join(",")
    )
}

fn one(source: &str, destination: &str) -> Result<String, String> {
    let json = serde_json::json!({source: destination}).to_string();
    all(&json).map(|rules| told(&rules[0]).trim_end().to_owned())
}

#[test]
fn every_form_of_a_source_is_read() {
    for (source, destination, expected) in [
        ("quay.io/a/p", "r.io/p", "quay.io/a/p * -> r.io/p"),
        ("quay.io/a/p:v1.0", "r.io/p", "quay.io/a/p v1.0 -> r.io/p"),
        (
            "quay.io/a/p:v1.0",
            "r.io/p:x",
            "quay.io/a/p v1.0 -> r.io/p x",
        ),
        ("quay.io/a/p:v1,v2", "r.io/p", "quay.io/a/p v1,v2 -> r.io/p"),
        (
            "quay.io/a/p:v1,v2",
            "r.io/p:a,b",
            "quay.io/a/p v1,v2 -> r.io/p a,b",
        ),
        (
            r"quay.io/a/p:/^v1\..*/",
            "r.io/p",
            r"quay.io/a/p /^v1\..*/ -> r.io/p",
        ),
        ("r.io:5000/p:/a/b/", "r.io/q", "r.io:5000/p /a/b/ -> r.io/q"),
        (
            "nginx",
            "r.io/$NS/p:1",
            "docker.io/library/nginx * -> r.io/team/p 1",
        ),
        (
            "user/app:1",
            "r.io/${NS}/p",
            "docker.io/user/app 1 -> r.io/team/p",
        ),
    ] {
        assert_eq!(
            one(source, destination),
            Ok(expected.to_owned()),
            "{source}"
        );
    }
}

#[test]
fn a_digest_goes_to_itself_or_to_a_tag() {
    let (digest, other) = (Digest::sha256(b""), Digest::sha256(b"x"));
    let source = format!("quay.io/a/p@{digest}");
    assert_eq!(one(&source, "r.io/p").unwrap(), "quay.io/a/p @ -> r.io/p");
    assert_eq!(
        one(&source, "r.io/p:1").unwrap(),
        "quay.io/a/p @ -> r.io/p 1"
    );
    assert!(one(&source, &format!("r.io/p@{digest}")).is_ok());
    let refused = one(&source, &format!("r.io/p@{other}")).unwrap_err();
    assert!(refused.starts_with("the digest of source and destination must match"));
    assert!(one("quay.io/a/p:1", &format!("r.io/p@{digest}")).is_err());
    assert!(one(&source, "r.io/p:1,2").is_err());
}

#[test]
fn several_destinations_are_several_rules_without_repeats() {
    let rules = all(r#"{"a.io/p:1": ["r.io/p1", "r.io/p2", "r.io/p1"], "a.io/q": "r.io/q"}"#);
    let rules: Vec<_> = rules.unwrap().iter().map(told).collect();
    assert_eq!(
        rules,
        [
            "a.io/p 1 -> r.io/p1 ",
            "a.io/p 1 -> r.io/p2 ",
            "a.io/q * -> r.io/q "
        ]
    );
}

#[test]
fn what_is_no_rule_is_refused_in_the_words_that_people_know() {
    for (json, part) in [
        (
            r#"{"a.io/p:1,2": "r.io/p:1"}"#,
            "the number of tags of source and destination is not matched",
        ),
        (
            r#"{"a.io/p": 1}"#,
            "destination should only be string or []string",
        ),
        (
            r#"{"a.io/p": [1]}"#,
            "destination should only be string or []string",
        ),
        (
            r#"{"a.io/p": []}"#,
            "empty destination is not supported for source: a.io/p",
        ),
        (
            r#"{"a.io/p": ""}"#,
            "empty destination is not supported for source: a.io/p",
        ),
        (r#"{"": "r.io/p"}"#, "empty source"),
        (
            r#"{"a.io/p,q": "r.io/p"}"#,
            "begins a list of tags without one",
        ),
        (r#"{"a.io/p:/(/": "r.io/p"}"#, "no regular expression"),
        (r#"{"a.io/p:/a": "r.io/p"}"#, "ends with `/`"),
        (r#"{"a.io/P": "r.io/p"}"#, "not a repository name"),
        (r#"{"a.io/p:1,-": "r.io/p"}"#, "not a tag"),
    ] {
        let refused = all(json).unwrap_err();
        assert!(refused.contains(part), "{json}: {refused}");
    }
}

#[test]
fn an_empty_destination_is_the_default_one() {
    let both = defaults(
        Some("registry.cn-beijing.aliyuncs.com"),
        Some("image-syncer"),
    );
    let to = |source: &str| {
        let json = serde_json::json!({source: ""}).to_string();
        with(&json, &both).unwrap()[0].to.place.to_string()
    };
    let place = "registry.cn-beijing.aliyuncs.com/image-syncer";
    assert_eq!(
        to("harbor.myk8s.paas.com:32080/library/nginx"),
        format!("{place}/nginx")
    );
    assert_eq!(to("nginx:1"), format!("{place}/nginx"));
    assert_eq!(to("a.io/b/c/d:1,2"), format!("{place}/c/d"));
    assert_eq!(to("a.io/b"), format!("{place}/b"));
    let half = with(r#"{"a.io/p": ""}"#, &defaults(Some("r.io"), None)).unwrap_err();
    assert!(half.contains("should not be nil"), "{half}");
}
