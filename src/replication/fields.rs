//! Members of a JSON object, read one by one so that every mistake is told at once, by its member's full name. Pure.

use std::time::Duration;

use bytesize::ByteSize;
use serde_json::{Map, Value};

/// What is wrong with one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// Such as `source.filters[0].value`.
    pub field: String,
    pub message: String,
}

/// A rate without a limit.
const UNLIMITED: &str = "-1";

/// The members of one object while they are read.
pub(super) struct Fields<'p> {
    /// Of the object itself; empty for the outermost.
    at: String,
    left: Map<String, Value>,
    problems: &'p mut Vec<FieldProblem>,
}

impl<'p> Fields<'p> {
    pub(super) fn new(members: Map<String, Value>, problems: &'p mut Vec<FieldProblem>) -> Self {
        Self {
            at: String::new(),
            left: members,
            problems,
        }
    }

    /// The object of a member, with no members when it is not there.
    pub(super) fn object(&mut self, member: &str) -> Fields<'_> {
        let at = self.full_name(member);
        let left = match self.take(member) {
            None => Map::new(),
            Some(Value::Object(members)) => members,
            Some(_) => {
                self.wrong(member, "expected an object");
                Map::new()
            }
        };
        Fields {
            at,
            left,
            problems: self.problems,
        }
    }

    /// The objects of a member that is a list of these.
    pub(super) fn each(&mut self, member: &str, mut read: impl FnMut(Fields<'_>)) {
        let items = match self.take(member) {
            None => return,
            Some(Value::Array(items)) => items,
            Some(_) => return self.wrong(member, "expected a list of objects"),
        };
        let name = self.full_name(member);
        for (index, item) in items.into_iter().enumerate() {
            let at = format!("{name}[{index}]");
            match item {
                Value::Object(left) => read(Fields {
                    at,
                    left,
                    problems: self.problems,
                }),
                _ => self.problems.push(FieldProblem {
                    field: at,
                    message: "expected an object".to_owned(),
                }),
            }
        }
    }

    /// A member; `None` if it is not there, or null.
    pub(super) fn take(&mut self, member: &str) -> Option<Value> {
        self.left.remove(member).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, member: &str) -> Option<String> {
        match self.take(member)? {
            Value::String(text) => Some(text),
            _ => self.none(member, "expected a text"),
        }
    }

    pub(super) fn boolean(&mut self, member: &str, default: bool) -> bool {
        match self.take(member) {
            None => default,
            Some(Value::Bool(boolean)) => boolean,
            Some(_) => self
                .none(member, "expected true or false")
                .unwrap_or(default),
        }
    }

    /// A text, or a list of texts.
    pub(super) fn texts(&mut self, member: &str) -> Option<Vec<String>> {
        let texts = match self.take(member)? {
            Value::String(text) => Some(vec![text]),
            Value::Array(items) => {
                let text = |item: Value| match item {
                    Value::String(text) => Some(text),
                    _ => None,
                };
                items.into_iter().map(text).collect()
            }
            _ => None,
        };
        texts.or_else(|| self.none(member, "expected a list of texts"))
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, member: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(member)?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.none(member, format!("expected {}", words.join(", ")))
        })
    }

    /// A whole number of at least 1; also as a text, as forms send it.
    pub(super) fn count(&mut self, member: &str) -> Option<u32> {
        let number = match self.take(member)? {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let number = number.and_then(|number| u32::try_from(number).ok());
        number
            .filter(|number| *number > 0)
            .or_else(|| self.none(member, "expected a whole number from 1"))
    }

    /// A duration such as `7d`.
    pub(super) fn duration(&mut self, member: &str) -> Option<Duration> {
        let text = self.text(member)?;
        humantime::parse_duration(&text).ok().or_else(|| {
            self.none(
                member,
                "expected a duration such as \"30s\", \"15m\" or \"7d\"",
            )
        })
    }

    /// Bytes per second, as a number or as in `20MiB/s`; `None`: no limit, which is also `-1`.
    pub(super) fn rate(&mut self, member: &str) -> Option<u64> {
        let read = match self.take(member)? {
            Value::Number(number) if number.as_i64() == Some(-1) => Some(None),
            Value::Number(number) => number.as_u64().filter(|rate| *rate > 0).map(Some),
            Value::String(text) if text == UNLIMITED => Some(None),
            Value::String(text) => {
                let size = text.strip_suffix("/s").unwrap_or(&text).trim_end();
                let size = size.parse::<ByteSize>().ok();
                size.map(|size| size.as_u64())
                    .filter(|rate| *rate > 0)
                    .map(Some)
            }
            _ => None,
        };
        if read.is_none() {
            let message = "expected bytes per second such as \"20MiB/s\", or -1 for no limit";
            self.wrong(member, message);
        }
        read.flatten()
    }

    /// A member that must be there.
    pub(super) fn needed<T>(&mut self, member: &str, read: Option<T>) -> Option<T> {
        let name = self.full_name(member);
        if read.is_none() && self.problems.iter().all(|problem| problem.field != name) {
            self.wrong(member, "missing");
        }
        read
    }

    pub(super) fn wrong(&mut self, member: &str, message: impl Into<String>) {
        let (field, message) = (self.full_name(member), message.into());
        self.problems.push(FieldProblem { field, message });
    }

    /// As `wrong`, for a reader that then has nothing.
    pub(super) fn none<T>(&mut self, member: &str, message: impl Into<String>) -> Option<T> {
        self.wrong(member, message);
        None
    }

    /// Refuses the members that nobody has asked for.
    pub(super) fn finish(mut self) {
        for member in std::mem::take(&mut self.left).keys() {
            self.wrong(member, "there is no such member here");
        }
    }

    fn full_name(&self, member: &str) -> String {
        if self.at.is_empty() {
            member.to_owned()
        } else {
            format!("{}.{member}", self.at)
        }
    }
}

/// Bytes per second, as [`Fields::rate`] reads it.
pub(super) fn rate_text(rate: Option<u64>) -> String {
    rate.map_or_else(|| UNLIMITED.to_owned(), |rate| format!("{rate}B/s"))
}
