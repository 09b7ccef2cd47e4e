//! `entrepot copy SRC DST`: from any registry to any, without a server.

use std::{num::NonZeroU64, process::ExitCode, sync::Arc};

use anyhow::{Context, anyhow};
use bytesize::ByteSize;
use clap::Args;
use futures_util::{StreamExt, stream};
use serde_json::json;

use super::{
    Failure, copy_text as text, environment,
    output::{Format, print, print_json},
    transfer_lines::Watch,
};
use crate::{
    client::Patience,
    config::{Credentials, DockerConfig, Secret},
    oci::{PlatformPattern, Reference, Tag},
    sync::{Image, Place, Reach, Registries, Registry, is_on_this_machine},
    transfer::{
        Budget,
        send::{Existing, Order, Platforms, Progress, Referrers, SendError, Sender, Sent},
    },
};

const EXIT_CODES: &str = "\
Images are written host/name:tag or host/name@sha256:…; without a host, Docker Hub is meant, without a tag, latest.

Logins are taken from --from-user and --to-user, with the passwords in ENTREPOT_FROM_PASSWORD and ENTREPOT_TO_PASSWORD, \
else from where `docker login` and `podman login` keep them.

Exit codes: 0 all is there; 1 something was not copied; 64 wrong usage.";

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Options {
    /// What to copy
    #[arg(value_name = "SRC")]
    from: Image,
    /// Where to; without a tag, the source's own
    #[arg(value_name = "DST")]
    to: Image,
    /// Copy all tags of the repository
    #[arg(long, short)]
    all_tags: bool,
    /// Only what is for this platform, such as linux/arm64; several may be given. An index is written anew, without the others
    #[arg(long, value_name = "OS/ARCH")]
    platform: Vec<PlatformPattern>,
    /// Leave signatures, attestations and other referrers behind
    #[arg(long)]
    no_referrers: bool,
    /// Leave tags alone that are something else at the destination
    #[arg(long)]
    keep_existing: bool,
    /// How many tags to copy at once
    #[arg(long, short, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// How many blobs to send at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    transfers: u16,
    /// No more bytes per second than this, such as 20MiB
    #[arg(long, value_name = "SIZE")]
    bandwidth: Option<ByteSize>,
    /// Accept any certificate, and plain HTTP where there is no HTTPS; registries on this machine are always taken so
    #[arg(long)]
    insecure: bool,
    /// User name at the source
    #[arg(long, value_name = "NAME", requires = "from_password")]
    from_user: Option<String>,
    #[arg(
        long,
        hide = true,
        env = "ENTREPOT_FROM_PASSWORD",
        hide_env_values = true
    )]
    from_password: Option<String>,
    /// User name at the destination
    #[arg(long, value_name = "NAME", requires = "to_password")]
    to_user: Option<String>,
    #[arg(
        long,
        hide = true,
        env = "ENTREPOT_TO_PASSWORD",
        hide_env_values = true
    )]
    to_password: Option<String>,
    /// How to show the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// One reference that was copied, or not.
pub(super) struct Copied {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) sent: Result<Sent, SendError>,
    pub(super) progress: Progress,
}

struct Session<'a> {
    options: &'a Options,
    from: Registry,
    to: Registry,
    sender: Sender,
    watch: Watch,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(async {
            let copied = Session::new(options).await?.run().await?;
            let failed = copied.iter().any(|copied| copied.sent.is_err());
            match options.output {
                Format::Text => print(&text::summary(&copied)),
                Format::Json => {
                    print_json(&json!(copied.iter().map(text::json).collect::<Vec<_>>()));
                }
            }
            Ok(match failed {
                true => ExitCode::FAILURE,
                false => ExitCode::SUCCESS,
            })
        })
}

impl<'a> Session<'a> {
    async fn new(options: &'a Options) -> anyhow::Result<Self> {
        let registries = Registries::default();
        let from_login = (&options.from_user, &options.from_password);
        let to_login = (&options.to_user, &options.to_password);
        let reach = |place: &Place, login| reach(options, place, login);
        let of_from = || reach(&options.from.place, from_login);
        let of_to = || reach(&options.to.place, to_login);
        let rate = options
            .bandwidth
            .and_then(|size| NonZeroU64::new(size.as_u64()));
        let budget = Budget::new(rate);
        Ok(Self {
            options,
            from: registries.get(&options.from.place, "from", of_from).await?,
            to: registries.get(&options.to.place, "to", of_to).await?,
            sender: Sender::new(options.transfers.into(), [Arc::new(budget)]),
            watch: Watch::default(),
        })
    }

