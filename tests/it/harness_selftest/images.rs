//! What `ImageBuilder` makes.

use crate::harness::{
    Algorithm, Compression, File, Image, ImageBuilder, digest_of, media_type, sha256,
};

fn assert_digests_fit(image: &Image) {
    for manifest in &image.manifests {
        assert_eq!(manifest.digest, sha256(&manifest.bytes));
        assert_eq!(manifest.json()["mediaType"], manifest.media_type);
    }
    for (digest, bytes) in &image.blobs {
        assert_eq!(*digest, sha256(bytes));
    }
}

#[test]
fn the_same_seed_gives_the_same_image() {
    let build = |seed| ImageBuilder::new(seed).layer(1000).layer(0).build();
    let image = build(7);
    assert_digests_fit(&image);
    assert_eq!(image.root, build(7).root);
    assert_ne!(image.root, build(8).root);
    assert_eq!(image.layers().len(), 2);
    assert_eq!(image.blob(&image.layers()[0]).len(), 1000);
    assert!(image.blobs.contains_key(&image.config()));
}

#[test]
fn an_index_names_one_manifest_per_platform() {
    let platforms = ["linux/amd64", "linux/arm/v7"];
    let image = ImageBuilder::new(1)
        .layer(10)
        .shared_layer(9, 20)
        .platforms(&platforms)
        .build();
    assert_digests_fit(&image);
    let index = image.root_manifest();
    assert_eq!(index.media_type, media_type::OCI_INDEX);
    assert_eq!(index.json()["manifests"][1]["platform"]["variant"], "v7");
    let children = image.children();
    assert_eq!(children.len(), 2);
    let (one, other) = (image.layers_of(&children[0]), image.layers_of(&children[1]));
    assert_ne!(one[0], other[0]);
    assert_eq!(one[1], other[1]);
}

#[test]
fn docker_media_types_are_used_throughout() {
    let image = ImageBuilder::new(1)
        .docker()
        .layer(10)
        .platforms(&["linux/amd64"])
        .build();
    assert_digests_fit(&image);
    assert_eq!(image.root_manifest().media_type, media_type::DOCKER_LIST);
    let manifest = image.manifests[0].json();
    assert_eq!(manifest["mediaType"], media_type::DOCKER_MANIFEST);
    assert_eq!(manifest["config"]["mediaType"], media_type::DOCKER_CONFIG);
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        media_type::DOCKER_LAYER_GZIP
    );
}

#[test]
fn digests_may_be_sha512() {
    let image = ImageBuilder::new(1)
        .algorithm(Algorithm::Sha512)
        .layer(10)
        .build();
    let manifest = image.root_manifest();
    assert_eq!(image.root, digest_of(Algorithm::Sha512, &manifest.bytes));
    assert!(image.layers()[0].starts_with("sha512:"));
}

#[test]
fn foreign_layers_are_named_but_not_held() {
    let image = ImageBuilder::new(1)
        .foreign_layer("https://example.com/x", 10)
        .build();
    assert_eq!(
        image.manifests[0].json()["layers"][0]["urls"][0],
        "https://example.com/x"
    );
    assert!(!image.blobs.contains_key(&image.layers()[0]));
}

#[test]
fn artifacts_and_charts_have_their_shapes() {
    let image = ImageBuilder::new(1).layer(10).build();
    let artifact = ImageBuilder::artifact(2, "application/spdx+json", &image);
    let document = artifact.annotation("a", "b").build().manifests[0].json();
    assert_eq!(document["subject"]["digest"], image.root);
    assert_eq!(document["artifactType"], "application/spdx+json");
    let chart = ImageBuilder::helm_chart(3, "web", "1.2.3")
        .build()
        .manifests[0]
        .json();
    assert_eq!(chart["config"]["mediaType"], media_type::HELM_CONFIG);
    assert_eq!(chart["layers"][0]["mediaType"], media_type::HELM_CHART);
}

#[test]
fn real_layers_can_be_unpacked_by_the_usual_tools() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let files = [
        File::new("etc/motd", "hello"),
        File::executable("bin/run", vec![7; 200_000]),
    ];
    for compression in [Compression::None, Compression::Gzip] {
        let image = ImageBuilder::new(1).files(compression, &files).build();
        let path = folder.path().join("layer");
        std::fs::write(&path, image.blob(&image.layers()[0])).expect("the layer is written");
        let unpacked = std::process::Command::new("tar")
            .arg("-xf")
            .arg(&path)
            .arg("-C")
            .arg(folder.path())
            .status()
            .expect("tar runs");
        assert!(unpacked.success());
        let read = |name| std::fs::read(folder.path().join(name)).expect("the file is there");
        assert_eq!(read("etc/motd"), b"hello");
        assert_eq!(read("bin/run"), vec![7; 200_000]);
    }
}

#[test]
fn a_zstd_layer_is_a_frame_of_raw_blocks() {
    let files = [File::new("data", vec![1; 300_000])];
    let image = ImageBuilder::new(1)
        .files(Compression::Zstd, &files)
        .build();
    let plain = ImageBuilder::new(1)
        .files(Compression::None, &files)
        .build();
    let archive = plain.blob(&plain.layers()[0]);
    let frame = image.blob(&image.layers()[0]);
    assert_eq!(frame[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    assert_eq!(frame[6..14], (archive.len() as u64).to_le_bytes());
    assert_eq!(
        frame.len(),
        14 + archive.len() + 3 * archive.len().div_ceil(128 * 1024)
    );
    let opaque = ImageBuilder::new(1).zstd_layer(10).build().manifests[0].json();
    assert_eq!(opaque["layers"][0]["mediaType"], media_type::OCI_LAYER_ZSTD);
}
