//! Members, leases and announcements: two processes on one database.

use super::*;

on_both! {
    a_member_is_there_until_it_is_silent_for_too_long,
    a_lease_has_one_owner_until_it_expires_or_is_given_back,
    a_beat_renews_the_leases_of_its_member_alone,
    a_suspect_loses_its_lease_at_half_time,
    who_lost_a_lease_cannot_give_it_back,
    a_process_at_the_same_place_takes_the_place_of_the_one_before,
    what_one_process_writes_is_read_anew_by_the_other,
    an_announcement_that_is_not_understood_outdates_everything,
    what_is_past_is_forgotten,
    states_of_remotes_are_read_from_a_time_on,
}

const LONG: Duration = Duration::from_secs(60);

impl Database {
    /// The same rows as another member has them.
    async fn as_member(&self, id: &str) -> Meta {
        Meta::open_shared(&self.at, id).await.unwrap()
    }
}

fn beat(id: &str) -> Beat {
    Beat {
        id: id.to_owned(),
        advertise_url: format!("http://{id}/"),
        version: "1".to_owned(),
        member_expiry: LONG,
        lease_expiry: LONG,
        changes_kept: LONG,
    }
}

async fn live(meta: &Meta, beat: Beat) -> Vec<String> {
    let pulse = meta.member_beat(beat).await.unwrap();
    pulse.members.into_iter().map(|member| member.id).collect()
}

fn wanted(key: &str, member: &str) -> LeaseRequest {
    LeaseRequest {
        key: key.to_owned(),
        member: member.to_owned(),
        expiry: LONG,
        suspect: None,
    }
}

async fn take(meta: &Meta, request: LeaseRequest) -> Option<i64> {
    match meta.lease_take(request).await.unwrap() {
        LeaseTaken::Mine { token } => Some(token),
        LeaseTaken::Other { .. } => None,
    }
}

fn held(key: &str, token: i64) -> HeldLease {
    HeldLease {
        key: key.to_owned(),
        token,
    }
}

