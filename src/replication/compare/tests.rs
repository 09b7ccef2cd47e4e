use std::time::UNIX_EPOCH;

use uuid::Uuid;

use super::*;

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

fn judged(
    wanted: Option<&str>,
    noted: Option<&str>,
    there: Option<&str>,
    is_rewritten: bool,
) -> (u64, u64, u64) {
    let noted = noted.map(|text| Claim::Put(digest(text)));
    judged_by(wanted, noted, there, is_rewritten)
}

fn judged_by(
    wanted: Option<&str>,
    noted: Option<Claim>,
    there: Option<&str>,
    is_rewritten: bool,
) -> (u64, u64, u64) {
    let mut asking = Asking {
        destination: None,
        meta: None,
        until: Instant::now(),
        is_rewritten,
        deletes: false,
        compared: Compared::default(),
    };
    let one = Wanted {
        key: DeliveryKey {
            rule: Uuid::nil(),
            remote: "r".to_owned(),
            destination: "a/b".parse().unwrap(),
            tag: "1".parse().unwrap(),
        },
        repository: "a/b".parse().unwrap(),
        digest: wanted.map(digest),
        noted,
        since: UNIX_EPOCH,
    };
    asking.judge(&one, there.map(digest).as_ref());
    let Compared {
        missing,
        differing,
        extra,
        ..
    } = asking.compared;
    (missing, differing, extra)
}

#[tokio::test]
async fn what_is_not_there_is_missing_and_what_is_other_differs() {
    let new = Some("new");
    assert_eq!(judged(new, None, None, false), (1, 0, 0));
    assert_eq!(judged(new, None, new, false), (0, 0, 0));
    assert_eq!(judged(new, None, Some("old"), false), (0, 1, 0));
    assert_eq!(judged(new, Some("old"), Some("old"), false), (0, 1, 0));
    assert_eq!(judged(new, Some("made"), Some("made"), true), (0, 0, 0));
}

#[tokio::test]
async fn only_what_the_rule_put_there_is_extra() {
    let old = Some("old");
    assert_eq!(judged(None, old, old, false), (0, 0, 1));
    assert_eq!(judged(None, old, Some("foreign"), false), (0, 0, 0));
    assert_eq!(judged(None, old, None, false), (0, 0, 0));
}

#[tokio::test]
async fn what_the_rule_began_to_put_there_is_its_own_and_not_believed_to_be_there() {
    let begun = || {
        Some(Claim::Begun {
            digest: digest("new"),
            over: Some(digest("old")),
        })
    };
    for there in ["new", "old"] {
        assert_eq!(judged_by(None, begun(), Some(there), false), (0, 0, 1));
    }
    assert_eq!(judged_by(None, begun(), Some("foreign"), false), (0, 0, 0));
    let old = Some("old");
    assert_eq!(judged_by(Some("next"), begun(), old, true), (0, 1, 0));
}
