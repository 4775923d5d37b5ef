use std::sync::atomic::AtomicI64;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};

/// Metrics of the listeners' certificate. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct TlsMetrics {
    pub(super) not_after: Gauge<i64, AtomicI64>,
    pub(super) reloads: Counter,
    pub(super) failed_reloads: Counter,
    pub(super) failed_handshakes: Counter,
}

impl TlsMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "When the certificate of the listeners expires, since 1970";
        let name = "tls_certificate_expiry_timestamp";
        registry.register_with_unit(name, help, Unit::Seconds, self.not_after.clone());
        let help = "How often a changed certificate has been taken into use";
        registry.register("tls_certificate_reloads", help, self.reloads.clone());
        let help = "How often a changed certificate could not be used; the one before stays";
        registry.register("tls_certificate_failed_reloads", help, self.failed_reloads.clone());
        let help = "Handshakes that failed, such as with a client that does not trust the certificate";
        registry.register("tls_failed_handshakes", help, self.failed_handshakes.clone());
    }
}
