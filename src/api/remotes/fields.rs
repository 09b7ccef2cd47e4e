//! What the document says that a body of a remote may hold. The configuration reads it, by the same names.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a remote is to be. What is left out is as by default; a secret that is left out of a change stays, unless it would
/// be sent to another place then.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct RemoteFields {
    #[serde(default)]
    #[schema(
        example = "edge-1",
        pattern = "^[a-z0-9][a-z0-9._-]*$",
        max_length = 64
    )]
    pub name: String,
    /// One of `GET /providers`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Tried in order; where account, instance and region tell the URL, they need not be given
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Of Amazon ECR
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// At a cloud: where the registry is. Elsewhere a word to find the remote by
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "eu-central-1")]
    pub region: Option<String>,
    /// Of Alibaba ACR: the id of the instance; of Tencent TCR: its name or id
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub password: Option<String>,
    /// With `username`: an access key's secret or a token in place of a password
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub token: Option<String>,
    /// The name after `docker-credential-` of a program in the server's PATH that tells the login
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_helper: Option<String>,
    /// The login is looked up in Docker's or podman's own files
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_config: Option<bool>,
    /// `environment`: the login is made of what the environment of the server, or its machine, has
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "environment", pattern = "^environment$")]
    pub credentials: Option<String>,
    /// By hand, where the registry does not tell it: two weeks and a day before, the log and the rules warn
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2027-01-31T00:00:00Z")]
    pub credentials_expire_at: Option<String>,
    /// Projects whose admins may use it in rules
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify_tls: Option<bool>,
    /// A file of the server: further trusted certificates, PEM
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// A file of the server: our certificate, PEM; goes with `client_key`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<String>,
    /// http, https, socks5 or socks5h. Put as it was got, it keeps its password
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "http://proxy:3128")]
    pub proxy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2s")]
    pub connect_timeout: Option<String>,
    /// To the headers of an answer
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "15s")]
    pub header_timeout: Option<String>,
    /// The same when there is something cached to serve instead
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2s")]
    pub answer_timeout: Option<String>,
    /// No byte of a body for so long means broken
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "15s")]
    pub idle_timeout: Option<String>,
    /// A download without progress is given up after this
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "1m")]
    pub retry_for: Option<String>,
    /// Further hosts whose token server may be given the login
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realms: Option<Vec<String>>,
    /// Not there: no limit
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub max_connections: Option<u32>,
    /// Not there: no limit
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "20MiB/s")]
    pub bandwidth: Option<String>,
    /// Pulls of the registry's own budget that background work leaves alone
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_reserve: Option<u64>,
    /// Tasks of rules at once
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub max_concurrent: Option<u32>,
    /// Two times of the day in UTC, between which background work may use it
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "22:00-06:00")]
    pub allowed_hours: Option<String>,
    /// At Amazon ECR only, as the three below: what repositories that are made there get
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "IMMUTABLE", pattern = "^(MUTABLE|IMMUTABLE)$")]
    pub image_tag_mutability: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan_on_push: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "KMS", pattern = "^(AES256|KMS)$")]
    pub encryption_type: Option<String>,
    /// Id, alias or ARN; with `KMS` only
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "alias/registry", max_length = 2048)]
    pub kms_key: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::{
        api::{
            openapi::{documented, known_keys},
            remotes::object::{Remote, TOLD},
        },
        config::{Declared, Row, Rows},
        settings::SECRET_MEMBERS,
    };

    /// What `[[remote]]` knows, and what the API adds.
    fn taken() -> BTreeSet<String> {
        let wrong = json!({"urls": ["http://registry"], "nobodys": 1});
        let wrong = wrong.as_object().expect("an object");
        let rows = Rows {
            remotes: vec![Row::new("r", wrong, [].into())],
            projects: Vec::new(),
        };
        let read = Declared::default().with(&rows).expect("nothing declared");
        let mut keys = known_keys(&read.refused[0].error.problem);
        let own = ["description", "projects", "credentials_expire_at"];
        keys.extend(own.map(str::to_owned));
        keys
    }

    #[test]
    fn what_a_body_may_hold_is_documented() {
        assert_eq!(documented::<RemoteFields>(), taken());
    }

    #[test]
    fn all_but_secrets_is_shown() {
        let mut shown = taken();
        shown.retain(|key| !SECRET_MEMBERS.contains(&key.as_str()));
        shown.extend(TOLD.map(str::to_owned));
        assert_eq!(documented::<Remote>(), shown);
    }
}
