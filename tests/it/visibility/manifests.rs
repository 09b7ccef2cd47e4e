//! A repository has what its own manifests name, unless only others that are private have it; and a stored manifest when its
//! own remote says so.

use super::Teams;
use crate::{
    fill::{KIB, MIB, until_hit},
    harness::{ImageBuilder, On, get, get_range, head},
    server::on_both,
};

on_both! {
    a_manifest_that_names_a_stored_blob_is_right_enough,
    a_manifest_that_names_what_only_a_private_project_has_is_no_key_to_it,
    a_manifest_that_names_what_only_a_private_repository_has_is_no_key_to_it,
    an_index_that_names_a_private_manifest_is_no_key_to_it,
    a_manifest_that_came_from_elsewhere_names_nothing_here,
    a_stored_manifest_costs_a_repository_whose_remote_has_it_one_head,
    a_child_of_an_index_of_ones_own_is_adopted_without_asking,
}

async fn a_manifest_that_names_a_stored_blob_is_right_enough() {
    let teams = Teams::new().await;
    let ours = ImageBuilder::new(1).shared_layer(9, 64 * KIB).build();
    let theirs = ImageBuilder::new(2).shared_layer(9, 64 * KIB).build();
    teams.a.put_image("private", "v1", &ours);
    teams.b.put_image("other", "v1", &theirs);
    let layer = ours.layers().remove(0);
    assert_eq!(theirs.layers(), std::slice::from_ref(&layer));
    until_hit(&teams.server.blob_url("team-a/private", &layer)).await;
    assert_eq!(
        get(&teams.server.manifest_url("team-b/other", "v1"))
            .await
            .status,
        200
    );
    let answer = get(&teams.server.blob_url("team-b/other", &layer)).await;
    assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"));
    assert_eq!(teams.b.count(On::blob()), 0);
}

/// Registries take manifests that name what they do not have: layers with URLs, sparse indexes.
async fn a_manifest_that_names_what_only_a_private_project_has_is_no_key_to_it() {
    let access = "visibility = \"private\"";
    for hot in [true, false] {
        let teams = Teams::with(access).await;
        let index = ImageBuilder::new(1)
            .shared_layer(9, MIB)
            .platforms(&["linux/amd64", "linux/arm64"])
            .build();
        teams.a.put_image("private", "v1", &index);
        teams.b.put_image("other", "v1", &index);
        let (layer, child) = (index.layers().remove(0), index.children().remove(0));
        teams.b.remove_blob("other", &layer);
        let manifest = format!("manifests/{child}");
        assert_eq!(teams.pull_as_admin(&manifest).await.status, 200);
        let hold = (!hot).then(|| teams.a.hold_after(On::blob().get(), MIB as u64 / 2));
        let blob = format!("blobs/{layer}");
        let mut pull = Box::pin(teams.pull_as_admin(&blob));
        if let Some(hold) = &hold {
            tokio::select! {
                _ = &mut pull => panic!("the remote holds it"),
                () = hold.reached(1) => {}
            }
        } else {
            assert_eq!(pull.as_mut().await.status, 200);
            teams.server.settled().await;
        }
        for reference in ["v1", &child] {
            let url = teams.server.manifest_url("team-b/other", reference);
            assert_eq!(get(&url).await.status, 200, "b has the manifests");
        }
        let url = teams.server.blob_url("team-b/other", &layer);
        for answer in [get(&url).await, get_range(&url, "0-99").await] {
            assert_eq!(answer.status, 404, "hot: {hot}");
        }
        if let Some(hold) = hold {
            hold.release();
            assert_eq!(pull.await.status, 200);
        }
    }
}

