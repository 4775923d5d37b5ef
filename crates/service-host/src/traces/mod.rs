//! Exports the spans of services over OTLP, as the standard variables `OTEL_*` say. Off unless they name an endpoint.

mod client;
mod processor;
mod settings;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use opentelemetry::{InstrumentationScope, KeyValue, global::BoxedTracer, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, SdkTracerProvider},
};
use saga_message::ServiceSpec;
use saga_runtime::trace::Tracing;
use uuid::Uuid;

use self::{client::CollectorClient, processor::WithoutRolledBack};

/// Where the spans of this process go. The default exports none.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<CollectorClient>>);

impl Traces {
    /// Reads the variables `OTEL_*` of the environment. Must be called within the runtime that is to send the spans.
    ///
    /// # Errors
    /// If one of them is invalid, or asks for what is not supported; the error says what to set.
    pub fn from_env() -> Result<Self> {
        match settings::endpoint(|name| std::env::var(name).ok())? {
            Some(endpoint) => Ok(Self(Some(Arc::new(CollectorClient::new(endpoint)?)))),
            None => Ok(Self::default()),
        }
    }

    /// Returns the export of one service's spans. Each service has its own, because the name of the service is an
    /// attribute of all that one export sends.
    ///
    /// # Errors
    /// If the exporter cannot be built from the variables `OTEL_*`.
    pub(crate) fn of_service(&self, service: &ServiceSpec) -> Result<ServiceTraces> {
        let Some(client) = &self.0 else { return Ok(ServiceTraces(None)) };
        let exporter = SpanExporter::builder().with_http().with_http_client(CollectorClient::clone(client));
        let exporter = exporter.build().context("the variables OTEL_EXPORTER_OTLP_* are wrong")?;
        let resource = Resource::builder().with_attributes([
            KeyValue::new("service.name", service.name),
            KeyValue::new("service.namespace", service.system.replace('_', "-")),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", Uuid::now_v7().to_string()),
        ]);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_span_processor(WithoutRolledBack(BatchSpanProcessor::builder(exporter).build()))
            .build();
        Ok(ServiceTraces(Some(provider)))
    }
}

/// The export of one service's spans. It happens in the background; if the collector does not keep up, spans are
/// dropped.
#[derive(Debug)]
pub(crate) struct ServiceTraces(Option<SdkTracerProvider>);

impl ServiceTraces {
    pub(crate) fn tracing(&self) -> Tracing {
        let Some(provider) = &self.0 else { return Tracing::default() };
        let scope = InstrumentationScope::builder("saga-runtime").with_version(env!("CARGO_PKG_VERSION")).build();
        Tracing::new(BoxedTracer::new(Box::new(provider.tracer_with_scope(scope))))
    }

    /// Exports what has not been exported, for at most `timeout`. No span may be started afterwards.
    pub(crate) async fn finish(self, timeout: Duration) {
        let Some(provider) = self.0 else { return };
        // It blocks its thread.
        let finished = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(timeout));
        if let Ok(Err(error)) = finished.await {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}
