//! Writes as the writer's queue holds them: each a type of its own, beside the statements that it runs.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{MetaError, changes::Changes, connection::Connection, statement::Statement};

/// How long a write waits to become durable: a few busy timeouts.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// One change, whole or not at all. [`Meta::write`](super::Meta::write) has it run by the writer.
pub(super) trait Operation: Send + Sync + 'static {
    /// What the caller is told after the commit.
    type Output: Send + 'static;

    /// Runs inside a transaction that others share; an error undoes this operation alone. Every cached row that it may
    /// change is told to `changes`. May run again after an error.
    fn execute(
        &self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> impl Future<Output = Result<Self::Output, MetaError>> + Send;
}

/// A change of one statement, to rows that no cache has; gives how many it changed.
impl Operation for Statement {
    type Output = u64;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<u64, MetaError> {
        Ok(Self::execute(self, connection).await?)
    }
}

/// An operation in the queue. Who went away does not keep it from being run.
pub(super) struct Request {
    waiting: Box<dyn Waiting>,
    pub(super) deadline: Instant,
    /// Why this operation alone was undone.
    failed: Option<MetaError>,
}

/// The caller's side of a [`Request`].
pub(super) struct Answer<T> {
    answer: oneshot::Receiver<Result<T, MetaError>>,
    deadline: Instant,
}

impl Request {
    /// A request, and where its answer comes.
    pub(super) fn new<O: Operation>(operation: O) -> (Self, Answer<O::Output>) {
        let (sender, answer) = oneshot::channel();
        let deadline = Instant::now() + WRITE_TIMEOUT;
        let waiting = Box::new(WaitingFor {
            operation,
            output: None,
            answer: sender,
        });
        let request = Self {
            waiting,
            deadline,
            failed: None,
        };
        (request, Answer { answer, deadline })
    }

    /// Nobody waits any more, and what was to be written may no longer be true.
    pub(super) fn is_late(&self) -> bool {
        self.deadline <= Instant::now()
    }

    pub(super) async fn execute(
        &mut self,
        connection: &mut Connection,
        changes: &mut Changes,
    ) -> Result<(), MetaError> {
        self.failed = None;
        self.waiting.execute(connection, changes).await
    }

    /// Notes that this operation alone was undone.
    pub(super) fn fail(&mut self, error: MetaError) {
        self.failed = Some(error);
    }

    /// Tells the caller what came of the operation in a transaction that was committed.
    pub(super) fn committed(self) {
        self.waiting.answer(self.failed.map_or(Ok(()), Err));
    }

    /// Tells the caller that nothing was written.
    pub(super) fn broken(self, error: MetaError) {
        self.waiting.answer(Err(self.failed.unwrap_or(error)));
    }
}

impl<T> Answer<T> {
    pub(super) async fn wait(self) -> Result<T, MetaError> {
        match timeout_at(self.deadline, self.answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_gone)) => Err(MetaError::Closed),
            Err(_elapsed) => Err(MetaError::Timeout),
        }
    }
}

/// A [`WaitingFor`] of any operation.
trait Waiting: Send {
    fn execute<'a>(
        &'a mut self,
        connection: &'a mut Connection,
        changes: &'a mut Changes,
    ) -> BoxFuture<'a, Result<(), MetaError>>;

    fn answer(self: Box<Self>, ended: Result<(), MetaError>);
}

struct WaitingFor<O: Operation> {
    operation: O,
    output: Option<O::Output>,
    answer: oneshot::Sender<Result<O::Output, MetaError>>,
}

impl<O: Operation> Waiting for WaitingFor<O> {
    fn execute<'a>(
        &'a mut self,
        connection: &'a mut Connection,
        changes: &'a mut Changes,
    ) -> BoxFuture<'a, Result<(), MetaError>> {
        async move {
            self.output = Some(self.operation.execute(connection, changes).await?);
            Ok(())
        }
        .boxed()
    }

    fn answer(self: Box<Self>, ended: Result<(), MetaError>) {
        let Self { output, answer, .. } = *self;
        let done = "an operation that did not fail was executed";
        // Nobody waits any more: no harm.
        let _ = answer.send(ended.map(|()| output.expect(done)));
    }
}
