use super::*;

const MIB: u64 = 1024 * 1024;

/// In memory, where nobody else takes space.
async fn space(limits: Limits) -> (tempfile::TempDir, Space) {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    (folder, Space::new(store, limits))
}

fn used(space: &Space) -> u64 {
    let standing = space.standing();
    standing.cached + standing.left + standing.reserved
}

fn budget(max_bytes: u64) -> Limits {
    Limits {
        max_bytes: Some(max_bytes),
        ..Limits::default()
    }
}

#[tokio::test]
async fn what_never_fits_is_refused_and_what_will_fit_is_not() {
    let (_folder, space) = space(budget(10 * MIB)).await;
    space.measured(None, 9 * MIB);
    assert!(space.reserve("p", 11 * MIB, 0).await.unwrap().is_none());
    // Eviction is to make room behind it.
    let room = space.reserve("p", 5 * MIB, 0).await.unwrap().unwrap();
    assert!(!space.standing().is_exceeded() && used(&space) == 14 * MIB);
    space.set_stuck(None, true);
    assert!(space.reserve("p", MIB, 0).await.unwrap().is_none());
    space.pressed().await;
    drop(room);
    assert_eq!(used(&space), 9 * MIB);
    let room = space.reserve("p", MIB, 0).await.unwrap();
    room.expect("it fits").keep(MIB);
    assert_eq!(used(&space), 10 * MIB);
    space.set_stuck(None, false);
    let room = space.reserve("p", MIB, 0).await.unwrap();
    room.expect("it will fit").keep(MIB);
    assert!(space.standing().is_exceeded());
    space.pressed().await;
    space.freed(None, MIB);
    space.freed(None, 4 * MIB);
    assert_eq!(used(&space), 6 * MIB);
}

#[tokio::test]
async fn a_project_has_a_budget_of_its_own() {
    let (_folder, space) = space(Limits {
        projects: HashMap::from([("small".to_owned(), MIB)]),
        ..Limits::default()
    })
    .await;
    assert!(space.reserve("small", 2 * MIB, 0).await.unwrap().is_none());
    let room = space.reserve("large", 2 * MIB, 0).await.unwrap();
    room.expect("no limit").keep(2 * MIB);
    let room = space.reserve("small", MIB, 0).await.unwrap();
    room.expect("it fits").keep(MIB);
    let [(name, standing)] = &space.project_standings()[..] else {
        panic!("one budget");
    };
    assert_eq!(
        (name.as_str(), standing.cached, standing.is_exceeded()),
        ("small", MIB, false)
    );
    assert_eq!(used(&space), 3 * MIB);
}

#[tokio::test]
async fn what_runs_counts_against_the_free_space_until_it_is_on_disk() {
    let (_folder, space) = space(Limits::default()).await;
    let free = space.inner.store.free_bytes().await.unwrap();
    assert!(space.reserve("p", free + MIB, 0).await.unwrap().is_none());
    assert!(
        space
            .reserve("p", free + MIB, 2 * MIB)
            .await
            .unwrap()
            .is_some()
    );
    let mut first = space.reserve("p", free / 2, 0).await.unwrap().unwrap();
    assert!(space.reserve("p", free / 4 * 3, 0).await.unwrap().is_none());
    // As if it had been written, without taking the memory.
    first.wrote(free / 2);
    let second = space.reserve("p", free / 4 * 3, 0).await.unwrap();
    drop((first, second));
    assert_eq!(space.lock().outstanding, 0);
}

#[tokio::test]
async fn a_blob_without_a_length_takes_room_step_by_step() {
    let (_folder, space) = space(budget(10 * MIB)).await;
    let mut room = space.reserve("p", 4 * MIB, 0).await.unwrap().unwrap();
    assert!(room.take(8 * MIB, 4 * MIB).await.unwrap());
    assert!(!room.take(12 * MIB, 8 * MIB).await.unwrap());
    assert_eq!((room.bytes(), used(&space)), (8 * MIB, 8 * MIB));
    room.keep(7 * MIB);
    assert_eq!(used(&space), 7 * MIB);
}

#[tokio::test]
async fn the_floor_stays_free_and_what_was_refused_is_asked_for() {
    let (_folder, space) = space(Limits {
        free_floor_bytes: u64::MAX / 2,
        ..Limits::default()
    })
    .await;
    assert!(space.reserve("p", 1, 0).await.unwrap().is_none());
    space.pressed().await;
    assert!(space.missing_on_disk().await.unwrap() > u64::MAX / 4);

    let (_folder, space) = self::space(Limits::default()).await;
    let free = space.inner.store.free_bytes().await.unwrap();
    for (cached, expected) in [(MIB, false), (100 * MIB, true)] {
        space.measured(None, cached);
        assert!(space.reserve("p", free + MIB, 0).await.unwrap().is_none());
        // Not worth more than half of everything else.
        assert_eq!(space.missing_on_disk().await.unwrap() > 0, expected);
        space.forget_wanted();
        assert_eq!(space.missing_on_disk().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn what_is_given_up_counts_as_left() {
    let (_folder, space) = space(budget(10 * MIB)).await;
    let mut room = space.reserve("p", 4 * MIB, 0).await.unwrap().unwrap();
    room.wrote(3 * MIB);
    drop(room);
    assert_eq!(used(&space), 3 * MIB);
    space.measured_left(0);
    space
        .reserve("p", 4 * MIB, 0)
        .await
        .unwrap()
        .unwrap()
        .discard();
    assert_eq!(used(&space), 0);
}

#[tokio::test]
async fn what_comes_while_the_rows_are_summed_is_not_forgotten() {
    let (_folder, space) = space(budget(10 * MIB)).await;
    let keep = async |bytes| {
        let room = space.reserve("p", bytes, 0).await.unwrap();
        room.expect("it fits").keep(bytes);
    };
    keep(MIB).await;
    space.measuring(None);
    keep(2 * MIB).await;
    // The sum was read before those 2 MiB had their rows.
    space.measured(None, MIB);
    assert_eq!(used(&space), 3 * MIB);
    space.measuring(None);
    space.measured(None, 3 * MIB);
    assert_eq!(used(&space), 3 * MIB);
}
