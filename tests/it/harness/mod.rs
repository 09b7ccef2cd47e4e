//! The test harness: content (`ImageBuilder`), a remote (`FakeRegistry`) and clients, on real sockets.
//!
//! It knows nothing of the library under test, so that tests of clients and benchmarks use it too:
//! `#[path = "../it/harness/mod.rs"] mod harness;`.
//!
//! # Content
//! ```text
//! let image = ImageBuilder::new(seed).layer(1 << 20).shared_layer(seed, size).build();
//!   .layer_as(media_type, size) .zstd_layer(size) .layer_given(media_type, bytes) .foreign_layer(url, size)
//!   .files(Compression::{None,Gzip,Zstd}, &[File::new(path, bytes), File::executable(..)])   real archives
//!   .docker() .algorithm(Algorithm::Sha512) .platforms(&["linux/amd64", "linux/arm/v7"]) .media_type(..)
//!   .config_as(media_type, bytes) .entrypoint(&[..]) .annotation(k, v) .artifact_type(..) .subject(descriptor)
//! ImageBuilder::artifact(seed, artifact_type, &subject)    ImageBuilder::helm_chart(seed, name, version)
//! image.root  .root_manifest()  .manifest(digest)  .children()  .layers()  .layers_of(manifest)  .config()
//!      .blob(digest)  .blob_bytes()  .descriptor()  .manifests: Vec<Manifest{digest, media_type, bytes}>  .blobs
//! sha256(&bytes)  digest_of(algorithm, &bytes)  random_bytes(seed, length)  media_type::OCI_INDEX …
//! ```
//!
//! # A remote
//! ```text
//! let remote = FakeRegistry::start().await;                 or FakeRegistry::builder()….start().await:
//!   .basic(user, password) .bearer() .bearer_account(user, password) .like_docker_hub()
//!   .tokens_from(&other) .realm(url) .redirect_blobs_to(&cdn) .content_of(&other) .address([127, 0, 0, 2])
//!   .page_size(n) .referrers(Referrers::{Filtering,Unfiltered,ByTag}) .latency(d)
//!   .bandwidth(bytes_per_second) .shared_bandwidth(..) .tls(&Arc<Authority>) .http1_only()
//!   .require_client_certificate() .options(|options| …)      every field: see `Options`
//! remote.configure(|options| …)                              the same, while it runs
//! remote.url()  .host()  .address()  .manifest_url(repository, reference)  .blob_url(repository, digest)
//! remote.put_image(repository, tag, &image)  .put_untagged(repository, &image)  .tag(repository, tag, digest)
//!       .put_manifest(repository, media_type, bytes) -> digest  .put_blob(repository, bytes) -> digest
//!       .delete_tag  .remove_manifest  .remove_blob  .remove_repository  .revoke_tokens()
//! remote.stop().await (refused)  .stop_answering().await (accepted, never answered)  .start_again().await
//! ```
//! Signed URLs of a CDN answer 400 if `Authorization` arrives, as S3 does.
//!
//! # Faults, gates, records
//! ```text
//! On::{any,base,manifest,blob,cdn,tags,referrers,token}()  .get() .head() .repository(name) .reference(tag_or_digest)
//!     .ranged() .unranged() .header(name, value) .with_header(name); for records only: .answered(status) .served()
//! remote.fault(on, Fault::CutAfter(1000))  .fault_times(on, n, fault)  .fault_always(on, fault)
//!       .clear_faults()  .faults_left()
//! let hold = remote.hold(on);  remote.hold_after(on, bytes);  hold.reached(n).await;
//!     hold.release_some(n);  hold.release() or drop
//! remote.wait_for(on, n).await  .wait_for_ends(on, n).await  .wait_for_bytes(on, bytes).await   10 s, then a panic
//! remote.count(on)  .bytes_sent(on)  .running(on)  .peak(on)  .connections()  .requests()  .requests_on(&on)
//!       .forget_requests()      Recorded { request, status, bytes_sent, progress }
//! ```
//! A request meets the first scripted counted fault that matches, and all constant ones. Requests that
//! are refused with 401 by the registry's own authentication meet no faults and no gates. The answer is made
//! when the request arrives: a held one is the old one. Over HTTP/2 cuts are `RST_STREAM`s; use `http1_only`
//! for faults below HTTP. Bytes are counted just before they are written, up to 128 KiB at a time.
//!
//! # Object storage
//! A real S3 server: see `bucket.rs` (`Bucket`) and `line.rs` (`Line`, a way to it that can break).
//!
//! # Clients
//! ```text
//! get(url).await  head(url)  get_range(url, "10-19")  -> Answer { status, version, headers, body, complete }
//!     answer.header(name)  .json()  .error_code()
//! drain_sha256(url).await -> Drained { status, digest, bytes, complete, first_byte, total }
//! Client::new()  ::trusting(ca_pem)  ::trusting_as(ca_pem, &identity)   .get .head .get_range .drain_sha256
//!     .send(method, url, &[(name, value)])  .try_send(..) -> Result       basic(user, password) -> header value
//! SlowReader::open(url, &[(name, value)]).await  .read(n).await  .read_some(n)  .read_to_end()  .is_complete()
//!     .status .headers .first_byte                                     plain HTTP, small receive buffer
//! Authority::new()  .pem()  .server(&names) -> Identity { certificate, key }  .client(name)   install_crypto()
//! ```

#![allow(
    dead_code,
    unused_imports,
    reason = "each user of the harness needs another part of it"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "tests read better when matchers are made in place"
)]

mod answer;
mod auth;
mod bucket;
mod builder;
mod client;
mod content;
mod digest;
mod fault;
mod gate;
mod http1;
mod http2;
mod image;
mod image_builder;
mod line;
mod listener;
mod matcher;
pub(crate) mod media_type;
mod options;
mod pace;
mod play;
mod random;
mod recorder;
mod registry;
mod reply;
mod request;
mod server;
mod stream;
mod tarball;
mod tls;

pub(crate) use auth::basic;
pub(crate) use bucket::Bucket;
pub(crate) use builder::Builder;
pub(crate) use client::{Answer, Client, Drained, SlowReader, drain_sha256, get, get_range, head};
pub(crate) use digest::{Algorithm, digest_of, sha256};
pub(crate) use fault::Fault;
pub(crate) use gate::Hold;
pub(crate) use image::{Image, Manifest};
pub(crate) use image_builder::ImageBuilder;
pub(crate) use line::{Line, Trouble};
pub(crate) use matcher::On;
pub(crate) use options::{Auth, Options, Referrers};
pub(crate) use random::random_bytes;
pub(crate) use recorder::{Progress, Recorded};
pub(crate) use registry::FakeRegistry;
pub(crate) use request::{Kind, Request};
pub(crate) use tarball::{Compression, File};
pub(crate) use tls::{Authority, Identity, install_crypto};
