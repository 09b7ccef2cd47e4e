//! Finding and reading the file and the environment.

use std::{collections::BTreeMap, path::Path};

use super::{
    Access, Cluster, Config, ConfigError, Database, Declared, Log, Replication, Secrets, Server,
    Storage, Traces, Upkeep, Visibility, Webhook,
    declared::{self, Rows},
    section::{Context, Section},
    tree::{self, Table},
    value::boolean,
};

/// Reads `file` (or only the defaults) and then `ENTREPOT__SECTION__KEY` variables from `environment`.
///
/// A variable beats the file. `environment` is also where secrets given as `{env = "NAME"}` are looked up. Files that the
/// configuration names are opened, nothing is written.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let environment: BTreeMap<String, String> = environment.into_iter().collect();
    let mut table = file.map_or_else(|| Ok(Table::new()), read_file)?;
    tree::overlay(&mut table, &environment)?;
    let context = Context {
        file: file.map(Path::to_owned),
        folder: file
            .and_then(Path::parent)
            .map(Path::to_owned)
            .unwrap_or_default(),
        environment,
    };
    let (mut config, default_visibility) = read(Section::root(&context, &table), &context)?;
    config.declared = Declared::new(table, context, default_visibility);
    Ok(config)
}

fn read_file(file: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError {
        file: Some(file.to_owned()),
        line: None,
        key: String::new(),
        problem: format!("cannot read the configuration: {error}"),
        hint: None,
    })?;
    tree::parse(file, &text)
}

fn read(mut root: Section<'_>, context: &Context) -> Result<(Config, Visibility), ConfigError> {
    let server = Server::read(root.table("server")?)?;
    let storage = Storage::read(root.table("storage")?)?;
    let database = Database::read(root.table("database")?, &storage)?;
    let secrets = Secrets::read(root.table("secrets")?, &database)?;
    let (access, default_visibility) = Access::read(root.table("access")?)?;
    let cluster = Cluster::read(root.table("cluster")?, &storage, &database, &access)?;
    let registries = declared::read(&mut root, default_visibility, &Rows::default())?;
    let offline = read_mirror(root.table("mirror")?)?;
    let replication = Replication::read(root.table("replication")?)?;
    let webhooks = Webhook::read_all(&mut root)?;
    let upkeep = Upkeep::read(root.table("upkeep")?)?;
    let log = Log::read(root.table("log")?)?;
    root.finish()?;
    let mut without_effect = Vec::new();
    let traces = Traces::read(&context.environment, &mut without_effect)?;
    let config = Config {
        server,
        storage,
        database,
        cluster,
        secrets,
        remotes: registries.remotes,
        projects: registries.projects,
        declared: Declared::default(),
        offline,
        access,
        replication,
        webhooks,
        upkeep,
        log,
        traces,
        without_effect,
    };
    Ok((config, default_visibility))
}

fn read_mirror(mut section: Section<'_>) -> Result<bool, ConfigError> {
    let offline = section.take("offline", boolean)?.unwrap_or(false);
    section.finish()?;
    Ok(offline)
}

#[cfg(test)]
mod tests;