    async fn run(&self) -> anyhow::Result<Vec<Copied>> {
        let orders = self.orders().await?;
        self.watch.expect(orders.len());
        let copies = stream::iter(&orders).map(|order| self.copy(order));
        let copies = copies.buffered(self.options.jobs.into()).collect();
        let (copied, ()) = tokio::join!(
            async {
                let copied: Vec<Copied> = copies.await;
                self.watch.end();
                copied
            },
            self.watch.show()
        );
        Ok(copied)
    }

    async fn copy(&self, order: &Order) -> Copied {
        let Options { from, to, .. } = self.options;
        let progress = self.watch.begin();
        let sent = self
            .sender
            .send(&self.from.source, &self.to.destination, order, &progress)
            .await;
        let named = match (order.tags.first(), &sent) {
            (Some(tag), _) => Some(Reference::Tag(tag.clone())),
            (None, Ok(sent)) => Some(Reference::Digest(sent.digest.clone())),
            (None, Err(_)) => None,
        };
        let copied = Copied {
            from: from.place.with(&order.reference),
            to: named.map_or_else(|| to.place.to_string(), |named| to.place.with(&named)),
            sent,
            progress,
        };
        if self.options.output == Format::Text {
            self.watch.say(&text::line(&copied));
        }
        self.watch.done();
        copied
    }

    /// One order for each reference that is copied.
    async fn orders(&self) -> anyhow::Result<Vec<Order>> {
        let Options { from, to, .. } = self.options;
        if self.options.all_tags {
            if from.reference.is_some() || to.reference.is_some() {
                return Err(anyhow!(
                    "with --all-tags, SRC and DST are repositories: leave out tags and digests"
                ));
            }
            let tags = self
                .from
                .client
                .tag_list(&from.place.name, Patience::Full)
                .await?;
            let order = |tag: Tag| self.order(Reference::Tag(tag.clone()), vec![tag]);
            return Ok(tags.into_iter().map(order).collect());
        }
        let latest = || Reference::Tag("latest".parse().expect("it is a tag"));
        let reference = from.reference.clone().unwrap_or_else(latest);
        let tags = match to.reference.as_ref().unwrap_or(&reference) {
            Reference::Tag(tag) => vec![tag.clone()],
            Reference::Digest(digest) if reference == Reference::Digest(digest.clone()) => vec![],
            Reference::Digest(_) => {
                return Err(anyhow!("DST has another digest than SRC; a copy keeps it"));
            }
        };
        Ok(vec![self.order(reference, tags)])
    }

    fn order(&self, reference: Reference, tags: Vec<Tag>) -> Order {
        let options = self.options;
        Order {
            from: options.from.place.name.clone(),
            reference,
            to: options.to.place.name.clone(),
            tags,
            mount_from: options.from.place.mount_for(&options.to.place),
            existing: match options.keep_existing {
                true => Existing::OverwriteOnly(Vec::new()),
                false => Existing::Overwrite,
            },
            version: None,
            platforms: match options.platform.is_empty() {
                true => Platforms::All,
                false => Platforms::Rewrite(options.platform.clone()),
            },
            referrers: match options.no_referrers {
                true => Referrers::No,
                false => Referrers::All,
            },
        }
    }
}

fn reach(options: &Options, place: &Place, login: (&Option<String>, &Option<String>)) -> Reach {
    let credentials = if let (Some(username), Some(password)) = login {
        Credentials::Password {
            username: username.clone(),
            password: Secret::new(password.clone()),
        }
    } else {
        let found = DockerConfig::find(&environment().collect());
        found.map_or(Credentials::None, Credentials::DockerConfig)
    };
    Reach {
        credentials,
        insecure: options.insecure || is_on_this_machine(&place.registry),
    }
}
