//! The only maker of keys.
//!
//! ```text
//! <root>
//! ├── entrepot.lock                    held (flock) by the one process that uses the folder
//! ├── reserve                          room that is given up when the disk is too full to write rows
//! ├── blobs
//! │   ├── sha256
//! │   │   └── ab
//! │   │       └── abcd…                complete and verified, always; the name is the whole hex
//! │   └── sha512
//! │       └── 01
//! │           └── 0123…
//! └── spool
//!     ├── sha256-abcd…                 growing, or left by an earlier fill: can be resumed
//!     ├── placed-sha256-abcd…          empty: says that this blob is in place, its rows perhaps not yet
//!     ├── upload-<uuid>                what has come of an upload session
//!     └── put-<opening>-<n>            small content on its way in; of another opening: a leftover
//!
//! <bucket>/<prefix>
//! └── objects
//!     └── 0192…-…                      content, complete; its name is in the row of its digest
//! ```

use std::path::{Path, PathBuf};

use object_store::path::Path as Key;
use uuid::Uuid;

use super::object::ObjectId;
use crate::oci::{Algorithm, Digest};

/// The lock of the folder.
pub fn lock() -> Key {
    Key::from("entrepot.lock")
}

/// What is given up when the disk is full.
pub fn reserve() -> Key {
    Key::from("reserve")
}

/// Where a complete blob is.
pub fn blob(digest: &Digest) -> Key {
    let hex = digest.hex();
    Key::from_iter(["blobs", digest.algorithm().as_str(), &hex[..2], hex])
}

/// The folder of everything incomplete.
pub fn spools() -> Key {
    Key::from("spool")
}

/// Where the growing file of a digest is.
pub fn spool(digest: &Digest) -> Key {
    let name = format!("{}-{}", digest.algorithm().as_str(), digest.hex());
    Key::from_iter(["spool", &name])
}

/// The mark of a blob that is in place while its rows are being written.
pub fn placed(digest: &Digest) -> Key {
    let name = format!("placed-{}-{}", digest.algorithm().as_str(), digest.hex());
    Key::from_iter(["spool", &name])
}

/// The folder of the blobs of an algorithm whose hex begins with this byte.
pub fn blobs(algorithm: Algorithm, first: u8) -> Key {
    Key::from_iter(["blobs", algorithm.as_str(), &format!("{first:02x}")])
}

/// Where content that is put in one go waits for its rename. `opening` names this opening of the store, so that what
/// an earlier one left behind can be told from what is being written now.
pub fn put(opening: Uuid, number: u64) -> Key {
    let name = format!("put-{}-{number}", opening.simple());
    Key::from_iter(["spool", &name])
}

/// Where the growing file of an upload session is.
pub fn upload(id: Uuid) -> Key {
    Key::from_iter(["spool", &format!("upload-{}", id.hyphenated())])
}

/// The folder of all objects, in the bucket.
pub fn objects(prefix: &Key) -> Key {
    prefix.clone().join("objects")
}

/// Where an object is, in the bucket.
pub fn object(prefix: &Key, id: ObjectId) -> Key {
    objects(prefix).join(id.to_string())
}

/// The file of a key.
pub fn on_disk(root: &Path, key: &Key) -> PathBuf {
    root.join(key.as_ref())
}

/// What a file name in the spool folder stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spooled {
    /// The spool of this digest.
    Fill(Digest),
    /// Made by [`put`] in this opening of the store.
    Put(Uuid),
    /// The mark of this blob, made by [`placed`].
    Placed(Digest),
    /// The file of this upload session.
    Upload(Uuid),
}

impl Spooled {
    /// Reads a file name; `None` for a file that is not ours.
    pub fn parse(name: &str) -> Option<Self> {
        if let Some(rest) = name.strip_prefix("put-") {
            let (opening, _number) = rest.split_once('-')?;
            return opening.parse().ok().map(Self::Put);
        }
        if let Some(id) = name.strip_prefix("upload-") {
            return id.parse().ok().map(Self::Upload);
        }
        if let Some(digest) = name.strip_prefix("placed-") {
            return digest.replacen('-', ":", 1).parse().ok().map(Self::Placed);
        }
        name.replacen('-', ":", 1).parse().ok().map(Self::Fill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_drawn() {
        let digest = Digest::sha256(b"");
        let hex = digest.hex();
        assert_eq!(blob(&digest).as_ref(), format!("blobs/sha256/e3/{hex}"));
        assert_eq!(spool(&digest).as_ref(), format!("spool/sha256-{hex}"));
        assert_eq!(
            on_disk(Path::new("/data"), &spools()),
            Path::new("/data/spool")
        );
        let id = ObjectId::new();
        for (prefix, folder) in [("", "objects"), ("a/b", "a/b/objects")] {
            let key = object(&Key::from(prefix), id);
            assert_eq!(key.as_ref(), format!("{folder}/{id}"));
            assert!(key.prefix_matches(&objects(&Key::from(prefix))));
        }
    }

    #[test]
    fn names_in_the_spool_folder_are_read_back() {
        for digest in [Digest::sha256(b"a"), Algorithm::Sha512.digest(b"a")] {
            let key = spool(&digest);
            assert_eq!(
                Spooled::parse(key.filename().unwrap()),
                Some(Spooled::Fill(digest))
            );
        }
        let digest = Digest::sha256(b"a");
        let key = placed(&digest);
        assert_eq!(
            Spooled::parse(key.filename().unwrap()),
            Some(Spooled::Placed(digest))
        );
        let opening = Uuid::now_v7();
        let key = put(opening, 7);
        assert_eq!(
            Spooled::parse(key.filename().unwrap()),
            Some(Spooled::Put(opening))
        );
        let id = Uuid::now_v7();
        let key = upload(id);
        assert_eq!(
            Spooled::parse(key.filename().unwrap()),
            Some(Spooled::Upload(id))
        );
    }

    #[test]
    fn foreign_names_are_nobodys() {
        for name in [
            "",
            "put-",
            "put-x-1",
            "placed-",
            "placed-x",
            "upload-",
            "upload-x",
            "sha256",
            "sha256-zz",
            "notes.txt",
        ] {
            assert_eq!(Spooled::parse(name), None, "{name}");
        }
    }
}
