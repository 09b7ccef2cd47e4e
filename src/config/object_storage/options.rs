//! Which options an object storage knows, by `object_store`'s own names.
//!
//! Left out are those that say what `storage.url` says (the bucket), and the ones for the time of whole requests: the
//! store waits by its own rules, since content has any size.

use super::super::{
    error::Problem,
    value::{self, Read},
};

/// One option.
pub(super) struct Known {
    /// The name that is shown.
    pub(super) name: &'static str,
    /// The name that `object_store` takes; as good as the short one.
    pub(super) long: &'static str,
    pub(super) kind: Kind,
}

/// What an option's value is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// With http or https.
    Url,
    /// Of a file that the storage's own code reads, again and again.
    Path,
    Flag,
    Duration,
    Choice(&'static [&'static str]),
}

macro_rules! options {
    ($prefix:literal: $($name:literal $kind:expr;)*) => {
        &[$(Known { name: $name, long: concat!($prefix, $name), kind: $kind }),*]
    };
}

/// Of every service.
pub(super) const HTTP: &[Known] = options! { "":
    "allow_http" Kind::Flag;
    "allow_invalid_certificates" Kind::Flag;
    "connect_timeout" Kind::Duration;
    "pool_idle_timeout" Kind::Duration;
    "proxy_url" Kind::Url;
    "proxy_excludes" Kind::Text;
    "user_agent" Kind::Text;
};

pub(super) const S3: &[Known] = options! { "aws_":
    "access_key_id" Kind::Text;
    "secret_access_key" Kind::Text;
    "session_token" Kind::Text;
    "region" Kind::Text;
    "default_region" Kind::Text;
    "endpoint" Kind::Url;
    "endpoint_url" Kind::Url;
    "endpoint_url_s3" Kind::Url;
    "virtual_hosted_style_request" Kind::Flag;
    "unsigned_payload" Kind::Flag;
    "checksum_algorithm" Kind::Choice(&["sha256", "crc64nvme"]);
    "conditional_put" Kind::Choice(&["etag", "disabled"]);
    "disable_bulk_delete" Kind::Flag;
    "skip_signature" Kind::Flag;
    "request_payer" Kind::Flag;
    "s3_express" Kind::Flag;
    "imdsv1_fallback" Kind::Flag;
    "metadata_endpoint" Kind::Url;
    "web_identity_token_file" Kind::Path;
    "role_arn" Kind::Text;
    "role_session_name" Kind::Text;
    "endpoint_url_sts" Kind::Url;
    "container_credentials_relative_uri" Kind::Text;
    "container_credentials_full_uri" Kind::Url;
    "container_authorization_token_file" Kind::Path;
    "server_side_encryption" Kind::Choice(&["AES256", "aws:kms", "aws:kms:dsse", "sse-c"]);
    "sse_kms_key_id" Kind::Text;
    "sse_bucket_key_enabled" Kind::Flag;
    "sse_customer_key_base64" Kind::Text;
};

/// Ways to log in to S3: the environment's count only if the file names none of its own.
pub(super) const S3_LOGIN: &[&str] = &[
    "access_key_id",
    "secret_access_key",
    "session_token",
    "skip_signature",
    "web_identity_token_file",
    "role_arn",
    "role_session_name",
    "container_credentials_relative_uri",
    "container_credentials_full_uri",
    "container_authorization_token_file",
];

/// Several names of one thing: who sets one in the file does not want another one from the environment.
pub(super) const S3_SAME: &[&[&str]] = &[
    &["region", "default_region"],
    &["endpoint", "endpoint_url", "endpoint_url_s3"],
];

#[cfg(feature = "gcs")]
pub(super) const GCS: &[Known] = options! { "google_":
    "service_account" Kind::Path;
    "service_account_key" Kind::Text;
    "application_credentials" Kind::Path;
    "bearer_token" Kind::Text;
    "base_url" Kind::Url;
    "skip_signature" Kind::Flag;
};

#[cfg(feature = "azure")]
pub(super) const AZURE: &[Known] = options! { "azure_storage_":
    "account_name" Kind::Text;
    "account_key" Kind::Text;
    "sas_key" Kind::Text;
    "token" Kind::Text;
    "client_id" Kind::Text;
    "client_secret" Kind::Text;
    "tenant_id" Kind::Text;
    "authority_host" Kind::Url;
    "endpoint" Kind::Url;
    "use_emulator" Kind::Flag;
};

#[cfg(feature = "azure")]
pub(super) const AZURE_LOGIN: &[Known] = options! { "azure_":
    "federated_token_file" Kind::Path;
    "msi_endpoint" Kind::Url;
    "msi_resource_id" Kind::Text;
    "object_id" Kind::Text;
    "use_azure_cli" Kind::Flag;
    "skip_signature" Kind::Flag;
};

impl Kind {
    /// Is the text a value of this kind? It may be a secret, so that no refusal repeats it.
    pub(super) fn check(self, text: &str) -> Read<()> {
        let expected = match self {
            Self::Text | Self::Path => return Ok(()),
            Self::Url => is_url(text).then_some(()).ok_or_else(|| {
                "expected a URL such as \"https://s3.example.com\", with http or https".to_owned()
            }),
            Self::Flag => ["true", "false"]
                .contains(&text)
                .then_some(())
                .ok_or_else(|| "expected true or false".to_owned()),
            Self::Duration => humantime::parse_duration(text)
                .map(drop)
                .map_err(|_| "expected a duration such as \"5s\"".to_owned()),
            Self::Choice(words) => return choice(words, text),
        };
        expected.map_err(Problem::new)
    }
}

fn is_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

fn choice(words: &[&str], text: &str) -> Read<()> {
    if words.contains(&text) {
        return Ok(());
    }
    let shown: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    let problem = Problem::new(format!("expected {}", shown.join(", ")));
    Err(match value::nearest(text, words.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean \"{near}\"?")),
        None => problem,
    })
}
