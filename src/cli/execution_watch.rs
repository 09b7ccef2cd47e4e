//! The progress of an execution: on a terminal one line on stderr that is written anew; elsewhere a line for each new state.

use std::{
    io::{self, IsTerminal, Write as _},
    process::ExitCode,
    time::Duration,
};

use uuid::Uuid;

use super::{
    Failure, execution,
    output::{Format, print},
    session::Session,
    transfer_lines::{CLEAR_LINE, status},
};
use crate::api::Execution;

const EVERY: Duration = Duration::from_millis(500);

/// Shows how far an execution is until it has ended, or its plan is made, and then all there is to say of it.
pub(super) async fn watch(session: &Session, id: Uuid) -> Result<ExitCode, Failure> {
    let on_terminal = io::stderr().is_terminal();
    let mut told = String::new();
    let body = loop {
        let body = session.get(&format!("/executions/{id}")).await?;
        let execution: Execution = session.server.read(&body)?;
        if matches!(
            execution.status.as_str(),
            "Succeeded" | "Failed" | "Stopped" | "Planned"
        ) {
            break body;
        }
        if on_terminal {
            // Nobody is left to see it when stderr is closed.
            let _ = write!(io::stderr(), "{CLEAR_LINE}{}", line(&execution));
        } else if session.output == Format::Text && execution.status != told {
            print(&format!("{}\n", line(&execution)));
            told.clone_from(&execution.status);
        }
        tokio::time::sleep(EVERY).await;
    };
    if on_terminal {
        let _ = write!(io::stderr(), "{CLEAR_LINE}");
    }
    session.show(&body, execution::shown)?;
    let ended: Execution = session.server.read(&body)?;
    Ok(match ended.status.as_str() {
        "Failed" | "Stopped" => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

fn line(execution: &Execution) -> String {
    let counts = &execution.tasks;
    let done = counts.succeeded + counts.failed + counts.stopped;
    let handled = execution.bytes_sent + execution.bytes_skipped;
    let left = execution.bytes_total.saturating_sub(handled);
    let progress = status(
        (done, counts.total),
        (execution.bytes_sent, left),
        Duration::from_millis(execution.duration_ms),
    );
    format!("{} · {progress}", execution.status)
}
