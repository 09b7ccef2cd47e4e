//! What a request says of the bytes it brings: pure.

use super::PushError;

/// What the headers of a body say of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chunk {
    /// `Content-Range`: the first and the last byte, both of the blob.
    pub range: Option<(u64, u64)>,
    /// `Content-Length`
    pub length: Option<u64>,
}

impl Chunk {
    /// How many bytes are to come, if anything says so.
    pub(super) fn announced(self) -> Result<Option<u64>, PushError> {
        let Some((first, last)) = self.range else {
            return Ok(self.length);
        };
        let ranged = last
            .checked_sub(first)
            .and_then(|length| length.checked_add(1))
            .ok_or_else(|| {
                PushError::WrongSize(format!("the range {first}-{last} ends before it begins"))
            })?;
        match self.length {
            Some(length) if length != ranged => Err(PushError::WrongSize(format!(
                "the range {first}-{last} has {ranged} bytes, and the body has {length}"
            ))),
            _ => Ok(Some(ranged)),
        }
    }
}
