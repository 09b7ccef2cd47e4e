//! How an answer came about, for `X-Cache`, logs and metrics.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// From here; also after a HEAD said unchanged.
    Hit,
    Miss,
    /// From a running fill that somebody else started.
    Joined,
    /// From here although the remote could not be asked.
    Stale,
    /// Passed through, not kept.
    Bypass,
}

impl Outcome {
    /// Of content that was here, when this is the outcome of asking what its tag points to.
    pub(super) fn served_from_here(self) -> Self {
        if self == Self::Stale {
            Self::Stale
        } else {
            Self::Hit
        }
    }

    /// As in `X-Cache`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Joined => "joined",
            Self::Stale => "stale",
            Self::Bypass => "bypass",
        }
    }
}
