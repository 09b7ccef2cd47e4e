//! What the commands share that ask a running server: its options, pages of lists, how objects are shown.

use anyhow::Context;
use clap::{Args, Subcommand};
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    Failure,
    call_error::CallError,
    connection::{ANSWER_TIMEOUT, Call, Connection, ServerOptions},
    output::{Format, print, print_json},
};
use crate::api::Items;

const PAGE_ITEMS: &str = "1000";

/// For the end of a command's help.
const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 not done; 64 wrong usage or configuration; 69 the server cannot be asked; 77 the server refuses.";

/// What a command takes that asks a running server: one of `C`, and options that are the same for all.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Asking<C: Subcommand> {
    #[command(subcommand)]
    command: C,
    /// How to show the result
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    connection: ServerOptions,
}

/// A server that is asked, and how its answers are shown.
pub(super) struct Session {
    pub(super) server: Connection,
    pub(super) output: Format,
}

impl<C: Subcommand> Asking<C> {
    /// Carries the command out with a session at its server.
    pub(super) fn run<T>(
        &self,
        execute: impl AsyncFnOnce(&Session, &C) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let session = Session {
            server: self.connection.connect()?,
            output: self.output,
        };
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?
            .block_on(execute(&session, &self.command))
    }
}

impl Session {
    /// An object of the API.
    pub(super) async fn get(&self, path: &str) -> Result<Value, CallError> {
        self.change(Method::GET, path, None).await
    }

    /// One call with a body; what it answers.
    pub(super) async fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CallError> {
        let call = Call {
            body,
            ..Call::new(method, path)
        };
        Ok(self.server.call(call, ANSWER_TIMEOUT).await?.body)
    }

    /// Shows a list, page by page as it comes; as JSON it is one object.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        text: impl Fn(&[T]) -> String,
    ) -> Result<(), CallError> {
        let query = [&[("limit", PAGE_ITEMS)][..], query].concat();
        let call = Call {
            query: &query,
            ..Call::new(Method::GET, path)
        };
        let mut page = self.server.call(call, ANSWER_TIMEOUT).await?;
        let mut items = Vec::new();
        loop {
            let next = page.next.take();
            match self.output {
                Format::Text => {
                    let page: Items<T> = self.server.read(&page.body)?;
                    print(&text(&page.items));
                }
                Format::Json => {
                    let mut page: Items<Value> = self.server.read(&page.body)?;
                    items.append(&mut page.items);
                }
            }
            let Some(next) = next else { break };
            page = self.server.page(path, &next).await?;
        }
        if self.output == Format::Json {
            print_json(&json!({ "items": items }));
        }
        Ok(())
    }

    pub(super) fn show<T: DeserializeOwned>(
        &self,
        body: &Value,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CallError> {
        match self.output {
            Format::Text => print(&text(&self.server.read(body)?)),
            Format::Json => print_json(body),
        }
        Ok(())
    }

    /// Tells people what was done; programs have the exit code.
    pub(super) fn done(&self, what: &str) {
        if self.output == Format::Text {
            print(&format!("{what}\n"));
        }
    }
}

/// A path of the API that ends with a name.
pub(super) fn path_of(collection: &str, name: &str) -> String {
    let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("{collection}/{name}")
}
