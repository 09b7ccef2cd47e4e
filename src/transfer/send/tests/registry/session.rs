//! Upload sessions of the registry: how they begin, and what each request does to one.

use std::{collections::HashMap, io, sync::Mutex};

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{Content, Reply, refuse, reply};
use crate::oci::Digest;

/// Opens one, unless the blob can be mounted.
pub(super) fn start(content: &mut Content, name: &str, query: &HashMap<String, String>) -> Reply {
    if let (Some(digest), Some(from)) = (query.get("mount"), query.get("from")) {
        let found = content.blobs.get(&(from.clone(), digest.clone())).cloned();
        if let Some(bytes) = found {
            content
                .blobs
                .insert((name.to_owned(), digest.clone()), bytes);
            return reply(201, &[]);
        }
    }
    let id = format!("u{}", content.seen.len());
    content.uploads.insert(id.clone(), Vec::new());
    let mut headers = vec![(
        "location",
        format!("/v2/{name}/blobs/uploads/{id}?_state=x"),
    )];
    if let Some(least) = content.mood.min_chunk {
        headers.push(("oci-chunk-min-length", least.to_string()));
    }
    reply(202, &headers)
}

/// One request on an upload session.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) length: usize,
    pub(super) range: Option<String>,
}

impl Step {
    pub(super) async fn answer(
        &self,
        content: &Mutex<Content>,
        method: &Method,
        digest: Option<&String>,
        mut body: Incoming,
    ) -> Reply {
        let Some(mut bytes) = content.lock().unwrap().uploads.get(&self.id).cloned() else {
            return refuse(404, "BLOB_UPLOAD_UNKNOWN");
        };
        if *method == Method::GET {
            return reply(204, &self.headers(bytes.len()));
        }
        let starts_at = self
            .range
            .as_ref()
            .map(|range| range.split('-').next().unwrap());
        if starts_at.is_some_and(|at| at != bytes.len().to_string()) {
            return reply(416, &self.headers(bytes.len()));
        }
        let end = {
            let mood = &mut content.lock().unwrap().mood;
            if mood
                .largest_body
                .is_some_and(|largest| self.length > largest)
            {
                return refuse(413, "SIZE_INVALID");
            }
            let breaks = mood
                .breaks_after
                .first()
                .is_some_and(|end| *end < self.length);
            breaks.then(|| mood.breaks_after.remove(0))
        };
        let mut came = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { break };
            let data = frame.into_data().unwrap();
            came += data.len();
            bytes.extend_from_slice(&data);
            if end.is_some_and(|end| came >= end) {
                break;
            }
        }
        let mut content = content.lock().unwrap();
        content.received += came;
        if came < self.length {
            match content.mood.forgets {
                true => content.uploads.remove(&self.id),
                false => content.uploads.insert(self.id.clone(), bytes),
            };
            return Err(io::Error::other("scripted"));
        }
        self.end(&mut content, digest, bytes)
    }

    fn end(&self, content: &mut Content, digest: Option<&String>, bytes: Vec<u8>) -> Reply {
        let Some(digest) = digest else {
            let bytes = match content.mood.keeps_nothing {
                true => Vec::new(),
                false => bytes,
            };
            let headers = self.headers(bytes.len());
            content.uploads.insert(self.id.clone(), bytes);
            return reply(202, &headers);
        };
        content.uploads.remove(&self.id);
        if Digest::sha256(&bytes).to_string() != *digest {
            return refuse(400, "DIGEST_INVALID");
        }
        let key = (self.name.clone(), digest.clone());
        content.blobs.insert(key, bytes.into());
        if content.mood.lost_answers > 0 {
            content.mood.lost_answers -= 1;
            return Err(io::Error::other("scripted"));
        }
        reply(StatusCode::CREATED.as_u16(), &[])
    }

    fn headers(&self, received: usize) -> [(&'static str, String); 2] {
        let location = format!(
            "/v2/{}/blobs/uploads/{}?_state={received}",
            self.name, self.id
        );
        [
            ("location", location),
            ("range", format!("0-{}", received.saturating_sub(1))),
        ]
    }
}
