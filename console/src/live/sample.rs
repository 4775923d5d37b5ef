use std::time::{Duration, Instant};

use futures::future::{join, join3};
use reqwest::Method;
use serde::Deserialize;
use shared_events::Service;

use super::exposition::Exposition;
use crate::client::{ClientError, ServiceClient, Services};

/// What all services answered at one moment.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(super) at: Instant,
    pub(super) services: [ServiceSample; 3],
}

/// What one service answered.
#[derive(Debug)]
pub(crate) struct ServiceSample {
    pub(super) service: Service,
    /// What `/health/ready` says about the things it depends on.
    pub(super) readiness: Result<Readiness, ClientError>,
    /// Empty if the service did not answer.
    pub(super) metrics: Exposition,
}

/// The answer of `/health/ready`.
#[derive(Debug, Deserialize)]
pub(crate) struct Readiness {
    pub(super) dependencies: Vec<Dependency>,
}

/// Something that a service depends on.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(super) name: String,
    pub(super) status: String,
    pub(super) detail: Option<String>,
}

/// A service that takes longer counts as not answering, so that the others are still shown every second or two.
const TIMEOUT: Duration = Duration::from_secs(2);

impl Sample {
    /// Asks all services at the same time.
    pub(crate) async fn take(services: &Services) -> Self {
        let [order, inventory, payment] = Service::ALL.map(|service| ServiceSample::take(services.of(service)));
        let services = <[_; 3]>::from(join3(order, inventory, payment).await);
        Self { at: Instant::now(), services }
    }

    /// Returns what one service answered.
    pub(crate) fn of(&self, service: Service) -> &ServiceSample {
        &self.services[service as usize]
    }
}

impl ServiceSample {
    /// Returns whether the service answered.
    pub(crate) fn answers(&self) -> bool {
        self.readiness.is_ok()
    }

    async fn take(client: &ServiceClient) -> Self {
        let (readiness, metrics) = join(readiness(client), metrics(client)).await;
        Self { service: client.service(), readiness, metrics: metrics.unwrap_or_default() }
    }

    /// Returns the value of a metric of this service, summed up over its labels.
    pub(super) fn value(&self, metric: &str) -> Option<f64> {
        self.metrics.sum(&format!("order_system_{metric}"), &[])
    }
}

impl Dependency {
    pub(super) fn is_up(&self) -> bool {
        self.status == "ok"
    }
}

/// A service that is not ready says so with 503, and still says why.
async fn readiness(client: &ServiceClient) -> Result<Readiness, ClientError> {
    let answer = client.answer(client.request(Method::GET, "/health/ready", &[]).timeout(TIMEOUT)).await?;
    client.body(answer).await
}

async fn metrics(client: &ServiceClient) -> Result<Exposition, ClientError> {
    let text = client.text(client.request(Method::GET, "/metrics", &[]).timeout(TIMEOUT)).await?;
    Ok(Exposition::parse(&text))
}
