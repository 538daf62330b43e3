//! Spans that are exported by OTLP. There is one exporter a process, as in the interface of
//! OpenTelemetry; without it nothing is recorded, and no header is changed.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use http::{HeaderMap, StatusCode};
use mesh::{TryOutcome, TryWatch};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator as _,
    trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider, Span},
};

use super::collector::Collector;

/// Time for the last spans when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(300);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Exports spans until it is dropped.
#[derive(Debug)]
pub struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Exports to the collector at this URL. Standard environment variables of OpenTelemetry decide
    /// about sampling (`OTEL_TRACES_SAMPLER`) and batches (`OTEL_BSP_…`).
    ///
    /// # Errors
    /// A URL that cannot be used.
    pub fn start(endpoint: &str) -> Result<Self> {
        ensure!(endpoint.starts_with("http://"), "--otlp-endpoint {endpoint}: expected http://HOST:PORT");
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .build()
            .with_context(|| format!("--otlp-endpoint {endpoint}: expected http://HOST:PORT"))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder().with_service_name("recmesh-sidecar").with_attribute(version).build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let _ = TRACER.set(provider.tracer("recmesh"));
        tracing::info!(endpoint, "spans are exported");
        Ok(Self(provider))
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// The span of an answer.
#[derive(Debug)]
pub struct AnswerSpan(Option<Span>);

impl AnswerSpan {
    /// Begins with a request, below the span of its `traceparent`.
    pub fn begin(headers: &HeaderMap) -> Self {
        Self(begin("answer", SpanKind::Server, headers))
    }

    /// Makes the span the parent of what is asked with these headers.
    pub fn inject(&self, headers: &mut HeaderMap) {
        if let Some(span) = &self.0 {
            inject(span, headers);
        }
    }

    /// Records a part of the answer, which took this time until now.
    pub fn part(&self, revision: &str, took: Duration) {
        let (Some(tracer), Some(span)) = (TRACER.get(), &self.0) else { return };
        let builder = SpanBuilder::from_name("part")
            .with_start_time(SystemTime::now() - took)
            .with_attributes([KeyValue::new("recmesh.revision", revision.to_owned())]);
        tracer.build_with_context(builder, &context(span)).end();
    }

    /// Ends with a response.
    pub fn end(self, route: &'static str, status: StatusCode) {
        let Some(mut span) = self.0 else { return };
        span.set_attribute(KeyValue::new("http.route", route));
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if status.is_server_error() {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// The span of a try.
struct TrySpan(Span);

/// Begins the span of a try below that of its answer, and makes it the parent of the serving pod's.
pub fn begin_try(headers: &mut HeaderMap) -> Option<Box<dyn TryWatch>> {
    let span = begin("try", SpanKind::Client, headers)?;
    inject(&span, headers);
    Some(Box::new(TrySpan(span)))
}

impl TryWatch for TrySpan {
    fn ended(mut self: Box<Self>, outcome: TryOutcome) {
        self.0.set_attribute(KeyValue::new("recmesh.outcome", outcome.as_str()));
        if outcome != TryOutcome::Answered {
            self.0.set_status(Status::error(""));
        }
        self.0.end();
    }
}

fn begin(name: &'static str, kind: SpanKind, headers: &HeaderMap) -> Option<Span> {
    let tracer = TRACER.get()?;
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
    Some(tracer.build_with_context(SpanBuilder::from_name(name).with_kind(kind), &parent))
}

fn context(span: &Span) -> Context {
    Context::new().with_remote_span_context(span.span_context().clone())
}

fn inject(span: &Span, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&context(span), &mut HeaderInjector(headers));
}
