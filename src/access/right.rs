//! What somebody may do in a repository.

use std::{fmt, str::FromStr};

/// One kind of doing; the words are those of the configuration and of the management API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    Pull,
    Push,
    Delete,
    /// Push into a mirror project.
    Seed,
    /// Everything, and to change the project and who may what in it.
    Admin,
}

/// A set of [`Right`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights(u8);

/// Not the name of a right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no right; there are pull, push, delete, seed and admin")]
pub struct UnknownRight(pub String);

impl Right {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 5] = [
        Self::Pull,
        Self::Push,
        Self::Delete,
        Self::Seed,
        Self::Admin,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Seed => "seed",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Rights {
    /// Does the set hold this right? `admin` holds all of them.
    pub const fn allow(self, right: Right) -> bool {
        self.0 & (right.bit() | Right::Admin.bit()) != 0
    }

    /// No right at all.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The rights that were given, one by one.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL
            .into_iter()
            .filter(move |right| self.0 & right.bit() != 0)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Right {
    type Err = UnknownRight;

    fn from_str(text: &str) -> Result<Self, UnknownRight> {
        let mut all = Self::ALL.into_iter();
        all.find(|right| right.as_str() == text)
            .ok_or_else(|| UnknownRight(text.to_owned()))
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |set, right| set | right.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_holds_every_right_and_is_told_as_one() {
        let admin = Rights::from_iter([Right::Admin]);
        assert!(Right::ALL.into_iter().all(|right| admin.allow(right)));
        assert_eq!(admin.iter().collect::<Vec<_>>(), [Right::Admin]);
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let some = Rights::from_iter([Right::Push, Right::Pull]);
        assert!(some.allow(Right::Pull) && some.allow(Right::Push));
        assert!(
            !some.allow(Right::Delete) && !some.allow(Right::Seed) && !some.allow(Right::Admin)
        );
        assert!(Rights::default().is_empty());
    }

    #[test]
    fn rights_are_read_by_their_words() {
        for right in Right::ALL {
            assert_eq!(right.as_str().parse(), Ok(right));
        }
        assert!("Pull".parse::<Right>().is_err());
    }
}
