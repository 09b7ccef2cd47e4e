//! `offline = true`: nothing is dialed, what is here is served, and what is not says why.

use crate::{
    fill::{KIB, until_hit},
    harness::{FakeRegistry, Image, ImageBuilder, get, head},
    server::{Setup, TestServer},
};

/// A mirror that has pulled the first platform of an index but for one layer, and then went offline.
struct Scene {
    remote: FakeRegistry,
    server: TestServer,
    image: Image,
    connections: usize,
}

impl Scene {
    async fn new(section: &str, project_keys: &str) -> Self {
        let remote = FakeRegistry::start().await;
        let image = ImageBuilder::new(1)
            .layer(KIB)
            .layer(2 * KIB)
            .platforms(&["linux/amd64", "linux/arm64"])
            .build();
        remote.put_image("app", "latest", &image);
        let fresh =
            "tags = \"**\"\nttl = \"0s\"\nstale_while_revalidate = \"1h\"\nstale_if_error = \"0s\"";
        let setup = |section: &str, keys: &str| {
            Setup::empty()
                .section(section)
                .mirror("r", &remote, keys)
                .freshness(fresh)
        };
        let mut server = setup("", "").start().await;
        let child = &image.children()[0];
        for reference in ["latest", child] {
            let answer = get(&server.manifest_url("r/app", reference)).await;
            assert_eq!(answer.status, 200);
        }
        until_hit(&server.blob_url("r/app", &image.layers()[0])).await;
        server.settled().await;
        server.stop().await;
        let file = server.folder.path().join("entrepot.toml");
        std::fs::write(file, setup(section, project_keys).text()).expect("a file");
        let connections = remote.connections();
        server.start_again().await;
        Self {
            remote,
            server,
            image,
            connections,
        }
    }

    async fn message(&self, url: &str) -> String {
        let answer = get(url).await;
        assert_eq!(answer.error_code(), "UNAVAILABLE");
        assert_eq!((answer.status, head(url).await.status), (503, 503), "{url}");
        answer.json()["errors"][0]["message"]
            .as_str()
            .expect("a text")
            .to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_is_served_and_what_is_not_says_offline_and_never_pulled() {
    for (section, keys, who) in [
        ("[mirror]\noffline = true", "", "this server is offline"),
        ("", "offline = true", "project `r` is offline"),
    ] {
        let scene = Scene::new(section, keys).await;
        let (server, image) = (&scene.server, &scene.image);
        for answer in [
            get(&server.manifest_url("r/app", "latest")).await,
            head(&server.manifest_url("r/app", "latest")).await,
        ] {
            assert_eq!((answer.status, answer.header("x-cache")), (200, "stale"));
        }
        let children = image.children();
        let layers = image.layers_of(&children[0]);
        let here = get(&server.manifest_url("r/app", &children[0])).await;
        assert_eq!((here.status, here.header("x-cache")), (200, "hit"));
        let here = get(&server.blob_url("r/app", &layers[0])).await;
        assert_eq!((here.status, here.header("x-cache")), (200, "hit"));

        let nothing = format!("sha256:{}", "0".repeat(64));
        for (url, lack) in [
            (server.manifest_url("r/app", "v2"), "is not here"),
            (server.manifest_url("r/app", &nothing), "is not here"),
            (server.blob_url("r/app", &nothing), "is not here"),
            (
                format!("{}/v2/r/none/tags/list", server.url()),
                "is not here",
            ),
        ] {
            let message = scene.message(&url).await;
            assert!(message.contains(lack) && message.contains(who), "{message}");
        }
        // HEADs of these are answered from what the manifests above say.
        for url in [
            server.manifest_url("r/app", &children[1]),
            server.blob_url("r/app", &layers[1]),
        ] {
            let answer = get(&url).await;
            assert_eq!(answer.status, 503);
            let message = answer.json()["errors"][0]["message"].to_string();
            assert!(
                message.contains("was never pulled") && message.contains(who),
                "{message}"
            );
        }
        assert_eq!(scene.remote.connections(), scene.connections);
    }
}
