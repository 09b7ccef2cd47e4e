//! `entrepot cache …`: looks at the cache of a running server, and changes it, by the management API.

use std::{process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{
    Failure, cache_text as text,
    call_error::CallError,
    connection::{ANSWER_TIMEOUT, Answer, Call},
    execution_watch::watch,
    output::{Format, print, print_json},
    session::Session,
};
use crate::{
    api::{Begun, CacheEntry, MAX_MISSING, Scrubbed, Status},
    oci::Image,
};

/// For what the server asks a remote.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(120);
/// Reading everything at a bounded rate takes its time.
const SCRUB_TIMEOUT: Duration = Duration::from_hours(7 * 24);

pub(super) const EXIT_CODES: &str = "\
An image is written docker.io/library/nginx:1.27 or docker.io/library/nginx@sha256:…; without a tag, latest is meant.

Exit codes: 0 done; 1 not done, or (of `missing`) something is missing; 64 wrong usage or configuration; \
69 the server cannot be asked; 77 the server refuses the login.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The server at a glance: store, database, hits, misses and bytes
    Stats,
    /// The cached tags
    List {
        /// Only of this project
        #[arg(long)]
        project: Option<String>,
    },
    /// What is here of an image, since when, last checked, last used
    Show {
        #[arg(value_name = "IMAGE")]
        image: Image,
    },
    /// What of these images is not here; exits with 0 when all of it is, with 1 when something is missing
    #[command(after_help = EXIT_CODES)]
    Missing {
        #[arg(value_name = "IMAGE", required = true)]
        images: Vec<Image>,
        /// Only what a client of this platform needs, such as linux/arm64
        #[arg(long, value_name = "OS/ARCH")]
        platform: Option<String>,
    },
    /// Fetch these tags ahead of use, in the background
    Warm {
        #[command(flatten)]
        images: Images,
        /// Only what clients of this platform need, such as linux/arm64; may be given several times
        #[arg(long = "platform", value_name = "OS/ARCH")]
        platforms: Vec<String>,
        /// Show how far it is until it ends; exits with 1 when something failed
        #[arg(long)]
        wait: bool,
    },
    /// Ask the remote for these tags now, however fresh they are
    Refresh(Images),
    /// Delete these tags, and their images unless something else wants them; with a digest, an image with all its tags
    Purge(Images),
    /// Never evict these images, also if they come later
    Pin(Images),
    /// Let these images be evicted again
    Unpin(Images),
    /// Read all content and compare it with its digests; what is damaged goes and is fetched anew when asked for
    Scrub,
}

#[derive(Debug, Args)]
pub(super) struct Images {
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<Image>,
}

/// What `missing` says of one image.
pub(super) struct Presence {
    pub(super) image: Image,
    /// `None`: nothing of it is here.
    pub(super) entry: Option<CacheEntry>,
}

struct Cache<'a> {
    session: &'a Session,
}

pub(super) async fn execute(session: &Session, command: &Command) -> Result<ExitCode, Failure> {
    Cache { session }.run(command).await
}

