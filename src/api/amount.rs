//! Values that a body may say as a number or as a text.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Bytes as a number, or a text such as `20GiB`
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Size {
    Bytes(u64),
    Text(String),
}

/// Bytes per second as a number, or a text such as `20MiB/s`; `-1`: no limit
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Rate {
    BytesPerSecond(i64),
    Text(String),
}

/// A whole number from 1, also as a text
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Count {
    Number(u32),
    Text(String),
}
