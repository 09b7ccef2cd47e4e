use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, UNIX_EPOCH},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::*;
use crate::{
    meta::Claim,
    oci::{Digest, Reference, TagState, TagVersion},
    transfer::send::{Destination, Home, HomeBody, HomeError, SourceManifest},
};

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

fn empty() -> Asking {
    Asking {
        destination: None,
        meta: None,
        until: Instant::now(),
        is_rewritten: false,
        deletes: false,
        doomed: 0,
        agreed: Agreed::default(),
        later: Vec::new(),
        compared: Compared::default(),
    }
}

fn one() -> Wanted {
    Wanted {
        key: DeliveryKey {
            rule: Uuid::nil(),
            remote: "r".to_owned(),
            destination: "a/b".parse().unwrap(),
            tag: "1".parse().unwrap(),
        },
        repository: "a/b".parse().unwrap(),
        digest: None,
        noted: None,
        is_doomed: false,
        since: UNIX_EPOCH,
    }
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
        is_rewritten,
        ..empty()
    };
    let one = Wanted {
        digest: wanted.map(digest),
        noted,
        ..one()
    };
    let is_right = asking.judge(&one, there.map(digest).as_ref());
    assert_eq!(is_right, asking.compared == Compared::default());
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

/// Has `new` under every tag, and takes a while to say so.
struct Slow(AtomicUsize);

impl Home for Slow {
    fn digest<'a>(
        &'a self,
        _: &'a Name,
        _: &'a Reference,
    ) -> BoxFuture<'a, Result<Option<Digest>, HomeError>> {
        let answer = async {
            sleep(Duration::from_secs(1)).await;
            self.0.fetch_add(1, SeqCst);
            Ok(Some(digest("new")))
        };
        answer.boxed()
    }

    fn tag_state<'a>(
        &'a self,
        _: &'a Name,
        _: &'a Tag,
    ) -> BoxFuture<'a, Result<Option<TagState>, HomeError>> {
        async { Ok(None) }.boxed()
    }

    fn make_project<'a>(&'a self, _: &'a Name) -> BoxFuture<'a, Result<(), HomeError>> {
        unreachable!("nothing is made")
    }

    fn has_blob<'a>(
        &'a self,
        _: &'a Name,
        _: &'a Digest,
    ) -> BoxFuture<'a, Result<bool, HomeError>> {
        unreachable!("no blob is asked for")
    }

    fn mount<'a>(
        &'a self,
        _: &'a Name,
        _: &'a Digest,
        _: &'a Name,
    ) -> BoxFuture<'a, Result<bool, HomeError>> {
        unreachable!("nothing is sent")
    }

    fn take_blob<'a>(
        &'a self,
        _: &'a Name,
        _: &'a Digest,
        _: Option<u64>,
        _: HomeBody,
    ) -> BoxFuture<'a, Result<(), HomeError>> {
        unreachable!("nothing is sent")
    }

    fn take_manifest<'a>(
        &'a self,
        _: &'a Name,
        _: &'a Reference,
        _: SourceManifest,
        _: Option<TagVersion>,
    ) -> BoxFuture<'a, Result<Option<TagState>, HomeError>> {
        unreachable!("nothing is sent")
    }

    fn delete_tag<'a>(
        &'a self,
        _: &'a Name,
        _: &'a Tag,
        _: Option<&'a TagState>,
    ) -> BoxFuture<'a, Result<Option<TagState>, HomeError>> {
        unreachable!("nothing is deleted")
    }
}

/// One call for 200 tags, of which `wrong` are to be something else: what it found.
async fn asked(slow: &Arc<Slow>, agreed: &Agreed, wrong: usize) -> Compared {
    let mut asking = Asking {
        destination: Some(Destination::home(slow.clone())),
        agreed: agreed.clone(),
        until: Instant::now() + Duration::from_secs(15),
        ..empty()
    };
    let wanted = (0..200).map(|tag| Wanted {
        key: DeliveryKey {
            tag: tag.to_string().parse().unwrap(),
            ..one().key
        },
        digest: Some(digest(if tag < wrong { "newer" } else { "new" })),
        noted: Some(Claim::Put(digest("new"))),
        ..one()
    });
    asking.ask(wanted.collect()).await.unwrap();
    asking.ask_again().await.unwrap();
    asking.compared
}

#[tokio::test(start_paused = true)]
async fn of_more_tags_than_there_is_time_for_each_call_goes_on_where_the_last_stopped() {
    let (slow, agreed) = (Arc::new(Slow(AtomicUsize::new(0))), Agreed::default());
    let first = asked(&slow, &agreed, 0).await;
    assert!(first.message.is_some() && first.asked_since.is_none());
    // Eight a second.
    let answers = slow.0.load(SeqCst);
    assert!((112..=120).contains(&answers), "{answers}");
    let began = SystemTime::now();
    let second = asked(&slow, &agreed, 0).await;
    assert_eq!((second.message, second.differing), (None, 0));
    assert!(second.asked_since.unwrap() < began);
    // What differs is asked for at once, each time.
    let third = asked(&slow, &agreed, 3).await;
    assert_eq!((third.message, third.differing), (None, 3));
    let few = asked(&slow, &agreed, 3).await;
    assert_eq!(few.differing, 3);
}
