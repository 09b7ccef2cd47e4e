//! The words of the OCI specifications as types: digests, names, tags, references, paths, descriptors, manifests.
//! Pure: no I/O, no runtime. Everybody may call it; it calls nobody.

pub mod descriptor;
pub mod digest;
pub mod error_code;
#[cfg(test)]
pub(crate) mod fuzz;
pub mod header;
pub mod image;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod path;
pub mod platform;
pub mod reference;
pub mod tag;
pub mod tag_version;

pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, Hasher};
pub use image::Image;
pub use manifest::{Manifest, ManifestKind};
pub use name::Name;
pub use path::Path;
pub use platform::{Platform, PlatformPattern};
pub use reference::Reference;
pub use tag::Tag;
pub use tag_version::{TagState, TagVersion};

/// The start of a foreign text, for use in errors.
fn shortened(text: &str) -> String {
    const MAX_LENGTH: usize = 255;
    if text.len() <= MAX_LENGTH {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_LENGTH)])
}
