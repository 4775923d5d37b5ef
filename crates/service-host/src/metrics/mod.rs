//! What a service measures, for Prometheus: a registry of its own for each service, because three of them may live in one
//! process.
//!
//! Counting costs an atomic addition, and a histogram an uncontended lock, once a batch or a request. What has to be read
//! from elsewhere (tables, pools, the broker's queue) is read when somebody asks, and from the database at most every two
//! seconds.

mod gauges;
mod scrape;

pub(crate) use gauges::Gauges;
pub use scrape::Metrics;
pub(crate) use scrape::routes;
