//! The document's own sync, from a Harbor to a cloud registry.

use std::sync::Arc;

use super::{Folder, image};
use crate::{
    forward_proxy::ForwardProxy,
    harness::{Authority, FakeRegistry},
    process::entrepot_in,
    real_registry::{Program, RealRegistry, Terms},
    seeds::assert_pulls_with,
};

/// The document's own configuration file and command line, unchanged: the names are led to registries on this machine by a
/// proxy, and nothing else is done for them.
#[tokio::test(flavor = "multi_thread")]
async fn seed_003_c80117e80b807e43_from_a_harbor_to_a_cloud_registry() {
    const CONFIG: &str = r#"{
    "auth": {
        "harbor.myk8s.paas.com:32080": {
            "username": "admin",
            "password": "xxxxxxxxx",
            "insecure": true
        },
        "registry.cn-beijing.aliyuncs.com": {
            "username": "acr_pusher@1938562138124787",
            "password": "xxxxxxxx"
        }
    },
    "images": {
        "harbor.myk8s.paas.com:32080/library/nginx": ""
    }
}"#;
    let terms = Terms {
        login: Some(("admin", "xxxxxxxxx")),
        tls: None,
    };
    let harbor = RealRegistry::with(Program::DockerRegistry, terms).await;
    let authority = Arc::new(Authority::new());
    let identity = authority.server(&["registry.cn-beijing.aliyuncs.com"]);
    let terms = Terms {
        login: Some(("acr_pusher@1938562138124787", "xxxxxxxx")),
        tls: Some(&identity),
    };
    let cloud = RealRegistry::with(Program::Distribution, terms).await;
    let images = [image(1), image(2), image(3)];
    let fake = FakeRegistry::start().await;
    for (at, image) in images.iter().enumerate() {
        fake.put_image("nginx", &format!("1.{at}"), image);
    }
    let folder = Folder::new();
    let all = [
        format!("{}/nginx", fake.host()),
        format!("{}/library/nginx", harbor.host),
    ];
    let copy = ["copy", "--all-tags", "--to-user", "admin", &all[0], &all[1]];
    let copied = entrepot_in(
        folder.path(),
        &copy,
        &[("ENTREPOT_TO_PASSWORD", "xxxxxxxxx")],
    )
    .await;
    assert_eq!(copied.code, Some(0), "{}", copied.stdout);

    let proxy = ForwardProxy::with_routes(&[
        ("harbor.myk8s.paas.com:32080", &harbor.host),
        ("registry.cn-beijing.aliyuncs.com:443", &cloud.host),
    ])
    .await;
    folder.write("harbor-to-acr.json", CONFIG);
    folder.write("ca.pem", &authority.pem());
    let ca = folder.path().join("ca.pem").display().to_string();
    let environment = [
        ("HTTP_PROXY", proxy.url()),
        ("HTTPS_PROXY", proxy.url()),
        ("SSL_CERT_FILE", ca.clone()),
    ];
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let arguments = [
        "--proc=10",
        "--config=./harbor-to-acr.json",
        "--registry=registry.cn-beijing.aliyuncs.com",
        "--namespace=image-syncer",
        "--retries=10",
        "--log=./log",
    ];
    let said = folder.sync_in(&arguments, &environment).await;
    let log = folder.read("log");
    assert_eq!(said.code, Some(0), "{}\n{log}", said.stdout);
    assert_eq!(said.stderr, "");
    let last = log.lines().last().expect("a line");
    assert!(
        last.contains("Synchronization finished, 0 tasks failed, cost "),
        "{log}"
    );
    for tag in ["1.0", "1.1", "1.2"] {
        let task = format!(
            "Finish synchronizing harbor.myk8s.paas.com:32080/library/nginx:{tag} => \
             registry.cn-beijing.aliyuncs.com/image-syncer/nginx:{tag}: synchronized. Now "
        );
        assert!(log.contains(&task), "{log}");
    }
    // Somebody pulls there, by the cloud registry's name.
    let login = Some(("acr_pusher@1938562138124787", "xxxxxxxx"));
    let name = "registry.cn-beijing.aliyuncs.com/image-syncer/nginx:1.1";
    assert_pulls_with(&[], &environment, login, name, &images[1]).await;
}
