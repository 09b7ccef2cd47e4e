//! What receivers are told: `CloudEvents` 1.0 in the structured JSON form.

use std::time::SystemTime;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    meta::{EventRow, ExecutionRow, Meta, MetaError, Notice, TaskCounts, TaskStatus},
    oci::Tag,
};

/// The media type of a message.
pub(super) const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// A notice as it is sent.
pub(super) struct Message {
    /// The same whenever it is sent.
    pub(super) id: String,
    pub(super) body: Bytes,
}

/// What a notice says, as an object, and the project that it is about. `None`: the execution is forgotten by now.
pub async fn data(meta: &Meta, notice: &Notice) -> Result<Option<(Value, String)>, MetaError> {
    match notice {
        Notice::Content(event) => {
            let project = event.repository.first().to_owned();
            Ok(Some((content(event), project)))
        }
        Notice::Execution(event) => {
            let Some(execution) = meta.execution(event.execution).await? else {
                return Ok(None);
            };
            let counts = meta.task_counts(event.execution).await?;
            let project = project_of(&members(&execution)).to_owned();
            Ok(Some((of_execution(&execution, &counts), project)))
        }
    }
}

pub(super) fn message(notice: &Notice, data: &Value, source: &str) -> Message {
    let id = id(notice);
    let message = json!({
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": format!("entrepot.{}", notice.kind()),
        "subject": subject(notice),
        "time": time(notice.at()),
        "datacontenttype": "application/json",
        "data": data,
    });
    Message {
        id,
        body: message.to_string().into(),
    }
}

/// Ids of rows begin anew in another database, times do not.
fn id(notice: &Notice) -> String {
    let since = notice.at().duration_since(SystemTime::UNIX_EPOCH);
    let at = since.unwrap_or_default().as_millis();
    match notice {
        Notice::Content(event) => format!("e{}-{at}", event.id),
        Notice::Execution(event) => format!("x{}-{at}", event.id),
    }
}

fn subject(notice: &Notice) -> String {
    match notice {
        Notice::Content(EventRow {
            repository,
            tag: Some(tag),
            ..
        }) => format!("{repository}:{tag}"),
        Notice::Content(event) => format!("{}@{}", event.repository, event.digest),
        Notice::Execution(event) => event.execution.to_string(),
    }
}

fn content(event: &EventRow) -> Value {
    json!({
        "project": event.repository.first(),
        "repository": event.repository.as_str(),
        "tag": event.tag.as_ref().map(Tag::as_str),
        "digest": event.digest.to_string(),
    })
}

/// What is said of an execution, as an object.
pub fn of_execution(execution: &ExecutionRow, counts: &TaskCounts) -> Value {
    let members = members(execution);
    json!({
        "execution": execution.id.to_string(),
        // What nobody made a rule for has its own in its place.
        "rule": members.get("name").filter(|_| !execution.rule_id.is_nil()),
        "project": project_of(&members),
        "trigger": execution.cause,
        "message": execution.message,
        "created_at": time(execution.created_at),
        "started_at": execution.started_at.map(time),
        "ended_at": execution.ended_at.map(time),
        "tasks": {
            "total": counts.total(),
            "succeeded": counts.of(TaskStatus::Succeeded),
            "failed": counts.of(TaskStatus::Failed),
            "stopped": counts.of(TaskStatus::Stopped),
        },
        "bytes_sent": counts.bytes.sent,
    })
}

fn members(execution: &ExecutionRow) -> Map<String, Value> {
    serde_json::from_str(&execution.members).unwrap_or_default()
}

/// The local project of a rule: the source of a push, the destination of a pull.
fn project_of(members: &Map<String, Value>) -> &str {
    let at = |side: &str| {
        let project = members.get(side).and_then(|side| side.get("project"));
        project.and_then(Value::as_str).unwrap_or_default()
    };
    let is_pull = members.get("mode").and_then(Value::as_str) == Some("pull");
    match at("destination") {
        destination if is_pull && !destination.is_empty() => destination,
        _ => at("source"),
    }
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::Webhook,
        meta::{EventKind, ExecutionStep},
    };

    #[test]
    fn an_event_is_told_as_a_cloud_event() {
        let digest = crate::oci::Algorithm::Sha256.digest(b"x");
        let event = EventRow {
            id: 7,
            kind: EventKind::Pushed,
            repository: "team/app".parse().unwrap(),
            tag: Some("v1".parse().unwrap()),
            digest: digest.clone(),
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_250_650_120),
        };
        let (data, notice) = (content(&event), Notice::Content(event));
        let message = message(&notice, &data, "https://hub.example.com");
        assert_eq!(message.id, "e7-1795250650120");
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        let expected = json!({
            "specversion": "1.0",
            "id": "e7-1795250650120",
            "source": "https://hub.example.com",
            "type": "entrepot.pushed",
            "subject": "team/app:v1",
            "time": "2026-11-21T08:44:10.120Z",
            "datacontenttype": "application/json",
            "data": {
                "project": "team", "repository": "team/app", "tag": "v1", "digest": digest.to_string(),
            },
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_pull_is_about_its_destination_and_a_push_about_its_source() {
        let of = |text: &str| project_of(&serde_json::from_str(text).unwrap()).to_owned();
        let push = r#"{"mode":"push","source":{"project":"a"},"destination":{"project":"b"}}"#;
        assert_eq!(of(push), "a");
        assert_eq!(of(&push.replace("push", "pull")), "b");
        let kept = r#"{"mode":"pull","source":{"project":"a"},"destination":{"project":""}}"#;
        assert_eq!(of(kept), "a");
    }

    #[test]
    fn the_words_of_the_configuration_are_those_of_the_rows() {
        use EventKind::{Deleted, Filled, Labelled, Pushed};
        use ExecutionStep::{Failed, Started, Stopped, Succeeded};
        let content = [Pushed, Filled, Labelled, Deleted].map(EventKind::as_str);
        let executions = [Started, Succeeded, Failed, Stopped].map(ExecutionStep::as_str);
        let words = content.into_iter().chain(executions);
        assert!(words.eq(Webhook::all_events()));
    }
}
