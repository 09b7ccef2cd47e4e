//! What is replicated: twenty images with layers in common, each in a repository of its own. As the images name them the
//! layers have 2740 MiB, each once 1020 MiB.

use anyhow::Result;

use crate::content::{Content, manifest, random_bytes};
use crate::plan::MIB;
use crate::pusher::{Pusher, Way};

pub(crate) const TAG: &str = "1.0";
const COUNT: usize = 20;
const RUNTIMES: usize = 4;
const BASE_MIB: usize = 40;
const RUNTIME_MIB: usize = 60;
const OWN_MIB: usize = 37;
/// The names of the repositories.
pub(crate) fn repositories() -> impl Iterator<Item = String> {
    (0..COUNT).map(|number| format!("bench/image-{number:02}"))
}

/// The configuration of an image, different for each number. skopeo reads it.
pub(crate) fn config(number: usize) -> Vec<u8> {
    let config = serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Labels": { "number": number.to_string() } },
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    config.to_string().into_bytes()
}

/// Layers of so many MiB, less for a quick trial.
struct Layer {
    body: Vec<u8>,
    blob: Content,
}

impl Layer {
    fn new(mib: usize, divisor: usize) -> Self {
        let body = random_bytes(mib * MIB / divisor);
        let blob = Content::blob(&body);
        Self { body, blob }
    }
}

/// Pushes the same images to all of these; layers are `divisor` times smaller than said.
pub(crate) fn push(pushers: &[Pusher], divisor: usize) -> Result<()> {
    let base = Layer::new(BASE_MIB, divisor);
    let runtimes: Vec<_> = (0..RUNTIMES)
        .map(|_| Layer::new(RUNTIME_MIB, divisor))
        .collect();
    for (number, repository) in repositories().enumerate() {
        let own = Layer::new(OWN_MIB, divisor);
        let layers = [&base, &runtimes[number % RUNTIMES], &own];
        let config = config(number);
        let mut blobs = vec![Content::blob(&config)];
        blobs.extend(layers.map(|layer| layer.blob.clone()));
        let manifest = manifest(&blobs);
        for pusher in pushers {
            let pusher = pusher.of(&repository);
            pusher.push_blob(&blobs[0], &config, Way::Put)?;
            for layer in layers {
                pusher.push_blob(&layer.blob, &layer.body, Way::Put)?;
            }
            pusher.push_manifest(&manifest, TAG)?;
        }
    }
    Ok(())
}
