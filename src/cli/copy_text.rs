//! What `entrepot copy` says of what it copied.

use serde_json::{Value, json};

use super::{copy::Copied, output::size};
use crate::transfer::send::{Counted, Outcome, Sent};

/// One line on one reference.
pub(super) fn line(copied: &Copied) -> String {
    let Copied {
        from,
        to,
        sent,
        progress,
    } = copied;
    let sent = match sent {
        Ok(sent) => sent,
        Err(error) => return format!("failed     {from} → {to}: {error}"),
    };
    let counted = progress.read();
    let digest = &sent.digest;
    match &sent.outcome {
        Outcome::Sent => format!(
            "copied     {from} → {to} {digest} ({})",
            counts(&counted, sent)
        ),
        Outcome::Unchanged if sent.referrers > 0 => {
            format!(
                "unchanged  {to} {digest}; {} referrers copied",
                sent.referrers
            )
        }
        Outcome::Unchanged => format!("unchanged  {to} {digest}"),
        Outcome::Kept { there, .. } => format!("kept       {to} is {there} and stays so"),
        Outcome::NoPlatform => format!("skipped    {from} has nothing for the platform"),
    }
}

fn counts(counted: &Counted, sent: &Sent) -> String {
    let mut parts = vec![format!("{} sent", size(counted.bytes_sent))];
    for (count, what) in [
        (counted.blobs_mounted, "blobs mounted"),
        (counted.blobs_present, "blobs were there"),
        (sent.referrers as u64, "referrers"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    parts.join(", ")
}

/// All of it, if it was more than one.
pub(super) fn summary(copied: &[Copied]) -> String {
    if copied.len() < 2 {
        return String::new();
    }
    let failed = copied.iter().filter(|copied| copied.sent.is_err()).count();
    let bytes: u64 = copied
        .iter()
        .map(|copied| copied.progress.read().bytes_sent)
        .sum();
    let tags = copied.len();
    format!("{tags} tags, {failed} failed, {} sent\n", size(bytes))
}

/// One reference for programs.
pub(super) fn json(copied: &Copied) -> Value {
    let counted = copied.progress.read();
    let outcome = match &copied.sent {
        Err(_) => "failed",
        Ok(sent) => match sent.outcome {
            Outcome::Sent => "copied",
            Outcome::Unchanged => "unchanged",
            Outcome::Kept { .. } => "kept",
            Outcome::NoPlatform => "skipped",
        },
    };
    json!({
        "source": copied.from,
        "destination": copied.to,
        "outcome": outcome,
        "digest": copied.sent.as_ref().ok().map(|sent| sent.digest.to_string()),
        "referrers": copied.sent.as_ref().map_or(0, |sent| sent.referrers),
        "bytes_sent": counted.bytes_sent,
        "bytes_skipped": counted.bytes_skipped,
        "error": copied.sent.as_ref().err().map(ToString::to_string),
    })
}
