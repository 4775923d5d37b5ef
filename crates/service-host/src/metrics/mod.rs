//! The metrics of a service, for Prometheus. Each service has its own registry, because three of them may run in one
//! process.
//!
//! A counter costs an atomic addition, and a histogram an uncontended lock, once per batch or request. Values that have
//! to be read from elsewhere (tables, pools, the broker's queue) are read when Prometheus scrapes, and from the
//! database at most every two seconds.

mod gauges;
mod scrape;

pub(crate) use gauges::Gauges;
pub use scrape::Metrics;
pub(crate) use scrape::routes;
