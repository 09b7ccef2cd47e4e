//! Seeded bytes that do not compress: the same seed gives the same bytes for ever, in every version.

use bytes::Bytes;

/// `length` bytes of the splitmix64 sequence that begins at `seed`.
pub(crate) fn random_bytes(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0xA076_1D64_78BD_642F);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}
