//! A rule from the API's object, with its defaults. Pure.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Map, Value};

use super::{
    fields::{FieldProblem, Fields},
    filter::{Decoration, Filter, Filters, Resource},
    naming::{Flatten, Naming},
    rule::{EVERY_PROJECT, Fill, Mode, PlatformMode, Rule, Trigger},
    schedule::Schedule,
};
use crate::{
    config::Pattern,
    oci::{Name, PlatformPattern},
};

const MAX_NAME: usize = 255;
const MAX_REMOTES: usize = 1000;
const MAX_FILTERS: usize = 100;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const DECORATIONS: [(&str, Decoration); 2] = [
    ("matches", Decoration::Matches),
    ("excludes", Decoration::Excludes),
];

/// What a trigger is said to be.
#[derive(Clone, Copy)]
enum Kind {
    Manual,
    Cron,
    Event,
}

const TRIGGERS: [(&str, Kind); 3] = [
    ("manual", Kind::Manual),
    ("cron", Kind::Cron),
    ("event", Kind::Event),
];

pub(super) fn rule(members: Map<String, Value>) -> Result<Rule, Vec<FieldProblem>> {
    let mut problems = Vec::new();
    let rule = read(Fields::new(members, &mut problems));
    match rule {
        Some(rule) if problems.is_empty() => Ok(rule),
        _ => Err(problems),
    }
}

/// `None` only when something is wrong.
fn read(mut fields: Fields<'_>) -> Option<Rule> {
    let name = name(&mut fields);
    let mode = fields.choice("mode", &Mode::WORDS).unwrap_or(Mode::Push);
    let remotes = remotes(&mut fields, mode);
    let (project, filters) = source(fields.object("source"));
    let naming = naming(fields.object("destination"));
    let trigger = trigger(fields.object("trigger"), mode);
    if project.as_deref() == Some(EVERY_PROJECT) && naming.project.is_some() {
        let message = "expected none, because the rule is for every project";
        fields.wrong("destination.project", message);
    }
    let rule = Rule {
        name: name.unwrap_or_default(),
        description: fields.text("description").unwrap_or_default(),
        enabled: fields.boolean("enabled", true),
        mode,
        remotes: remotes.unwrap_or_default(),
        project: project.unwrap_or_default(),
        filters,
        naming,
        trigger: trigger?,
        overwrite: fields.boolean("override", false),
        propagate_delete: fields.boolean("propagate_delete", false),
        referrers: fields.boolean("referrers", true),
        bandwidth: fields.rate("bandwidth"),
        transfer_bandwidth: fields.rate("transfer_bandwidth"),
        retry_for: fields.duration("retry_for").unwrap_or(7 * DAY),
        fill: fields.choice("fill", &Fill::WORDS).unwrap_or(Fill::Present),
        platform_mode: fields
            .choice("platform_mode", &PlatformMode::WORDS)
            .unwrap_or(PlatformMode::KeepIndex),
        concurrency: fields.count("concurrency"),
        delete_grace: fields.duration("delete_grace").unwrap_or_default(),
        delete_cap: fields.count("delete_cap"),
    };
    fields.finish();
    Some(rule)
}

fn name(fields: &mut Fields<'_>) -> Option<String> {
    let name = fields.text("name");
    let name = fields.needed("name", name)?;
    let begins = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let goes_on = |byte: u8| begins(byte) || b"._-".contains(&byte);
    let fits = name.bytes().next().is_some_and(begins)
        && name.bytes().all(goes_on)
        && name.len() <= MAX_NAME;
    if fits {
        return Some(name);
    }
    fields.none(
        "name",
        "expected at most 255 lower-case letters, digits, `.`, `_` and `-`, a letter or digit first",
    )
}

fn remotes(fields: &mut Fields<'_>, mode: Mode) -> Option<Vec<String>> {
    let remotes = fields.texts("remotes");
    let remotes = fields.needed("remotes", remotes)?;
    let distinct: BTreeSet<_> = remotes.iter().collect();
    if distinct.len() < remotes.len() {
        return fields.none("remotes", "expected each remote once");
    }
    match (mode, remotes.len()) {
        (Mode::Pull, 1) | (Mode::Push, 1..=MAX_REMOTES) => Some(remotes),
        (Mode::Pull, _) => fields.none("remotes", "expected exactly one remote to pull from"),
        (Mode::Push, _) => fields.none(
            "remotes",
            format!("expected one remote at least, and at most {MAX_REMOTES}"),
        ),
    }
}

fn source(mut fields: Fields<'_>) -> (Option<String>, Filters) {
    let project = fields.text("project");
    let project = fields.needed("project", project).and_then(|project| {
        if project == EVERY_PROJECT || project.parse::<Name>().is_ok() {
            return Some(project);
        }
        fields.none(
            "project",
            "expected the name of a project, or `**` for every one",
        )
    });
    let mut filters = Vec::new();
    let mut count = 0;
    fields.each("filters", |mut one| {
        count += 1;
        filters.extend(filter(&mut one));
        one.finish();
    });
    if count > MAX_FILTERS {
        fields.wrong("filters", format!("expected at most {MAX_FILTERS} filters"));
    }
    fields.finish();
    (project, Filters(filters))
}

/// What one filter is said to be.
#[derive(Clone, Copy)]
enum FilterKind {
    Name,
    Tag,
    Label,
    Resource,
    Semver,
    Newest,
    MaxAge,
    Platform,
}

const FILTERS: [(&str, FilterKind); 8] = [
    ("name", FilterKind::Name),
    ("tag", FilterKind::Tag),
    ("label", FilterKind::Label),
    ("resource", FilterKind::Resource),
    ("semver", FilterKind::Semver),
    ("newest", FilterKind::Newest),
    ("max_age", FilterKind::MaxAge),
    ("platform", FilterKind::Platform),
];

