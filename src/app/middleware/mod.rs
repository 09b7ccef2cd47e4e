//! The layers around all routes, one file each; `router` has their order.

pub(super) mod access_log;
pub(super) mod catch_panic;
pub(super) mod client_address;
pub(super) mod limit;
pub(super) mod request_id;
pub(super) mod source;

mod rate;
mod recorded_body;
mod turns;
