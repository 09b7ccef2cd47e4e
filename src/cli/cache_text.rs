//! What `entrepot cache` says to people.

use std::{fmt::Write, time::Duration};

use super::{
    cache::Presence,
    output::{size, table, time},
};
use crate::api::{
    CacheEntry, CacheState, ContentKind, MissingContent, RateLimit, RemoteStatus, Replica,
    Scrubbed, Status,
};

pub(super) fn status(status: &Status) -> String {
    let totals = &status.totals;
    let store = &status.store;
    let budget = store.max_bytes.map_or("unlimited".to_owned(), size);
    let ready = if status.database.ready {
        "ready"
    } else {
        "not ready"
    };
    // Milliseconds say nothing here.
    let uptime = Duration::from_secs(status.uptime_ms / 1000);
    let rows = [
        ("version", status.version.clone()),
        ("up", humantime::format_duration(uptime).to_string()),
        (
            "store",
            format!(
                "{}, {}: {} of {budget}",
                store.kind,
                store.path,
                size(store.used_bytes)
            ),
        ),
        ("database", format!("{}, {ready}", status.database.kind)),
        ("replicas", replicas(&status.replicas)),
        ("fills", format!("{} running", status.fills_running)),
        (
            "requests",
            format!(
                "{} hits, {} misses, {} joined, {} stale, {} passed through, {} not found, {} errors",
                totals.hits,
                totals.misses,
                totals.joined,
                totals.stale,
                totals.bypassed,
                totals.absent,
                totals.errors,
            ),
        ),
        (
            "bytes",
            format!(
                "{} from remotes, {} to clients",
                size(totals.bytes_from_remotes),
                size(totals.bytes_to_clients)
            ),
        ),
    ];
    let mut text = table(&rows.map(|(key, value)| [key.to_owned(), value]));
    for remote in &status.remotes {
        text.push_str(&trouble(remote));
    }
    text
}

/// How many there are, and where.
fn replicas(replicas: &[Replica]) -> String {
    let urls: Vec<_> = replicas
        .iter()
        .filter_map(|replica| replica.url.as_deref())
        .collect();
    match urls[..] {
        [] => replicas.len().to_string(),
        _ => format!("{}: {}", replicas.len(), urls.join(", ")),
    }
}

/// What is not as it should be with a remote; nothing if all is well.
fn trouble(remote: &RemoteStatus) -> String {
    let mut text = String::new();
    let mut tell = |what: String| {
        writeln!(text, "remote {}: {what}", remote.name)
            .expect("writing to a String does not fail");
    };
    for url in remote.urls.iter().filter(|url| !url.healthy) {
        let message = url.message.as_deref().unwrap_or("it does not answer");
        tell(format!("{} is passed over: {message}", url.url));
    }
    if let Some(refusal) = &remote.refusal {
        tell(format!("it does not let us in: {refusal}"));
    }
    match remote.rate_limit {
        RateLimit::Plenty => {}
        RateLimit::Low => tell("its rate limit is nearly reached".to_owned()),
        RateLimit::Gone => tell("its rate limit is reached: it is not asked now".to_owned()),
    }
    text
}

pub(super) fn entries(entries: &[CacheEntry]) -> String {
    let head = ["IMAGE", "STATE", "SIZE", "LAST USED"].map(str::to_owned);
    let rows = entries.iter().map(|entry| {
        [
            format!("{}:{}", entry.name, entry.reference),
            state(entry),
            size(entry.size_bytes),
            time(entry.used_at),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    table(&rows)
}

pub(super) fn entry(entry: &CacheEntry) -> String {
    let rows = [
        ("name", entry.name.clone()),
        ("reference", entry.reference.clone()),
        ("digest", entry.digest.clone()),
        ("state", state(entry)),
        ("size", size(entry.size_bytes)),
        ("filled", time(entry.filled_at)),
        ("checked", time(entry.checked_at)),
        ("last used", time(entry.used_at)),
    ];
    let mut text = table(&rows.map(|(key, value)| [key.to_owned(), value]));
    if !entry.missing.is_empty() {
        text.push_str("missing\n");
        text.push_str(&missing(&entry.missing));
    }
    text
}

pub(super) fn presence(presence: &Presence) -> String {
    let image = &presence.image;
    match &presence.entry {
        None => format!("{image}: nothing of it is here\n"),
        Some(entry) if entry.complete => format!("{image}: complete\n"),
        Some(entry) => format!("{image}: incomplete\n{}", missing(&entry.missing)),
    }
}

pub(super) fn scrubbed(scrubbed: &Scrubbed) -> String {
    let mut text = format!(
        "{} blobs, {} read; {} damaged\n",
        scrubbed.blobs,
        size(scrubbed.bytes),
        scrubbed.damaged.len()
    );
    for digest in &scrubbed.damaged {
        writeln!(text, "  {digest}").expect("writing to a String does not fail");
    }
    text
}

fn state(entry: &CacheEntry) -> String {
    let state = match entry.state {
        CacheState::Fresh => "fresh",
        CacheState::Stale => "stale",
        CacheState::Seeded => "seeded",
    };
    let complete = if entry.complete { "" } else { ", incomplete" };
    let pinned = if entry.pinned { ", pinned" } else { "" };
    format!("{state}{complete}{pinned}")
}

fn missing(missing: &[MissingContent]) -> String {
    let rows: Vec<_> = missing
        .iter()
        .map(|content| {
            let kind = match content.kind {
                ContentKind::Manifest => "  manifest",
                ContentKind::Blob => "  blob",
            };
            [
                kind.to_owned(),
                content.digest.clone(),
                content.size_bytes.map_or_else(String::new, size),
                content.platform.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_shown_with_what_is_missing() {
        let shown = entry(&CacheEntry {
            name: "docker.io/library/nginx".to_owned(),
            reference: "1.27".to_owned(),
            digest: "sha256:aa".to_owned(),
            complete: false,
            missing: vec![MissingContent {
                digest: "sha256:bb".to_owned(),
                kind: ContentKind::Blob,
                platform: Some("linux/arm64".to_owned()),
                size_bytes: Some(3 << 20),
            }],
            state: CacheState::Stale,
            pinned: true,
            filled_at: Some(std::time::UNIX_EPOCH.into()),
            checked_at: None,
            used_at: None,
            size_bytes: 1536,
        });
        insta::assert_snapshot!(shown, @r"
        name       docker.io/library/nginx
        reference  1.27
        digest     sha256:aa
        state      stale, incomplete, pinned
        size       1.5 KiB
        filled     1970-01-01T00:00:00.000Z
        checked    never
        last used  never
        missing
          blob  sha256:bb  3.0 MiB  linux/arm64
        ");
    }
}
