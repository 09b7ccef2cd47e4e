//! Patterns on names and tags: doublestar globs, or `/regular expression/` between slashes (unanchored).
//!
//! The globs are those of doublestar v1, which Harbor uses, so that filters can be carried over: `*` and `?` stay within
//! a component, `**` as a whole component spans any number of them, `[a-z]` and `[^a-z]` are classes, `{a,b}` are
//! alternatives, `\` takes the next character as itself. The whole text must match.

use regex::{Regex, RegexBuilder};

/// A validated pattern; shown as it was given.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    /// In the dialect of `fast_glob`.
    Glob(String),
    Expression(Regex),
}

impl Pattern {
    const MAX_LENGTH: usize = 256;
    const MAX_BRACE_GROUPS: usize = 8;
    const MAX_LITERALS: usize = 1000;
    const EXPRESSION_MAX_BYTES: usize = 1 << 20;

    /// Refuses what doublestar calls a bad pattern, and regular expressions over 1 MiB compiled.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a pattern must not be empty; `**` matches everything".to_owned());
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(format!("a pattern has at most {} bytes", Self::MAX_LENGTH));
        }
        if text.len() >= 2 && text.starts_with('/') && text.ends_with('/') {
            let matcher = Self::expression(&text[1..text.len() - 1])?;
            return Ok(Self::new(text, matcher));
        }
        let glob = Translation::of(text)?;
        fast_glob::validate(&glob).map_err(|error| format!("`{text}`: {error}"))?;
        Ok(Self::new(text, Matcher::Glob(glob)))
    }

    fn new(text: &str, matcher: Matcher) -> Self {
        Self {
            text: text.to_owned(),
            matcher,
        }
    }

    fn expression(text: &str) -> Result<Matcher, String> {
        let mut builder = RegexBuilder::new(text);
        builder
            .size_limit(Self::EXPRESSION_MAX_BYTES)
            .dfa_size_limit(Self::EXPRESSION_MAX_BYTES);
        match builder.build() {
            Ok(expression) => Ok(Matcher::Expression(expression)),
            Err(regex::Error::CompiledTooBig(_)) => Err(format!(
                "the regular expression `{text}` is too big; at most 1 MiB compiled"
            )),
            Err(error) => Err(format!("not a regular expression: {error}")),
        }
    }

    /// A pattern that matches every text.
    pub fn everything() -> Self {
        Self::new("**", Matcher::Glob("**".to_owned()))
    }

    /// Is it plain that every tag matches? (A tag has no slash; neither has the name of a project.)
    pub fn is_everything(&self) -> bool {
        matches!(&self.matcher, Matcher::Glob(glob) if glob == "**" || glob == "*")
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The only texts that match, when the pattern names them: without `*`, `?`, `[…]` and `\`, and with no more than
    /// one level of `{…}`. At most 1,000.
    pub fn literal_texts(&self) -> Option<Vec<String>> {
        if matches!(self.matcher, Matcher::Expression(_))
            || self.text.contains(['*', '?', '[', ']', '\\', '^'])
        {
            return None;
        }
        let mut texts = vec![String::new()];
        let mut rest = self.text.as_str();
        while let Some((before, group)) = rest.split_once('{') {
            let (group, after) = group.split_once('}')?;
            if group.contains('{') {
                return None;
            }
            let extended = |text: &String| {
                let text = format!("{text}{before}");
                let choices = group.split(',');
                choices
                    .map(move |choice| format!("{text}{choice}"))
                    .collect::<Vec<_>>()
            };
            texts = texts.iter().flat_map(extended).collect();
            if texts.len() > Self::MAX_LITERALS {
                return None;
            }
            rest = after;
        }
        for text in &mut texts {
            text.push_str(rest);
        }
        Some(texts)
    }

    /// Has it a `**` that is no whole component, and so does what one `*` does?
    pub fn has_partial_double_star(&self) -> bool {
        matches!(&self.matcher, Matcher::Glob(glob)
            if self.text.matches("**").count() > glob.matches("**").count())
    }

    /// Does the whole text match the glob, or any part of it the regular expression?
    pub fn matches(&self, text: &str) -> bool {
        match &self.matcher {
            Matcher::Glob(glob) => fast_glob::glob_match(glob, text),
            Matcher::Expression(expression) => expression.is_match(text),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Checks a doublestar glob and writes it in the dialect of `fast_glob`, which differs: there `!` negates (a whole glob
/// and a class), `\n` is a newline, and a class is read more freely.
struct Translation<'t> {
    text: &'t str,
    rest: std::iter::Peekable<std::str::CharIndices<'t>>,
    glob: String,
    open_braces: usize,
    brace_groups: usize,
    /// Where what is read now begins, in bytes.
    at: usize,
}

impl<'t> Translation<'t> {
    fn of(text: &'t str) -> Result<String, String> {
        let mut translation = Self {
            text,
            rest: text.char_indices().peekable(),
            glob: String::with_capacity(text.len()),
            open_braces: 0,
            brace_groups: 0,
            at: 0,
        };
        while let Some((at, character)) = translation.rest.next() {
            translation.take(at, character)?;
        }
        if translation.open_braces > 0 {
            return Err(format!("`{text}` has a `{{` without `}}`"));
        }
        Ok(translation.glob)
    }

    fn take(&mut self, at: usize, character: char) -> Result<(), String> {
        self.at = at;
        match character {
            '*' => self.stars(at),
            '\\' => self.escaped()?,
            '[' => self.class()?,
            '{' => {
                self.open_braces += 1;
                self.brace_groups += 1;
                if self.brace_groups > Pattern::MAX_BRACE_GROUPS {
                    return Err(format!(
                        "a pattern has at most {} groups in braces",
                        Pattern::MAX_BRACE_GROUPS
                    ));
                }
                self.glob.push('{');
            }
            '}' if self.open_braces > 0 => {
                self.open_braces -= 1;
                self.glob.push('}');
            }
            '?' | '/' => self.glob.push(character),
            ',' if self.open_braces > 0 => self.glob.push(','),
            other => self.literal(other),
        }
        Ok(())
    }

    /// Two or more stars mean more than one only where they are a whole component.
    fn stars(&mut self, at: usize) {
        let mut count = 1;
        while self.rest.next_if(|(_, next)| *next == '*').is_some() {
            count += 1;
        }
        let before = self.text[..at].chars().next_back();
        let after = self.rest.peek().map(|(_, next)| *next);
        let whole = count == 2
            && matches!(before, None | Some('/' | '{' | ','))
            && matches!(after, None | Some('/' | '}' | ','));
        self.glob.push_str(if whole { "**" } else { "*" });
    }

    fn escaped(&mut self) -> Result<(), String> {
        let (_, character) = self
            .rest
            .next()
            .ok_or_else(|| format!("`{}` ends with a `\\`", self.text))?;
        self.literal(character);
        Ok(())
    }

    /// A character as itself. `fast_glob` gives some escaped letters a meaning, so only signs are escaped.
    fn literal(&mut self, character: char) {
        if character.is_ascii_punctuation() {
            self.glob.push('\\');
        }
        self.glob.push(character);
    }

    /// `[` has been read. A class is a non-empty list of characters and ranges; `^` in front negates it.
    fn class(&mut self) -> Result<(), String> {
        self.glob.push('[');
        if self.rest.next_if(|(_, next)| *next == '^').is_some() {
            self.glob.push('^');
        }
        let mut members = 0;
        loop {
            match self.rest.next().map(|(_, next)| next) {
                Some(']') if members > 0 => break,
                Some(first) => self.range(first)?,
                None => return Err(self.bad_class()),
            }
            members += 1;
        }
        self.glob.push(']');
        Ok(())
    }

    fn range(&mut self, first: char) -> Result<(), String> {
        let low = self.member(first)?;
        self.class_literal(low);
        if self.rest.next_if(|(_, next)| *next == '-').is_none() {
            return Ok(());
        }
        let (_, last) = self.rest.next().ok_or_else(|| self.bad_class())?;
        let high = self.member(last)?;
        self.glob.push('-');
        self.class_literal(high);
        Ok(())
    }

    fn member(&mut self, character: char) -> Result<char, String> {
        match character {
            '-' | ']' => Err(self.bad_class()),
            '\\' => self
                .rest
                .next()
                .map(|(_, escaped)| escaped)
                .ok_or_else(|| self.bad_class()),
            other => Ok(other),
        }
    }

    fn class_literal(&mut self, character: char) {
        if character.is_ascii_punctuation() {
            self.glob.push('\\');
        }
        self.glob.push(character);
    }

    fn bad_class(&self) -> String {
        format!(
            "`{}` has a bad `[…]` at character {}: write `[abc]`, `[a-z]` or `[^a-z]`, and `\\-`, `\\]` for the signs \
             themselves",
            self.text,
            self.text[..self.at].chars().count() + 1
        )
    }
}

#[cfg(test)]
mod tests;
