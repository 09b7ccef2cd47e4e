//! What a remote allows, it allows all replicas together.

use super::{Shared, until};
use crate::{
    fill::KIB,
    harness::{FakeRegistry, Fault, ImageBuilder, On, get},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_refuses_one_replica_is_not_asked_by_the_others() {
    let remote = FakeRegistry::start().await;
    let image = |seed| ImageBuilder::new(seed).layer(KIB).build();
    remote.put_image("app", "one", &image(1));
    remote.put_image("app", "two", &image(2));
    let shared = Shared::new().await;
    let replicas = shared.replicas(2, &remote).await;
    let [one, other] = &replicas[..] else {
        unreachable!("two were wanted");
    };
    remote.fault_always(On::manifest(), Fault::too_many("60"));
    let refused = get(&one.server.manifest_url("r/app", "one")).await;
    assert_eq!(refused.status, 503);
    remote.clear_faults();
    let asked = || remote.count(On::manifest());
    until("the other one hears of it", async || {
        let before = asked();
        let missing = format!("missing-{before}");
        let answer = get(&other.server.manifest_url("r/app", &missing)).await;
        answer.status == 503 && asked() == before
    })
    .await;
    let answer = get(&other.server.manifest_url("r/app", "two")).await;
    assert_eq!(answer.status, 503);
    assert!(!answer.header("retry-after").is_empty());
}
