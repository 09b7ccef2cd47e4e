//! The harness tested by itself: a fake that is wrong would make wrong code look right.

mod auth;
mod faults;
mod gates;
mod images;
mod options;
mod wire;
