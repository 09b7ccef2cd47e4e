//! Query parameters, read one by one so that every mistake is told at once, by its parameter's name.

use std::{fmt::Display, str::FromStr};

use http::Uri;

use super::problem::{FieldError, Problem};

/// The parameters of one request while they are read.
pub(super) struct Fields {
    /// Not taken yet.
    left: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Fields {
    pub(super) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self {
            left: url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            errors: Vec::new(),
        }
    }

    /// A parameter that may be absent. `None` also when it is wrong, which `finish` tells.
    pub(super) fn optional<T>(&mut self, field: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        self.optional_by(field, |text| {
            text.parse().map_err(|error: T::Err| error.to_string())
        })
    }

    /// As `optional`, with a reader of its own.
    pub(super) fn optional_by<T>(
        &mut self,
        field: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (given, left): (Vec<_>, _) = std::mem::take(&mut self.left)
            .into_iter()
            .partition(|(name, _)| name == field);
        self.left = left;
        let read = match given.as_slice() {
            [] => return None,
            [(_, value)] => read(value),
            _ => Err("given more than once".to_owned()),
        };
        read.map_err(|message| self.wrong(field, message)).ok()
    }

    /// A parameter that must be there. `None` when it is absent or wrong, which `finish` tells.
    pub(super) fn required<T>(&mut self, field: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        if self.left.iter().any(|(name, _)| name == field) {
            self.optional(field)
        } else {
            self.wrong(field, "missing");
            None
        }
    }

    /// The result, when every parameter was known and right.
    pub(super) fn finish<T>(mut self, read: Option<T>) -> Result<T, Problem> {
        for (field, _) in std::mem::take(&mut self.left) {
            if self.errors.iter().all(|error| error.field != field) {
                self.wrong(&field, "there is no such parameter here");
            }
        }
        match read {
            Some(read) if self.errors.is_empty() => Ok(read),
            _ => Err(Problem::bad_fields(self.errors)),
        }
    }

    fn wrong(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(FieldError {
            field: shortened(field),
            message: message.into(),
        });
    }
}

/// The start of a name that somebody else chose.
fn shortened(text: &str) -> String {
    const MAX_BYTES: usize = 64;
    text[..text.floor_char_boundary(MAX_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    fn fields(query: &str) -> Fields {
        Fields::of(&format!("/x?{query}").parse().unwrap())
    }

    fn wrong(fields: Fields) -> Vec<String> {
        fields
            .errors
            .into_iter()
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect()
    }

    #[test]
    fn parameters_are_decoded_and_parsed() {
        let mut fields = fields("name=a%2Fb&limit=7");
        let name: Option<String> = fields.required("name");
        let limit: Option<u32> = fields.optional("limit");
        let absent: Option<u32> = fields.optional("after");
        assert_eq!(
            (name.as_deref(), limit, absent),
            (Some("a/b"), Some(7), None)
        );
        assert!(fields.finish(Some(())).is_ok());
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let mut fields = fields("limit=x&after=a&after=b");
        let _: Option<String> = fields.required("name");
        let _: Option<u32> = fields.optional("limit");
        let _: Option<String> = fields.optional("after");
        assert_eq!(
            wrong(fields),
            [
                "name: missing",
                "limit: invalid digit found in string",
                "after: given more than once"
            ]
        );
    }

    #[test]
    fn a_parameter_that_nobody_asked_for_is_a_mistake() {
        let refused = fields("projekt=docker.io").finish(Some(()));
        let problem = refused
            .err()
            .map(|problem| problem.into_response().status());
        assert_eq!(problem, Some(http::StatusCode::BAD_REQUEST));
    }
}
