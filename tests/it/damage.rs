//! Files that somebody else cut, changed or deleted: never completed to a client, and fetched anew.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use crate::{
    fill::{MIB, Scene},
    harness::{On, SlowReader, get},
    small_disk::blob_file,
};

fn cut(path: &Path) {
    open(path).set_len(1000).expect("a file");
}

fn flip(path: &Path) {
    open(path)
        .write_all_at(b"xyz", MIB as u64 / 2)
        .expect("a file");
}

fn delete(path: &Path) {
    fs::remove_file(path).expect("a file");
}

fn open(path: &Path) -> File {
    File::options().write(true).open(path).expect("a file")
}

type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 3] = [("cut", cut), ("flip", flip), ("delete", delete)];

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_blob_is_fetched_anew_with_and_without_a_restart() {
    for (name, damage) in DAMAGES {
        let mut scene = Scene::named(MIB).await;
        scene.assert_whole(&scene.client().await.expect("a client ends"));
        scene.assert_stored().await;
        for restarts in [false, true] {
            if restarts {
                scene.server.stop().await;
                scene.server.start_again().await;
            }
            damage(&scene.file());
            scene.remote.forget_requests();
            scene.assert_whole(&scene.client().await.expect("a client ends"));
            assert_eq!(scene.downloads(), 1, "{name} {restarts}");
            scene.assert_stored().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_blob_is_never_completed_while_the_remote_is_down() {
    for (name, damage) in DAMAGES {
        let scene = Scene::named(MIB).await;
        scene.assert_whole(&scene.client().await.expect("a client ends"));
        scene.assert_stored().await;
        scene.remote.stop().await;
        damage(&scene.file());
        let answer = get(&scene.url()).await;
        assert!(answer.status >= 500, "{name}: {}", answer.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_damaged_while_it_is_read_is_cut() {
    let scene = Scene::named(16 * MIB).await;
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    scene.assert_stored().await;
    let mut reader = SlowReader::open(&scene.url(), &[]).await;
    reader.read(MIB / 4).await;
    flip(&scene.file());
    reader.read_to_end().await;
    assert!(!reader.is_complete());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_whose_file_is_damaged_is_served_from_memory_or_fetched_anew() {
    let mut scene = Scene::named(1000).await;
    let url = scene.server.manifest_url("r/team/app", "latest");
    let manifest = get(&url).await;
    let digest = manifest.header("docker-content-digest").to_owned();
    let file = blob_file(&scene.server.folder.path().join("data"), &digest);
    fs::write(&file, b"{}").expect("a file");
    assert!(get(&url).await.body == manifest.body);
    scene.server.stop().await;
    scene.server.start_again().await;
    scene.remote.forget_requests();
    let url = scene.server.manifest_url("r/team/app", "latest");
    assert!(get(&url).await.body == manifest.body);
    assert_eq!(scene.remote.count(On::manifest().get()), 1);
    assert!(fs::read(&file).expect("a file") == manifest.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_was_placed_without_rows_is_deleted_at_the_start() {
    let mut scene = Scene::named(MIB).await;
    scene.assert_whole(&scene.client().await.expect("a client ends"));
    scene.assert_stored().await;
    scene.server.stop().await;
    // As if the process had ended between the rename and the rows.
    let stray = crate::harness::sha256(b"stray");
    let data = scene.server.folder.path().join("data");
    let (kept, file) = (scene.file(), blob_file(&data, &stray));
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(&file, b"stray").expect("a file");
    for digest in [&stray, &scene.digest] {
        let mark = format!("placed-{}", digest.replacen(':', "-", 1));
        fs::write(data.join("spool").join(mark), b"").expect("a file");
    }
    scene.server.start_again().await;
    crate::small_disk::until("the marks are gone", || {
        fs::read_dir(data.join("spool")).is_ok_and(|spool| spool.count() == 0)
    })
    .await;
    assert!(!file.exists() && kept.exists());
}
