//! Rules: what is replicated to and from other registries, in the background. Layer 3: called by the management API and
//! by `app`, which runs it; moves content by `transfer`, keeps its rows through `meta`.
//!
//! ```text
//! rule ──► trigger ──► execution ──plan──► task for each (remote, repository) ──work──► transfer::send
//!             ▲
//! events, the clock, somebody
//! ```
//!
//! `rule`, `read`, `write`, `filter`, `naming`, `schedule`, `versions` and `collision` are pure.

mod ask;
mod backoff;
mod budgets;
mod check;
mod collision;
mod compare;
mod copy;
mod delete;
mod draft;
mod engine;
mod error;
mod events;
mod executions;
mod fields;
pub mod filter;
mod log;
mod making;
pub mod naming;
mod plan;
mod pull;
mod pulse;
mod read;
pub mod rule;
pub mod schedule;
mod seat;
mod select;
mod selection;
mod task;
mod there;
mod trouble;
mod turns;
mod versions;
mod warm;
mod work;
mod write;

pub use compare::Compared;
pub use engine::{Cause, KnownRule, Parts, Replication, Run, StopFirst};
pub use error::ReplicationError;
pub use fields::FieldProblem;
pub use naming::{Flatten, Naming, NamingError, check_depth};
pub use plan::Planner;
pub use rule::{EVERY_PROJECT, Mode, Rule, Trigger};
pub use warm::{NO_RULE, Wanted};
pub use work::{WorkParts, Worker};
