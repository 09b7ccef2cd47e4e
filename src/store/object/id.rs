//! The name of an object.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// Made by who writes the object, and used for that one object only. Newer ids sort later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(Uuid);

impl ObjectId {
    /// An id that nobody else has.
    #[expect(
        clippy::new_without_default,
        reason = "each one is another: none is the default"
    )]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl From<Uuid> for ObjectId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl From<ObjectId> for Uuid {
    fn from(id: ObjectId) -> Self {
        id.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.hyphenated())
    }
}

/// Not the name of an object.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not the id of an object")]
pub struct ObjectIdError(String);

impl FromStr for ObjectId {
    type Err = ObjectIdError;

    /// Takes the one form that `Display` gives.
    fn from_str(text: &str) -> Result<Self, ObjectIdError> {
        let id = text.parse().map(Self).ok();
        id.filter(|id| id.to_string() == text)
            .ok_or_else(|| ObjectIdError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_in_its_one_form() {
        let id = ObjectId::new();
        assert_eq!(id.to_string().parse::<ObjectId>().unwrap(), id);
        let upper = id.to_string().to_ascii_uppercase();
        for text in ["", "x", &id.0.simple().to_string(), &upper] {
            assert!(text.parse::<ObjectId>().is_err(), "{text}");
        }
    }
}
