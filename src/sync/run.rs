//! A sync: rules become tasks, one for each tag and destination, and tasks are run; then what failed is tried again, tasks
//! and the making of tasks alike, as often as was asked for.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::task::JoinSet;

use super::{
    Auth, Place, Plan, Registries, Registry, Rule,
    report::Level,
    rule::{What, pair},
};
use crate::{
    client::{ClientError, ErrorKind, Patience, SetupError},
    oci::{PlatformPattern, Reference, Tag},
    transfer::send::{
        Existing, Order, Outcome, Platforms, Progress, Referrers, SendError, Sender, SourceError,
    },
};

/// How a sync is run.
pub struct Settings {
    /// Tasks at once, and uploads at once.
    pub workers: usize,
    /// Passes over what failed.
    pub retries: u32,
    /// None: all.
    pub platforms: Vec<PlatformPattern>,
    /// Manifests are put even where they are the same.
    pub force: bool,
}

/// What came of it.
pub struct Finished {
    /// Source and destination, and why not.
    pub failed: Vec<(String, String)>,
    /// What was copied; not what was unchanged. Source and destination.
    pub copied: Vec<(String, String)>,
    pub cost: Duration,
}

/// Takes the lines of the log as they come.
pub type Log = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// One thing to do.
#[derive(Clone)]
enum Task {
    /// Find out which tags a rule means.
    List(Arc<Rule>),
    Copy(Arc<Pair>),
}

struct Pair {
    from: Place,
    reference: Reference,
    to: Place,
    /// None: by its digest.
    tag: Option<Tag>,
}

/// What a task led to.
enum Done {
    /// More tasks.
    Listed(Vec<Task>),
    Copied,
    Skipped(String),
}

struct Run {
    auth: Auth,
    settings: Settings,
    registries: Registries,
    sender: Sender,
    log: Log,
    copied: Mutex<Vec<(String, String)>>,
}

/// Runs a plan to its end.
pub async fn run(plan: Plan, settings: Settings, log: &Log) -> Finished {
    let began = Instant::now();
    let destinations: HashSet<_> = plan
        .rules
        .iter()
        .map(|rule| &rule.to.place.registry)
        .collect();
    let run = Arc::new(Run {
        registries: Registries::with_destinations(destinations.len()),
        auth: plan.auth,
        sender: Sender::new(settings.workers, []),
        settings,
        log: Arc::clone(log),
        copied: Mutex::default(),
    });
    let rules = plan.rules.into_iter();
    let mut tasks: Vec<Task> = rules.map(|rule| Task::List(Arc::new(rule))).collect();
    let mut failed = Vec::new();
    for pass in 0..=run.settings.retries {
        if pass > 0 {
            let count = tasks.len();
            (run.log)(
                Level::Info,
                &format!("Retrying {count} failed tasks, pass {pass}."),
            );
        }
        failed = run.pass(tasks).await;
        if failed.is_empty() {
            break;
        }
        tasks = failed.iter().map(|(task, _)| task.clone()).collect();
    }
    let failed = failed
        .into_iter()
        .map(|(task, why)| (task.to_string(), why));
    Finished {
        failed: failed.collect(),
        copied: std::mem::take(&mut run.copied.lock().unwrap_or_else(PoisonError::into_inner)),
        cost: began.elapsed(),
    }
}

impl Run {
    /// Runs tasks and those that come of them; gives those that failed, with the reason.
    async fn pass(self: &Arc<Self>, tasks: Vec<Task>) -> Vec<(Task, String)> {
        let mut waiting = VecDeque::from(tasks);
        let (mut total, mut processed) = (waiting.len(), 0);
        let mut running = JoinSet::new();
        let mut failed = Vec::new();
        loop {
            while running.len() < self.settings.workers.max(1)
                && let Some(task) = waiting.pop_front()
            {
                let run = Arc::clone(self);
                running.spawn(async move {
                    let done = run.execute(&task).await;
                    (task, done)
                });
            }
            let Some(ended) = running.join_next().await else {
                return failed;
            };
            let (task, done) = ended.expect("a task neither panics nor is aborted");
            processed += 1;
            match done {
                Ok(Done::Listed(more)) => {
                    total += more.len();
                    let said = format!("{} tasks generated", more.len());
                    self.finish(&task, &said, (processed, total));
                    // What is known to be there to do comes before what is to be found.
                    for task in more.into_iter().rev() {
                        waiting.push_front(task);
                    }
                }
                Ok(Done::Copied) => self.finish(&task, "synchronized", (processed, total)),
                Ok(Done::Skipped(why)) => self.finish(&task, &why, (processed, total)),
                Err(why) => {
                    let message = format!(
                        "Failed to executed {task}: {why}. Now {processed}/{total} tasks have been processed."
                    );
                    (self.log)(Level::Error, &message);
                    failed.push((task, why));
                }
            }
        }
    }

