//! How results are shown: as text for people, or as the JSON of the API for programs.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use bytesize::ByteSize;
use clap::ValueEnum;
use serde_json::Value;

use crate::api::Timestamp;

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    /// The objects of the API
    Json,
}

/// Writes to stdout. Nobody is left to hear of it when that is closed.
pub(super) fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

pub(super) fn print_json(value: &Value) {
    print(&format!("{value:#}\n"));
}

/// Lines whose cells are aligned by columns, the first line being the head.
pub(super) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            write!(line, "{cell:width$}  ").expect("writing to a String does not fail");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `1.5 GiB`
pub(super) fn size(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

/// A moment, or `never`.
pub(super) fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_table_stand_below_each_other() {
        let rows = [["NAME", "SIZE"], ["docker.io/é", "1 KiB"], ["a", ""]];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "NAME         SIZE\ndocker.io/é  1 KiB\na\n");
    }
}
