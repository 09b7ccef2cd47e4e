//! `entrepot serve`

use std::io::{self, Write};

use anyhow::Context;
use tracing::{info, warn};

use super::{
    ConfigFile, Failure,
    client_lines::{admin_line, client_lines},
};
use crate::{
    app::{App, raise_open_files, stop_signal},
    client,
    config::Config,
    telemetry::{self, Traces},
};

pub(super) fn run(file: &ConfigFile) -> Result<(), Failure> {
    let config = file.load()?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(async {
            let traces = traces(&config)?;
            telemetry::log::init(config.log.format, &config.log.level, traces.as_ref())?;
            let served = serve(file, config).await;
            if let Some(traces) = traces {
                traces.flush().await;
            }
            served
        })
}

fn traces(config: &Config) -> Result<Option<Traces>, Failure> {
    let Some(traces) = &config.traces else {
        return Ok(None);
    };
    let started = Traces::start(&traces.endpoint, &traces.service, client::usual_tls());
    Ok(Some(started.context("traces cannot be sent")?))
}

async fn serve(file: &ConfigFile, config: Config) -> Result<(), Failure> {
    let stop = stop_signal().context("cannot wait for signals")?;
    let source = file.config.as_ref().map_or_else(
        || "no file: the built-in mirrors are served".to_owned(),
        |path| path.display().to_string(),
    );
    info!(source, "configuration read");
    if let Some(traces) = &config.traces {
        info!(endpoint = %traces.endpoint, "traces are sent");
    }
    for key in &config.without_effect {
        warn!(key, "`{key}` is set and has no effect in this version");
    }
    raise_open_files();
    let told = config.clone();
    let server = App::build(config).await?.bind().await?;
    let mut lines = client_lines(&told, server.address(), server.mirror_address());
    if let Some(password) = server.new_password() {
        lines.push_str(&admin_line(password, &told.storage.path));
    }
    // A closed stdout is no reason not to serve.
    let _ = io::stdout().write_all(lines.as_bytes());
    server.run(stop).await;
    Ok(())
}
