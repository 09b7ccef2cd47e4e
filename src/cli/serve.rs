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
    config::{self, Config},
    telemetry,
};

pub(super) fn run(file: &ConfigFile) -> Result<(), Failure> {
    let config = file.load()?;
    let format = match config.log.format {
        config::LogFormat::Text => telemetry::LogFormat::Text,
        config::LogFormat::Json => telemetry::LogFormat::Json,
    };
    telemetry::log::init(format, &config.log.level)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(serve(file, config))
}

async fn serve(file: &ConfigFile, config: Config) -> Result<(), Failure> {
    let stop = stop_signal().context("cannot wait for signals")?;
    let source = file.config.as_ref().map_or_else(
        || "no file: the built-in mirrors are served".to_owned(),
        |path| path.display().to_string(),
    );
    info!(source, "configuration read");
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
