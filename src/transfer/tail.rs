//! Readers of a growing fill.

use std::ops::Range;

/// A running (or just finished) fill that can be read from any byte; cheap to clone.
#[derive(Clone)]
pub struct Tail {
    _private: (),
}

impl Tail {
    /// Size of the whole blob in bytes, if anybody said it.
    pub fn len(&self) -> Option<u64> {
        todo!()
    }
    /// A body of these bytes; without an end, up to the end of the fill.
    pub fn body(&self, _range: Range<u64>) -> TailBody {
        todo!()
    }
}

pub struct TailBody {
    _private: (),
}
