//! Traces: what a collector of OpenTelemetry hears of one pull.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;
use tokio::net::TcpListener;

use crate::{
    harness::{Client, FakeRegistry, ImageBuilder, On, get},
    process::Process,
    server::Setup,
};

const PATIENCE: Duration = Duration::from_secs(15);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>);

impl Heard {
    fn requests(&self) -> Vec<(HeaderMap, ExportTraceServiceRequest)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.requests().into_iter();
        let resources = requests.flat_map(|(_, request)| request.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    async fn until(&self, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let heard = async {
            while !enough(&self.spans()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, heard).await;
        in_time.unwrap_or_else(|_| panic!("not all spans came: {:#?}", self.spans()));
        self.spans()
    }
}

/// A collector on a port of its own.
async fn collector() -> (String, Heard) {
    let heard = Heard::default();
    let export = |State(heard): State<Heard>, headers: HeaderMap, body: Bytes| async move {
        let request = ExportTraceServiceRequest::decode(body).expect("OTLP in protobuf");
        heard
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((headers, request));
    };
    let router = Router::new()
        .route("/v1/traces", post(export))
        .with_state(heard.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, heard)
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    }
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    found
        .next()
        .unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

#[tokio::test]
async fn one_pull_is_one_trace_from_the_client_to_the_remote() {
    let (collector, heard) = collector().await;
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(300_000).build();
    hub.put_image("library/app", "1", &image);
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue"),
        ("OTEL_SERVICE_NAME", "edge-7"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let mut process = Process::serve(&Setup::hub(&hub).text(), &environment).await;
    let layer = image.layers()[0].clone();
    let url = format!("{}/v2/library/app/blobs/{layer}", process.url);
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let asked = [("traceparent", traceparent.as_str())];
    let answer = Client::new().send(http::Method::GET, &url, &asked).await;
    assert_eq!((answer.status, answer.body.len()), (200, 300_000));

    let spans = heard.until(|spans| spans.len() >= 3).await;
    let request = named(&spans, "GET blob");
    assert_eq!(hex::encode(&request.trace_id), TRACE);
    assert_eq!(hex::encode(&request.parent_span_id), PARENT);
    assert_eq!(request.kind, SpanKind::Server as i32);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "blob"),
        ("http.response.status_code", "200"),
        ("http.response.body.size", "300000"),
        ("entrepot.repository", "library/app"),
        ("entrepot.outcome", "miss"),
        ("entrepot.aborted", "false"),
        ("client.address", "127.0.0.1"),
    ] {
        assert_eq!(text(&request.attributes, key), value, "{key}");
    }
    let fill = named(&spans, "fill");
    assert_eq!(fill.trace_id, request.trace_id);
    assert_eq!(fill.parent_span_id, request.span_id);
    assert_eq!(text(&fill.attributes, "entrepot.digest"), layer);
    assert_eq!(text(&fill.attributes, "entrepot.bytes"), "300000");
    let remote = spans
        .iter()
        .find(|span| span.kind == SpanKind::Client as i32 && span.parent_span_id == fill.span_id)
        .expect("the fill asks the remote");
    assert_eq!(text(&remote.attributes, "entrepot.remote"), "docker.io");
    let told = hub.requests_on(&On::blob().get())[0].request.headers["traceparent"].clone();
    let told = told.to_str().expect("ASCII");
    assert_eq!(
        told,
        format!("00-{TRACE}-{}-01", hex::encode(&remote.span_id))
    );

    let (headers, export) = heard.requests().remove(0);
    assert_eq!(headers["x-tenant"], "blue");
    let resource = export.resource_spans[0]
        .resource
        .clone()
        .expect("a resource");
    assert_eq!(text(&resource.attributes, "service.name"), "edge-7");

    // What has not been sent yet is sent at the end.
    get(&format!("{}/healthz", process.url)).await;
    process.terminate();
    assert!(process.ended().await.success());
    named(&heard.spans(), "GET healthz");
}

#[tokio::test]
async fn a_failure_is_an_error_in_its_trace_and_a_fresh_trace_has_no_parent() {
    let (collector, heard) = collector().await;
    let hub = FakeRegistry::start().await;
    hub.stop().await;
    let environment = [
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            &*format!("{collector}/v1/traces"),
        ),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let process = Process::serve(&Setup::hub(&hub).text(), &environment).await;
    let url = format!("{}/v2/library/app/manifests/1", process.url);
    assert!(get(&url).await.status >= 500);
    let is_request = |span: &Span| span.name == "GET manifest";
    let spans = heard.until(|spans| spans.iter().any(is_request)).await;
    let request = spans
        .iter()
        .find(|span| is_request(span))
        .expect("just seen");
    assert!(request.parent_span_id.is_empty());
    assert_eq!(request.status.as_ref().map(|status| status.code), Some(2));
    let service = heard.requests()[0].1.resource_spans[0].resource.clone();
    assert_eq!(
        text(&service.expect("a resource").attributes, "service.name"),
        "entrepot"
    );
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_told_of_once_and_holds_up_nobody() {
    let hub = FakeRegistry::start().await;
    let image = ImageBuilder::new(1).layer(1000).build();
    hub.put_image("library/app", "1", &image);
    let gone = FakeRegistry::start().await;
    gone.stop().await;
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", gone.url()),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4"),
    ];
    let mut process = Process::serve(&Setup::hub(&hub).text(), &environment).await;
    for _ in 0..50 {
        let answer = get(&format!("{}/v2/library/app/manifests/1", process.url)).await;
        assert_eq!(answer.status, 200);
    }
    process
        .logged(|line| {
            line["message"]
                .to_string()
                .contains("traces cannot be sent")
        })
        .await;
    process.terminate();
    assert!(process.ended().await.success());
    assert_eq!(process.stderr().matches("traces cannot be sent").count(), 1);
}

#[tokio::test]
async fn without_an_endpoint_nothing_is_traced_and_no_remote_hears_of_it() {
    let hub = FakeRegistry::start().await;
    let process = Process::serve(&Setup::hub(&hub).text(), &[("OTEL_SERVICE_NAME", "x")]).await;
    let url = format!("{}/v2/library/app/manifests/1", process.url);
    let asked = [("traceparent", &*format!("00-{TRACE}-{PARENT}-01"))];
    Client::new().send(http::Method::GET, &url, &asked).await;
    assert!(hub.count(On::any()) > 0);
    assert_eq!(hub.count(On::any().with_header("traceparent")), 0);
}
