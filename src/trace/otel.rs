//! Exports spans to a collector, by OTLP over HTTP with protobuf.
//!
//! It is configured by the standard variables of OpenTelemetry: `OTEL_EXPORTER_OTLP_ENDPOINT` (or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`), `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`,
//! `OTEL_TRACES_SAMPLER` and so on. Without an endpoint nothing is sent. The operator chooses the collector,
//! so the network policy does not apply.

use std::sync::Mutex;

use async_trait::async_trait;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::Level;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

/// Maximum bytes that are read of a response.
const RESPONSE_MAX: usize = 64 * 1_024;
/// The variables with the collector's URL.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// The exporter, until [`finish`].
static PROVIDER: Mutex<Option<SdkTracerProvider>> = Mutex::new(None);

/// The layer that exports spans with `client`, if a collector is configured. Must be called inside a runtime,
/// which must live until [`finish`].
pub fn layer<S>(client: reqwest::Client) -> Option<impl Layer<S>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    ENDPOINTS.into_iter().find(|name| is_set(name))?;
    let created = provider(client);
    if let Err(error) = &created {
        // Logging has not started yet.
        eprintln!("traces are not sent: {error}");
    }
    let provider = created.ok()?;
    let tracer = provider.tracer("postrider");
    *PROVIDER.lock().expect("no panic happens while this is held") = Some(provider);
    let own = Targets::new().with_target("postrider", Level::INFO);
    Some(tracing_opentelemetry::layer().with_tracer(tracer).with_filter(own))
}

fn provider(client: reqwest::Client) -> Result<SdkTracerProvider, Box<dyn std::error::Error>> {
    let client = OnRuntime { client, runtime: Handle::current() };
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build()?;
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("postrider");
    }
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build())
}

/// Exports the remaining spans; blocks for some seconds at most.
pub fn finish() {
    let provider = PROVIDER.lock().expect("no panic happens while this is held").take();
    if let Some(Err(error)) = provider.map(|provider| provider.shutdown()) {
        tracing::warn!(%error, "the last traces were not sent");
    }
}

/// Our client, for a thread without a runtime.
#[derive(Debug)]
struct OnRuntime {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let mut response = client.execute(request).await?;
            let (status, mut body) = (response.status(), Vec::new());
            while let Some(chunk) = response.chunk().await? {
                if body.len() + chunk.len() > RESPONSE_MAX {
                    break;
                }
                body.extend_from_slice(&chunk);
            }
            Ok::<_, reqwest::Error>((status, body))
        });
        let (status, body) = sending.await??;
        Ok(Response::builder().status(status).body(Bytes::from(body))?)
    }
}