impl Cache<'_> {
    async fn run(&self, command: &Command) -> Result<ExitCode, Failure> {
        match command {
            Command::Stats => self.stats().await?,
            Command::List { project } => self.list(project.as_deref()).await?,
            Command::Show { image } => {
                let answer = self.about(Method::GET, "/cache/entry", image).await?;
                self.session.show(&answer.body, text::entry)?;
            }
            Command::Missing { images, platform } => {
                return Ok(self.missing(images, platform.as_deref()).await?);
            }
            Command::Warm {
                images,
                platforms,
                wait,
            } => return self.warm(images, platforms, *wait).await,
            Command::Refresh(images) => {
                return self
                    .each(images, Method::POST, "/cache/entry/refresh", "refreshed")
                    .await;
            }
            Command::Purge(images) => {
                return self
                    .each(images, Method::DELETE, "/cache/entry", "purged")
                    .await;
            }
            Command::Pin(images) => {
                return self
                    .each(images, Method::PUT, "/cache/entry/pin", "pinned")
                    .await;
            }
            Command::Unpin(images) => {
                return self
                    .each(images, Method::DELETE, "/cache/entry/pin", "unpinned")
                    .await;
            }
            Command::Scrub => return Ok(self.scrub().await?),
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn stats(&self) -> Result<(), CallError> {
        let status = self.session.get("/status").await?;
        self.session.show::<Status>(&status, text::status)
    }

    async fn list(&self, project: Option<&str>) -> Result<(), CallError> {
        let project = project.map(|project| ("project", project));
        let query: Vec<_> = project.into_iter().collect();
        let entries = |entries: &[CacheEntry]| text::entries(entries);
        self.session.list("/cache", &query, entries).await
    }

    async fn warm(
        &self,
        images: &Images,
        platforms: &[String],
        wait: bool,
    ) -> Result<ExitCode, Failure> {
        let references: Vec<_> = images.images.iter().map(Image::to_string).collect();
        let body = json!({ "references": references, "platforms": platforms });
        let begun = self
            .session
            .change(Method::POST, "/cache/warm", Some(&body));
        let begun = begun.await?;
        if wait {
            let id = self.session.server.read::<Begun>(&begun)?.id;
            return watch(self.session, id).await;
        }
        self.session
            .show(&begun, |begun: &Begun| format!("{}\n", begun.id))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn missing(
        &self,
        images: &[Image],
        platform: Option<&str>,
    ) -> Result<ExitCode, CallError> {
        let mut all = Vec::new();
        for image in images {
            let entry = match self.about(Method::GET, "/cache/entry", image).await {
                Ok(answer) => Some(self.session.server.read(&answer.body)?),
                Err(CallError::NotFound(_)) => None,
                Err(error) => return Err(error),
            };
            let image = image.clone();
            all.push(Presence { image, entry }.on(platform));
        }
        match self.session.output {
            Format::Text => all
                .iter()
                .for_each(|presence| print(&text::presence(presence))),
            Format::Json => {
                let items: Vec<_> = all.iter().map(Presence::json).collect();
                print_json(&json!({ "items": items }));
            }
        }
        Ok(code(all.iter().all(Presence::is_complete)))
    }

    /// Does one thing with each image, also when it could not be done with an earlier one.
    async fn each(
        &self,
        images: &Images,
        method: Method,
        path: &str,
        done: &str,
    ) -> Result<ExitCode, Failure> {
        let mut all_done = true;
        for image in &images.images {
            match self.about(method.clone(), path, image).await {
                Ok(answer) => match self.session.output {
                    Format::Text => print(&format!("{image}: {done}\n")),
                    Format::Json if answer.body.is_null() => {}
                    Format::Json => print_json(&answer.body),
                },
                Err(error) if error.is_of_server() => return Err(error.into()),
                Err(error) => {
                    all_done = false;
                    eprintln!("error: {image}: {error}");
                }
            }
        }
        Ok(code(all_done))
    }

    async fn scrub(&self) -> Result<ExitCode, CallError> {
        let call = Call::new(Method::POST, "/upkeep/scrub");
        let answer = self.session.server.call(call, SCRUB_TIMEOUT).await?;
        self.session
            .show::<Scrubbed>(&answer.body, text::scrubbed)?;
        Ok(ExitCode::SUCCESS)
    }

    /// A call about one image.
    async fn about(&self, method: Method, path: &str, image: &Image) -> Result<Answer, CallError> {
        let reference = image.reference.to_string();
        let patience = if method.is_safe() {
            ANSWER_TIMEOUT
        } else {
            CHANGE_TIMEOUT
        };
        let call = Call {
            query: &[("name", image.name.as_str()), ("reference", &reference)],
            ..Call::new(method, path)
        };
        self.session.server.call(call, patience).await
    }
}

/// `linux/arm64` may be pulled as `linux/arm64/v8`.
fn is_of(platform: &str, wanted: &str) -> bool {
    let rest = platform.strip_prefix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn code(all_well: bool) -> ExitCode {
    if all_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Presence {
    /// What counts for clients of one platform; what belongs to no platform counts for all.
    fn on(mut self, platform: Option<&str>) -> Self {
        if let (Some(platform), Some(entry)) = (platform, &mut self.entry) {
            // What is beyond the list may be of this platform.
            let is_whole = entry.missing.len() < MAX_MISSING;
            let counts = |of: &str| is_of(of, platform);
            entry
                .missing
                .retain(|missing| missing.platform.as_deref().is_none_or(counts));
            entry.complete = is_whole && entry.missing.is_empty();
        }
        self
    }

    fn is_complete(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.complete)
    }

    /// As the API shows entries, as far as it is about what is missing.
    fn json(&self) -> Value {
        json!({
            "name": self.image.name.as_str(),
            "reference": self.image.reference.to_string(),
            "digest": self.entry.as_ref().map(|entry| &entry.digest),
            "complete": self.is_complete(),
            "missing": self.entry.as_ref().map(|entry| &entry.missing),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{CacheState, ContentKind, MissingContent};

    fn missing(platform: Option<&str>) -> MissingContent {
        MissingContent {
            digest: "sha256:00".to_owned(),
            kind: ContentKind::Manifest,
            platform: platform.map(str::to_owned),
            size_bytes: None,
        }
    }

    fn is_complete(missing: Vec<MissingContent>, platform: Option<&str>) -> bool {
        let image: Image = "docker.io/a:1".parse().unwrap();
        let entry = CacheEntry {
            name: image.name.to_string(),
            reference: image.reference.to_string(),
            digest: "sha256:00".to_owned(),
            complete: missing.is_empty(),
            missing,
            state: CacheState::Fresh,
            pinned: false,
            filled_at: None,
            checked_at: None,
            used_at: None,
            size_bytes: 0,
        };
        let entry = Some(entry);
        Presence { image, entry }.on(platform).is_complete()
    }

    #[test]
    fn of_other_platforms_nothing_is_missing() {
        let arm = || vec![missing(Some("linux/arm64/v8"))];
        assert!(!is_complete(arm(), None));
        assert!(is_complete(arm(), Some("linux/amd64")));
        assert!(is_complete(arm(), Some("linux/arm")));
        assert!(!is_complete(arm(), Some("linux/arm64")));
        assert!(!is_complete(arm(), Some("linux/arm64/v8")));
    }

    #[test]
    fn what_belongs_to_no_platform_is_missing_on_all() {
        assert!(!is_complete(vec![missing(None)], Some("linux/amd64")));
    }

    #[test]
    fn beyond_a_list_that_is_full_anything_may_be_missing() {
        let many = vec![missing(Some("linux/arm64")); MAX_MISSING];
        assert!(!is_complete(many, Some("linux/amd64")));
    }
}