/// `None`: it is wrong, or it takes everything.
fn filter(fields: &mut Fields<'_>) -> Option<Filter> {
    let kind = fields.choice("type", &FILTERS);
    let kind = fields.needed("type", kind);
    let decoration = fields.choice("decoration", &DECORATIONS);
    if matches!(kind, Some(FilterKind::Newest | FilterKind::MaxAge))
        && decoration == Some(Decoration::Excludes)
    {
        fields.wrong("decoration", "a filter of this type can only match");
    }
    let value = fields.take("value");
    let takes_everything = match &value {
        None => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    };
    let (kind, value) = (kind?, value?);
    if takes_everything {
        return None;
    }
    let decoration = decoration.unwrap_or(Decoration::Matches);
    match of_value(kind, value, decoration) {
        Ok(filter) => filter,
        Err(message) => fields.none("value", message),
    }
}

fn of_value(
    kind: FilterKind,
    value: Value,
    decoration: Decoration,
) -> Result<Option<Filter>, String> {
    Ok(Some(match kind {
        FilterKind::Name => Filter::Name(Pattern::parse(&text(value)?)?, decoration),
        FilterKind::Tag => Filter::Tag(Pattern::parse(&text(value)?)?, decoration),
        FilterKind::Label => Filter::Label(texts(value)?.into_iter().collect(), decoration),
        FilterKind::Resource => {
            let words = texts(value)?;
            if words == ["all"] {
                return Ok(None);
            }
            let resources = words.iter().map(|word| resource(word));
            Filter::Resource(resources.collect::<Result<_, _>>()?, decoration)
        }
        FilterKind::Semver => {
            let range = semver::VersionReq::parse(&text(value)?);
            let range = range
                .map_err(|error| format!("expected versions such as \">=1.2, <2\": {error}"))?;
            Filter::Semver(range, decoration)
        }
        FilterKind::Newest => Filter::Newest(count(&value)?),
        FilterKind::MaxAge => {
            let age = humantime::parse_duration(&text(value)?);
            Filter::MaxAge(age.map_err(|_| "expected a duration such as \"30d\"".to_owned())?)
        }
        FilterKind::Platform => {
            let platforms = texts(value)?;
            let platforms = platforms.iter().map(|text| {
                let platform = text.parse::<PlatformPattern>();
                platform.map_err(|error| error.to_string())
            });
            Filter::Platform(platforms.collect::<Result<_, _>>()?, decoration)
        }
    }))
}

fn resource(word: &str) -> Result<Resource, String> {
    let found = Resource::WORDS.iter().find(|(known, _)| *known == word);
    found.map(|(_, resource)| *resource).ok_or_else(|| {
        format!(
            "`{word}` is none; expected `image`, `chart`, `artifact`, several of these, or `all`"
        )
    })
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err("expected a text".to_owned()),
    }
}

fn texts(value: Value) -> Result<Vec<String>, String> {
    match value {
        Value::String(text) => Ok(vec![text]),
        Value::Array(items) => items.into_iter().map(text).collect(),
        _ => Err("expected a text or a list of texts".to_owned()),
    }
}

fn count(value: &Value) -> Result<u32, String> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| "expected a whole number from 1".to_owned())
}

fn naming(mut fields: Fields<'_>) -> Naming {
    let project = fields.text("project").filter(|project| !project.is_empty());
    let project = project.and_then(|project| {
        let name = project.parse();
        name.map_err(|error: crate::oci::name::NameError| {
            fields.wrong("project", format!("{error}; expected one such as `team`"));
        })
        .ok()
    });
    let flatten = match fields.take("flatten") {
        None => Flatten::Leading(1),
        Some(value) => match value.as_i64() {
            Some(-1) => Flatten::All,
            Some(count) if (0..=255).contains(&count) => {
                Flatten::Leading(u32::try_from(count).expect("at most 255"))
            }
            _ => {
                let message = "expected how many components are dropped: 0 to 255, or -1 for all but the last";
                fields.wrong("flatten", message);
                Flatten::All
            }
        },
    };
    fields.finish();
    Naming { project, flatten }
}

fn trigger(mut fields: Fields<'_>, mode: Mode) -> Option<Trigger> {
    let default = match mode {
        Mode::Push => Kind::Event,
        Mode::Pull => Kind::Manual,
    };
    let kind = fields.choice("type", &TRIGGERS).unwrap_or(default);
    let trigger = match kind {
        Kind::Manual => Some(Trigger::Manual),
        Kind::Event if mode == Mode::Pull => fields.none(
            "type",
            "expected `manual` or `cron`, because nobody tells of changes elsewhere",
        ),
        Kind::Event => Some(Trigger::Event),
        Kind::Cron => schedule(&mut fields).map(Trigger::Cron),
    };
    if !matches!(kind, Kind::Cron) {
        // What a form left there means nothing.
        fields.take("cron");
        fields.take("timezone");
    }
    fields.finish();
    trigger
}

fn schedule(fields: &mut Fields<'_>) -> Option<Schedule> {
    let cron = fields.text("cron");
    let cron = fields.needed("cron", cron);
    let timezone = fields.text("timezone").filter(|zone| !zone.is_empty());
    let zone = match Schedule::zone(timezone.as_deref()) {
        Ok(zone) => zone,
        Err(message) => return fields.none("timezone", message),
    };
    match Schedule::parse(&cron?, zone) {
        Ok(schedule) => Some(schedule),
        Err(message) => fields.none("cron", message),
    }
}