/// Of public projects, this one's own too.
async fn a_manifest_that_names_what_only_a_private_repository_has_is_no_key_to_it() {
    let teams = Teams::new().await;
    let image = ImageBuilder::new(1).layer(64 * KIB).build();
    let layer = image.layers().remove(0);
    for (remote, repository) in [
        (&teams.a, "private"),
        (&teams.a, "open"),
        (&teams.b, "other"),
    ] {
        remote.put_image(repository, "v1", &image);
    }
    for url in [
        teams.server.manifest_url("team-a/private", "v1"),
        teams.server.blob_url("team-a/private", &layer),
    ] {
        assert_eq!(get(&url).await.status, 200);
    }
    teams.server.settled().await;
    teams.hide("team-a/private").await;
    teams.a.remove_blob("open", &layer);
    teams.b.remove_blob("other", &layer);
    for repository in ["team-a/open", "team-b/other"] {
        let manifest = teams.server.manifest_url(repository, "v1");
        assert_eq!(get(&manifest).await.status, 200);
        let blob = teams.server.blob_url(repository, &layer);
        for answer in [get(&blob).await, get_range(&blob, "0-99").await] {
            assert_eq!(answer.status, 404, "{repository}");
        }
    }
    let blob = teams.pull_as_admin(&format!("blobs/{layer}")).await;
    assert_eq!(blob.status, 200);
}

async fn an_index_that_names_a_private_manifest_is_no_key_to_it() {
    let teams = Teams::with("visibility = \"private\"").await;
    let index = ImageBuilder::new(1)
        .layer(KIB)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    teams.a.put_image("private", "v1", &index);
    teams.b.put_image("other", "v1", &index);
    let child = index.children().remove(0);
    teams.b.remove_manifest("other", &child);
    let manifest = format!("manifests/{child}");
    assert_eq!(teams.pull_as_admin(&manifest).await.status, 200);
    let url = teams.server.manifest_url("team-b/other", "v1");
    assert_eq!(get(&url).await.status, 200);
    let url = teams.server.manifest_url("team-b/other", &child);
    assert_eq!(get(&url).await.status, 404);
}

async fn a_manifest_that_came_from_elsewhere_names_nothing_here() {
    // Team a's manifest names the layer; that gives team b no right to either.
    let teams = Teams::new().await;
    let image = ImageBuilder::new(1).layer(64 * KIB).build();
    teams.a.put_image("private", "v1", &image);
    let layer = image.layers().remove(0);
    assert_eq!(
        get(&teams.server.manifest_url("team-a/private", "v1"))
            .await
            .status,
        200
    );
    until_hit(&teams.server.blob_url("team-a/private", &layer)).await;
    for repository in ["team-b/other", "team-a/another"] {
        assert_eq!(
            get(&teams.server.blob_url(repository, &layer)).await.status,
            404
        );
        let manifest = teams.server.manifest_url(repository, &image.root);
        assert_eq!(get(&manifest).await.status, 404);
        assert_eq!(head(&manifest).await.status, 404);
    }
}

async fn a_stored_manifest_costs_a_repository_whose_remote_has_it_one_head() {
    let teams = Teams::new().await;
    let image = ImageBuilder::new(1).layer(KIB).build();
    teams.a.put_image("private", "v1", &image);
    teams.b.put_untagged("other", &image);
    assert_eq!(
        get(&teams.server.manifest_url("team-a/private", "v1"))
            .await
            .status,
        200
    );
    for _ in 0..2 {
        let answer = get(&teams.server.manifest_url("team-b/other", &image.root)).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"));
        assert!(answer.body == image.root_manifest().bytes);
        assert_eq!(
            answer.header("content-type"),
            image.root_manifest().media_type
        );
    }
    let asked = (
        teams.b.count(On::manifest().head()),
        teams.b.count(On::manifest().get()),
    );
    assert_eq!(asked, (1, 0));
}

async fn a_child_of_an_index_of_ones_own_is_adopted_without_asking() {
    let teams = Teams::new().await;
    let image = ImageBuilder::new(1)
        .layer(KIB)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    let child = image.children().remove(0);
    teams.a.put_image("private", "v1", &image);
    teams.b.put_image("other", "v1", &image);
    assert_eq!(
        get(&teams.server.manifest_url("team-a/private", &child))
            .await
            .status,
        200
    );
    assert_eq!(
        get(&teams.server.manifest_url("team-b/other", "v1"))
            .await
            .status,
        200
    );
    teams.b.forget_requests();
    let answer = get(&teams.server.manifest_url("team-b/other", &child)).await;
    assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"));
    assert_eq!(teams.b.count(On::any()), 0);
}