    fn finish(&self, task: &Task, said: &str, (processed, total): (usize, usize)) {
        let message =
            format!("Finish {task}: {said}. Now {processed}/{total} tasks have been processed.");
        (self.log)(Level::Info, &message);
    }

    fn execute<'a>(&'a self, task: &'a Task) -> BoxFuture<'a, Result<Done, String>> {
        async move {
            match task {
                Task::List(rule) => self.list(rule).await.map(Done::Listed),
                Task::Copy(pair) => self.copy(pair).await,
            }
        }
        .boxed()
    }

    async fn list(&self, rule: &Rule) -> Result<Vec<Task>, String> {
        let task = |reference, tag| {
            Task::Copy(Arc::new(Pair {
                from: rule.from.clone(),
                reference,
                to: rule.to.place.clone(),
                tag,
            }))
        };
        let tags = match &rule.what {
            What::Digest(digest) => {
                let reference = Reference::Digest(digest.clone());
                return Ok(vec![task(reference, rule.to.tags.first().cloned())]);
            }
            What::Tags(tags) => tags.clone(),
            What::AllTags => self.tags(&rule.from).await?,
            What::Matching(expression) => {
                let mut tags = self.tags(&rule.from).await?;
                tags.retain(|tag| expression.is_match(tag.as_str()));
                tags
            }
        };
        let pairs = pair(&rule.text, &tags, &rule.to.tags).map_err(|error| error.to_string())?;
        let tasks = pairs
            .into_iter()
            .map(|(from, to)| task(Reference::Tag(from), Some(to)));
        Ok(tasks.collect())
    }

    async fn tags(&self, place: &Place) -> Result<Vec<Tag>, String> {
        let registry = self.registry(place).await?;
        let tags = registry.client.tag_list(&place.name, Patience::Full).await;
        tags.map_err(|error| self.explain(place, &error))
    }

    async fn copy(&self, pair: &Pair) -> Result<Done, String> {
        let (from, to) = (self.registry(&pair.from), self.registry(&pair.to));
        let (from, to) = tokio::try_join!(from, to)?;
        let platforms = &self.settings.platforms;
        let order = Order {
            from: pair.from.name.clone(),
            reference: pair.reference.clone(),
            to: pair.to.name.clone(),
            tags: pair.tag.iter().cloned().collect(),
            mount_from: pair.from.mount_for(&pair.to),
            existing: match self.settings.force {
                true => Existing::Renew,
                false => Existing::Overwrite,
            },
            version: None,
            platforms: match platforms.is_empty() {
                true => Platforms::All,
                false => Platforms::Rewrite(platforms.clone()),
            },
            // Signatures are copied as the tags that they are.
            referrers: Referrers::No,
        };
        let progress = Progress::default();
        let sent = self
            .sender
            .send(&from.source, &to.destination, &order, &progress);
        match sent.await {
            Ok(sent) if sent.outcome == Outcome::Sent => {
                let mut copied = self.copied.lock().unwrap_or_else(PoisonError::into_inner);
                copied.push((pair.source(), pair.target()));
                Ok(Done::Copied)
            }
            Ok(sent) if sent.outcome == Outcome::NoPlatform => Ok(Done::Skipped(
                "skip synchronization because no manifest fits platform filters".to_owned(),
            )),
            Ok(_) => Ok(Done::Skipped(
                "skip synchronization because the destination is the same".to_owned(),
            )),
            Err(error) => Err(self.blame(pair, &error)),
        }
    }

    async fn registry(&self, place: &Place) -> Result<Registry, String> {
        let login = self.auth.of(place);
        let registry = self.registries.get(place, login.key, || login.reach());
        registry
            .await
            .map_err(|error: SetupError| error.to_string())
    }

    /// Whose fault a failed copy is, and what to look at.
    fn blame(&self, pair: &Pair, error: &SendError) -> String {
        match error {
            SendError::Source(SourceError::Remote(error)) => self.explain(&pair.from, error),
            SendError::Destination(error) => self.explain(&pair.to, error),
            other => other.to_string(),
        }
    }

    /// A refusal with who was refused.
    fn explain(&self, place: &Place, error: &ClientError) -> String {
        let refused = matches!(error.kind, ErrorKind::Denied | ErrorKind::Credentials);
        if refused || matches!(error.status, Some(401 | 403)) {
            let who = self.auth.of(place).describe();
            return format!("{error}; we asked {} as {who}", place.registry);
        }
        error.to_string()
    }
}

impl Pair {
    fn source(&self) -> String {
        self.from.with(&self.reference)
    }

    fn target(&self) -> String {
        match (&self.tag, &self.reference) {
            (Some(tag), _) => self.to.with(&Reference::Tag(tag.clone())),
            (None, reference) => self.to.with(reference),
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(rule) => write!(f, "generating tasks of {} => {}", rule.text, rule.to.place),
            Self::Copy(pair) => write!(f, "synchronizing {} => {}", pair.source(), pair.target()),
        }
    }
}
