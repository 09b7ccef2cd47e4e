//! Two members on one SQLite file, without beats of their own: each test beats when it wants.

use tempfile::TempDir;

use super::*;
use crate::config::Database;

struct Scene {
    members: Vec<Cluster>,
    folder: TempDir,
}

impl Scene {
    async fn new(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut scene = Self {
            members: Vec::new(),
            folder,
        };
        for place in 0..count {
            let member = scene.join(place).await;
            scene.members.push(member);
        }
        scene
    }

    async fn join(&self, place: usize) -> Cluster {
        let database = Database::Sqlite(self.folder.path().join("entrepot.db"));
        let me = MemberId::new();
        let meta = Meta::open_shared(&database, me.as_str()).await.unwrap();
        let config = config::Cluster {
            advertise_url: format!("http://127.0.0.1:{}", place + 1).parse().unwrap(),
            secret: config::Secret::new("secret".to_owned()),
        };
        Cluster::join(me, &config, meta, tls()).await.unwrap()
    }
}

/// Of whom nobody is asked here.
fn tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

async fn claim(member: &Cluster, key: &str) -> Option<Lease> {
    match member.claim(key, None).await.unwrap() {
        Claim::Mine(lease) => Some(lease),
        Claim::Other { .. } => None,
    }
}

/// Until what was dropped is given back.
async fn given_back(member: &Cluster) {
    let shutdown = CancellationToken::new();
    let release = tokio::spawn({
        let (member, shutdown) = (member.clone(), shutdown.clone());
        async move { member.keep_releasing(shutdown).await }
    });
    // The next write of the same member comes after it.
    tokio::task::yield_now().await;
    while !member.inner.leases.held().is_empty() {
        tokio::task::yield_now().await;
    }
    member.beat().await.unwrap();
    shutdown.cancel();
    release.await.unwrap();
}

#[tokio::test]
async fn members_see_each_other_until_they_leave() {
    let scene = Scene::new(2).await;
    let [one, other] = &scene.members[..] else {
        panic!("two were wanted");
    };
    assert_eq!((one.size(), other.size()), (1, 2));
    one.beat().await.unwrap();
    let both = [one.me().clone(), other.me().clone()];
    let seen = |member: &Cluster| -> Vec<_> {
        let members = member.members();
        members.iter().map(|member| member.id.clone()).collect()
    };
    assert_eq!((seen(one), seen(other)), (both.to_vec(), both.to_vec()));
    assert!(one.is_there(other.me()));
    other.leave().await;
    one.beat().await.unwrap();
    assert!(!one.is_there(other.me()));
    let again = scene.join(0).await;
    assert_eq!(
        again.size(),
        1,
        "the process before it at the same place is gone"
    );
}

#[tokio::test]
async fn a_lease_is_ones_own_until_its_last_clone_is_dropped() {
    let scene = Scene::new(2).await;
    let [one, other] = &scene.members[..] else {
        panic!("two were wanted");
    };
    let lease = claim(one, "k").await.expect("nobody has it");
    let same = claim(one, "k").await.expect("its own");
    assert!(claim(other, "k").await.is_none());
    drop(lease);
    one.beat().await.unwrap();
    assert!(claim(other, "k").await.is_none());
    assert!(!same.is_lost());
    drop(same);
    given_back(one).await;
    assert!(claim(other, "k").await.is_some());
}

#[tokio::test]
async fn a_lease_that_somebody_else_has_by_now_is_lost() {
    let scene = Scene::new(2).await;
    let [one, other] = &scene.members[..] else {
        panic!("two were wanted");
    };
    let lease = claim(one, "k").await.expect("nobody has it");
    // As if it had not beaten for long.
    one.inner
        .meta
        .member_leave(one.me().as_str())
        .await
        .unwrap();
    let taken = claim(other, "k").await.expect("it is free");
    one.beat().await.unwrap();
    assert!(lease.is_lost() && !taken.is_lost());
    drop(lease);
    given_back(one).await;
    other.beat().await.unwrap();
    assert!(!taken.is_lost());
    assert!(claim(one, "k").await.is_none());
}

#[tokio::test]
async fn a_lease_whose_taker_went_away_goes_with_a_later_beat() {
    let scene = Scene::new(2).await;
    let [one, other] = &scene.members[..] else {
        panic!("two were wanted");
    };
    {
        let mut claim = Box::pin(one.claim("k", None));
        assert!(futures_util::poll!(claim.as_mut()).is_pending());
    }
    // Its row is written all the same, and this comes after it.
    one.beat().await.unwrap();
    assert!(claim(other, "k").await.is_none());
    given_back(one).await;
    one.beat().await.unwrap();
    assert!(claim(other, "k").await.is_some());
}
