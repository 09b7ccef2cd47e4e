//! A webhook's receiver: a small server that checks signatures with a reading of the specification of its own.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{Router, extract::State, routing::post};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use sha2::Sha256;
use tokio::{net::TcpListener, task::JoinHandle};

use super::eventually;

/// What all tests sign with.
pub(super) const KEY: &[u8] = b"a key of at least sixteen bytes";

/// How it answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    Status(u16),
    /// Takes the request and says nothing.
    Hang,
}

struct Inner {
    manner: Mutex<Manner>,
    /// All that came, taken or not.
    came: Mutex<Vec<Value>>,
    taken: Mutex<Vec<Value>>,
}

/// Listens until it is dropped.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

/// The secret as the configuration has it.
pub(super) fn secret() -> String {
    format!("whsec_{}", BASE64_STANDARD.encode(KEY))
}

impl Receiver {
    pub(super) async fn start(manner: Manner) -> Self {
        let inner = Arc::new(Inner {
            manner: Mutex::new(manner),
            came: Mutex::default(),
            taken: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new()
            .route("/hook", post(receive))
            .with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self {
            address,
            inner,
            task,
        }
    }

    /// A table of the configuration.
    pub(super) fn webhook(&self, name: &str, keys: &str) -> String {
        let (address, secret) = (self.address, secret());
        format!(
            "[[webhook]]\nname = \"{name}\"\nurl = \"http://{address}/hook?key=hidden\"\n\
             secret = \"{secret}\"\n{keys}\n"
        )
    }

    pub(super) fn set(&self, manner: Manner) {
        *lock(&self.inner.manner) = manner;
    }

    /// How many requests came.
    pub(super) fn came(&self) -> usize {
        lock(&self.inner.came).len()
    }

    /// Waits until so many requests came.
    pub(super) async fn until_came(&self, count: usize) {
        eventually(async || (self.came() >= count).then_some(())).await;
    }

    /// What it has taken so far.
    pub(super) fn all(&self) -> Vec<Value> {
        lock(&self.inner.taken).clone()
    }

    /// Waits until it has taken so many messages; all of them.
    pub(super) async fn taken(&self, count: usize) -> Vec<Value> {
        eventually(async || {
            let taken = self.all();
            (taken.len() >= count).then_some(taken)
        })
        .await
    }

    /// Types and subjects of the messages, once there are so many.
    pub(super) async fn told(&self, count: usize) -> Vec<(String, String)> {
        let text = |message: &Value, key: &str| message[key].as_str().expect(key).to_owned();
        let taken = self.taken(count).await;
        taken
            .iter()
            .map(|message| (text(message, "type"), text(message, "subject")))
            .collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let message: Value = serde_json::from_slice(&body).expect("JSON");
    verify(&headers, &body, &message);
    lock(&inner.came).push(message.clone());
    let manner = *lock(&inner.manner);
    match manner {
        Manner::Hang => std::future::pending().await,
        Manner::Status(status) => {
            let status = StatusCode::from_u16(status).expect("a status");
            if status.is_success() {
                lock(&inner.taken).push(message);
            }
            status
        }
    }
}

/// A panic here is a 500 and no message: the tests wait in vain.
fn verify(headers: &HeaderMap, body: &[u8], message: &Value) {
    let header = |name: &str| headers[name].to_str().expect("text");
    assert!(header("content-type").starts_with("application/cloudevents+json"));
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    assert_eq!(message["id"], id);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    assert!(now.abs_diff(timestamp.parse().expect("seconds")) < 60);
    let mut hash = Hmac::<Sha256>::new_from_slice(KEY).expect("a key");
    hash.update(format!("{id}.{timestamp}.").as_bytes());
    hash.update(body);
    let hash = BASE64_STANDARD.encode(hash.finalize().into_bytes());
    assert_eq!(header("webhook-signature"), format!("v1,{hash}"));
}