async fn a_member_is_there_until_it_is_silent_for_too_long(database: Database) {
    let meta = &database.meta;
    assert_eq!(live(meta, beat("a")).await, ["a"]);
    assert_eq!(live(meta, beat("b")).await, ["a", "b"]);
    assert_eq!(live(meta, beat("a")).await, ["a", "b"]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let strict = Beat {
        member_expiry: Duration::from_millis(20),
        ..beat("a")
    };
    assert_eq!(live(meta, strict).await, ["a"]);
    meta.member_leave("b").await.unwrap();
    let pulse = meta.member_beat(beat("a")).await.unwrap();
    let [member] = &pulse.members[..] else {
        panic!("{pulse:?}");
    };
    assert_eq!(
        (&*member.advertise_url, &*member.version),
        ("http://a/", "1")
    );
    assert!(member.started_at < member.seen_at && member.seen_at == pulse.now);
}

async fn a_lease_has_one_owner_until_it_expires_or_is_given_back(database: Database) {
    let meta = &database.meta;
    meta.member_beat(beat("a")).await.unwrap();
    let short = LeaseRequest {
        expiry: Duration::from_millis(30),
        ..wanted("k", "a")
    };
    let first = take(meta, short).await.unwrap();
    let other = LeaseTaken::Other {
        member: "a".to_owned(),
        advertise_url: Some("http://a/".to_owned()),
    };
    assert_eq!(meta.lease_take(wanted("k", "b")).await.unwrap(), other);
    assert!(take(meta, wanted("another", "b")).await.is_some());
    tokio::time::sleep(Duration::from_millis(60)).await;
    let second = take(meta, wanted("k", "b")).await.unwrap();
    assert!(second > first);
    assert!(take(meta, wanted("k", "a")).await.is_none());
    meta.lease_release("b", vec![held("k", second)])
        .await
        .unwrap();
    assert!(take(meta, wanted("k", "a")).await.is_some());
}

async fn a_beat_renews_the_leases_of_its_member_alone(database: Database) {
    let meta = &database.meta;
    let short = |key, member| LeaseRequest {
        expiry: Duration::from_millis(30),
        ..wanted(key, member)
    };
    let mine = take(meta, short("mine", "a")).await.unwrap();
    take(meta, short("theirs", "b")).await.unwrap();
    let pulse = meta.member_beat(beat("a")).await.unwrap();
    assert_eq!(pulse.leases, [held("mine", mine)]);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(take(meta, wanted("mine", "c")).await.is_none());
    assert!(take(meta, wanted("theirs", "c")).await.is_some());
}

async fn a_suspect_loses_its_lease_at_half_time(database: Database) {
    let meta = &database.meta;
    let second = Duration::from_secs(1);
    let lease = LeaseRequest {
        expiry: second,
        ..wanted("k", "a")
    };
    take(meta, lease).await.unwrap();
    let suspicious = |member: &str| LeaseRequest {
        expiry: second,
        suspect: Some(member.to_owned()),
        ..wanted("k", "b")
    };
    assert!(take(meta, suspicious("a")).await.is_none());
    let renewed = Beat {
        lease_expiry: Duration::from_millis(1),
        ..beat("a")
    };
    // As if the last renewal were long ago.
    meta.member_beat(renewed).await.unwrap();
    let mut outside = database.outside().await;
    run(
        &mut outside,
        "UPDATE lease SET expires_at = (SELECT now FROM clock) + 400",
    )
    .await;
    assert!(take(meta, suspicious("c")).await.is_none());
    assert!(take(meta, suspicious("a")).await.is_some());
}

async fn who_lost_a_lease_cannot_give_it_back(database: Database) {
    let meta = &database.meta;
    let gone = LeaseRequest {
        expiry: Duration::ZERO,
        ..wanted("k", "a")
    };
    let old = take(meta, gone).await.unwrap();
    let new = take(meta, wanted("k", "a")).await.unwrap();
    assert!(new > old);
    meta.lease_release("a", vec![held("k", old)]).await.unwrap();
    meta.lease_release("b", vec![held("k", new)]).await.unwrap();
    assert!(take(meta, wanted("k", "b")).await.is_none());
}

async fn a_process_at_the_same_place_takes_the_place_of_the_one_before(database: Database) {
    let meta = &database.meta;
    meta.member_beat(beat("a")).await.unwrap();
    meta.member_beat(beat("b")).await.unwrap();
    take(meta, wanted("k", "a")).await.unwrap();
    take(meta, wanted("l", "b")).await.unwrap();
    let replaced = meta.member_replace("a2", "http://a/").await.unwrap();
    assert_eq!(replaced, 1);
    let again = Beat {
        advertise_url: "http://a/".to_owned(),
        ..beat("a2")
    };
    assert_eq!(live(meta, again).await, ["b", "a2"]);
    assert!(take(meta, wanted("k", "a2")).await.is_some());
    assert!(take(meta, wanted("l", "a2")).await.is_none());
}

async fn what_one_process_writes_is_read_anew_by_the_other(database: Database) {
    let (one, other) = (database.as_member("a").await, database.as_member("b").await);
    let (repository, latest) = (name("p/r"), tag("latest"));
    one.tag_put(&repository, &latest, row("old", 1))
        .await
        .unwrap();
    one.manifest_commit(commit("p/r", "old")).await.unwrap();
    one.blob_link(std::slice::from_ref(&repository), &digest("blob"), 7)
        .await
        .unwrap();
    let heard = other.outdate_all().await.unwrap();
    let look = async || {
        let tag = other.tag(&repository, &latest).await.unwrap();
        let manifest = other.manifest(&repository, &digest("old")).await.unwrap();
        let linked = other
            .blob_linked(&repository, &digest("blob"))
            .await
            .unwrap();
        (tag.map(|row| row.target.digest), manifest.is_some(), linked)
    };
    assert_eq!(look().await, (Some(digest("old")), true, true));
    one.tag_put(&repository, &latest, row("new", 2))
        .await
        .unwrap();
    one.image_delete(&repository, &digest("old"), Removal::Purge)
        .await
        .unwrap();
    one.content_lost(&digest("blob")).await.unwrap();
    // Nobody has told it yet.
    assert_eq!(look().await, (Some(digest("old")), true, true));
    let heard_more = other.outdate_announced(heard).await.unwrap();
    assert_ne!(heard, heard_more);
    assert_eq!(look().await, (Some(digest("new")), false, false));
    assert_eq!(
        other.outdate_announced(heard_more).await.unwrap(),
        heard_more
    );
    // What a process has written itself it knows already.
    let before = one.reads();
    one.tag(&repository, &latest).await.unwrap();
    let reads = one.reads() - before;
    one.outdate_announced(heard).await.unwrap();
    let before = one.reads();
    one.tag(&repository, &latest).await.unwrap();
    assert_eq!((reads, one.reads() - before), (1, 0));
}

async fn an_announcement_that_is_not_understood_outdates_everything(database: Database) {
    let meta = database.as_member("a").await;
    let (repository, latest) = (name("p/r"), tag("latest"));
    meta.tag_put(&repository, &latest, row("old", 1))
        .await
        .unwrap();
    let mut heard = meta.outdate_all().await.unwrap();
    for (announce, reads) in [
        (
            "INSERT INTO change (member, body) VALUES ('b', 'shape p/r round')",
            0,
        ),
        (
            "INSERT INTO change (member, body) VALUES ('b', 'tag p/r other')",
            0,
        ),
        (
            "INSERT INTO change (member, body) VALUES ('b', 'tag p/r latest')",
            1,
        ),
        (
            "INSERT INTO change (member, body) VALUES ('b', 'tag p/r')",
            1,
        ),
        ("INSERT INTO change (member, body) VALUES ('b', 'all')", 1),
        ("INSERT INTO change (member, body) VALUES ('a', 'all')", 0),
    ] {
        meta.tag(&repository, &latest).await.unwrap();
        run(&mut *database.outside().await, announce).await;
        heard = meta.outdate_announced(heard).await.unwrap();
        let before = meta.reads();
        meta.tag(&repository, &latest).await.unwrap();
        assert_eq!(meta.reads() - before, reads, "{announce}");
    }
}

async fn what_is_past_is_forgotten(database: Database) {
    let meta = database.as_member("a").await;
    meta.tag_put(&name("p/r"), &tag("t"), row("x", 1))
        .await
        .unwrap();
    meta.member_beat(beat("gone")).await.unwrap();
    take(&meta, wanted("k", "gone")).await.unwrap();
    let mut outside = database.outside().await;
    run(
        &mut outside,
        "UPDATE change SET at = at - 61000; UPDATE member SET seen_at = seen_at - 90000000; \
         UPDATE lease SET expires_at = expires_at - 90000000",
    )
    .await;
    meta.member_beat(beat("a")).await.unwrap();
    for (table, left) in [
        ("SELECT COUNT(*) FROM change", 0),
        ("SELECT COUNT(*) FROM lease", 0),
        ("SELECT COUNT(*) FROM member", 1),
    ] {
        assert_eq!(count(&mut outside, table).await, left, "{table}");
    }
}

async fn states_of_remotes_are_read_from_a_time_on(database: Database) {
    let meta = &database.meta;
    let state = |key: &str, body: &str| RemoteState {
        key: key.to_owned(),
        body: body.to_owned(),
    };
    meta.remote_states_put(vec![state("one", "1"), state("two", "2")])
        .await
        .unwrap();
    let (states, since) = meta.remote_states_since(0).await.unwrap();
    assert_eq!(states.len(), 2);
    tokio::time::sleep(Duration::from_millis(5)).await;
    meta.remote_states_put(vec![state("one", "3")])
        .await
        .unwrap();
    let (states, _) = meta.remote_states_since(since + 1).await.unwrap();
    assert_eq!(states, [state("one", "3")]);
}
