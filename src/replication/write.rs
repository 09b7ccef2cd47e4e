//! A rule as the API's object, with everything that was left out. Pure; the opposite of `read.rs`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    fields::rate_text,
    filter::{Decoration, Filter},
    naming::Flatten,
    rule::{Rule, Trigger},
};

const DAY_SECONDS: u64 = 24 * 60 * 60;

impl Rule {
    /// The members of the API's object; read again they are the same rule.
    pub fn members(&self) -> Map<String, Value> {
        let filters: Vec<_> = self.filters.0.iter().map(filter).collect();
        let flatten = match self.naming.flatten {
            Flatten::All => -1,
            Flatten::Leading(count) => i64::from(count),
        };
        let project = self
            .naming
            .project
            .as_ref()
            .map_or("", |name| name.as_str());
        let object = json!({
            "name": self.name,
            "description": self.description,
            "enabled": self.enabled,
            "mode": self.mode.as_str(),
            "remotes": self.remotes,
            "source": {"project": self.project, "filters": filters},
            "destination": {"project": project, "flatten": flatten},
            "trigger": trigger(&self.trigger),
            "override": self.overwrite,
            "propagate_delete": self.propagate_delete,
            "referrers": self.referrers,
            "bandwidth": rate_text(self.bandwidth),
            "transfer_bandwidth": rate_text(self.transfer_bandwidth),
            "retry_for": duration_text(self.retry_for),
            "fill": self.fill.as_str(),
            "platform_mode": self.platform_mode.as_str(),
            "concurrency": self.concurrency,
            "delete_grace": duration_text(self.delete_grace),
            "delete_cap": self.delete_cap,
        });
        match object {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }
}

fn filter(filter: &Filter) -> Value {
    let (kind, value, decoration) = match filter {
        Filter::Name(pattern, decoration) => ("name", json!(pattern.as_str()), Some(decoration)),
        Filter::Tag(pattern, decoration) => ("tag", json!(pattern.as_str()), Some(decoration)),
        Filter::Label(labels, decoration) => ("label", json!(labels), Some(decoration)),
        Filter::Resource(resources, decoration) => {
            let words: Vec<_> = resources.iter().map(|one| one.as_str()).collect();
            ("resource", json!(words), Some(decoration))
        }
        Filter::Semver(range, decoration) => ("semver", json!(range.to_string()), Some(decoration)),
        Filter::Newest(count) => ("newest", json!(count), None),
        Filter::MaxAge(age) => ("max_age", json!(duration_text(*age)), None),
        Filter::Platform(platforms, decoration) => {
            let texts: Vec<_> = platforms.iter().map(ToString::to_string).collect();
            ("platform", json!(texts), Some(decoration))
        }
    };
    let decoration = match decoration {
        Some(Decoration::Excludes) => "excludes",
        Some(Decoration::Matches) | None => "matches",
    };
    json!({"type": kind, "value": value, "decoration": decoration})
}

fn trigger(trigger: &Trigger) -> Value {
    match trigger {
        Trigger::Cron(schedule) => json!({
            "type": trigger.as_str(),
            "cron": schedule.to_string(),
            "timezone": schedule.zone_name(),
        }),
        Trigger::Manual | Trigger::Event => json!({"type": trigger.as_str()}),
    }
}

/// Whole days as `7d`, everything else as the configuration says it.
fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() == 0 && seconds > 0 && seconds.is_multiple_of(DAY_SECONDS) {
        format!("{}d", seconds / DAY_SECONDS)
    } else {
        humantime::format_duration(duration).to_string()
    }
}
