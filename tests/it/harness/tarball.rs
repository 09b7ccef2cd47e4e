//! Layers that real clients can unpack: ustar archives, stored (not compressed) in gzip or zstd frames.

use bytes::Bytes;

/// How a layer's archive is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// One regular file of a layer.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) bytes: Bytes,
}

// === impl File ===

impl File {
    pub(crate) fn new(path: &str, bytes: impl Into<Bytes>) -> Self {
        Self {
            path: path.to_owned(),
            mode: 0o644,
            bytes: bytes.into(),
        }
    }

    /// A file with mode 0755.
    pub(crate) fn executable(path: &str, bytes: impl Into<Bytes>) -> Self {
        Self {
            mode: 0o755,
            ..Self::new(path, bytes)
        }
    }
}

/// A ustar archive of the files; the same files give the same bytes.
pub(crate) fn tar(files: &[File]) -> Bytes {
    let mut archive = Vec::new();
    for file in files {
        archive.extend_from_slice(&tar_header(file));
        archive.extend_from_slice(&file.bytes);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive.into()
}

fn tar_header(file: &File) -> [u8; 512] {
    let mut header = [0_u8; 512];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    assert!(
        file.path.len() < 100,
        "the path is too long for a plain ustar header"
    );
    put(0, &file.path);
    put(100, &format!("{:07o}\0", file.mode));
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", file.bytes.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// The archive in the wrapping that was asked for.
pub(crate) fn compress(compression: Compression, archive: &Bytes) -> Bytes {
    match compression {
        Compression::None => archive.clone(),
        Compression::Gzip => gzip_stored(archive),
        Compression::Zstd => zstd_stored(archive),
    }
}

/// RFC 1952 with stored deflate blocks.
fn gzip_stored(bytes: &[u8]) -> Bytes {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut chunks = bytes.chunks(0xffff).peekable();
    if chunks.peek().is_none() {
        out.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
    }
    while let Some(chunk) = chunks.next() {
        let length = u16::try_from(chunk.len()).expect("chunks are at most 65535 bytes");
        out.push(u8::from(chunks.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(chunk);
    }
    out.extend_from_slice(&crc32(bytes).to_le_bytes());
    let length = u32::try_from(bytes.len() & 0xffff_ffff).expect("masked to 32 bits");
    out.extend_from_slice(&length.to_le_bytes());
    out.into()
}

/// RFC 8878 with raw blocks and an eight-byte content size.
fn zstd_stored(bytes: &[u8]) -> Bytes {
    const BLOCK_BYTES: usize = 128 * 1024;
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd];
    // Frame header descriptor: content size in 8 bytes, and a window descriptor of 128 KiB.
    out.extend_from_slice(&[0b1100_0000, 0b0011_1000]);
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    let mut chunks = bytes.chunks(BLOCK_BYTES).peekable();
    if chunks.peek().is_none() {
        out.extend_from_slice(&[1, 0, 0]);
    }
    while let Some(chunk) = chunks.next() {
        let last = u32::from(chunks.peek().is_none());
        let length = u32::try_from(chunk.len()).expect("chunks are at most 128 KiB");
        out.extend_from_slice(&((length << 3) | last).to_le_bytes()[..3]);
        out.extend_from_slice(chunk);
    }
    out.into()
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut table = [0_u32; 256];
    for (index, entry) in (0_u32..).zip(&mut table) {
        *entry = (0..8).fold(index, |crc, _| {
            if crc & 1 == 1 {
                0xEDB8_8320 ^ (crc >> 1)
            } else {
                crc >> 1
            }
        });
    }
    !bytes.iter().fold(!0, |crc, byte| {
        table[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8)
    })
}
