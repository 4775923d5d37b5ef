use std::collections::VecDeque;

use shared_events::{EventType, Service};

use super::sample::Sample;

/// How many seconds are shown.
pub(super) const SECONDS: usize = 120;
/// Over how many samples the durations of sagas are looked at.
const WINDOW: usize = 10;

/// The upper bound of a histogram's bucket, and how many values are not above it.
type Bucket = (f64, f64);

/// What happened in the last two minutes, from the differences between samples.
#[derive(Debug, Default)]
pub(super) struct History {
    previous: Option<Counters>,
    /// The histograms of the last samples, oldest first.
    durations: VecDeque<Vec<Bucket>>,
    points: VecDeque<Point>,
    /// For each event of the flow table, how many were published each second, of late.
    events: Vec<Option<f64>>,
}

/// One second. `None` if it is unknown, because the service did not answer or was restarted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Point {
    /// Orders placed a second.
    pub(super) placed: Option<f64>,
    /// Orders a second that ended as confirmed, failed, cancelled.
    pub(super) ended: [Option<f64>; 3],
    /// The median of the time from the placement of an order to its end, in seconds.
    pub(super) p50: Option<f64>,
    /// The time within which 99 of 100 orders end, in seconds.
    pub(super) p99: Option<f64>,
}

/// Whether anything happened to orders in the seconds that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// There is no second of which it is known.
    Unknown,
    /// Nothing happened.
    None,
    /// Orders were placed, or have ended.
    Some,
}

/// The names of the ends, as metrics have them.
pub(super) const ENDS: [&str; 3] = ["confirmed", "failed", "cancelled"];

/// Values that only grow.
#[derive(Debug)]
struct Counters {
    at: std::time::Instant,
    /// `None` if the order service did not answer.
    ended: Option<[f64; 3]>,
    /// By the position of the event in the flow table.
    events: Vec<Option<f64>>,
}

impl Counters {
    fn of(sample: &Sample) -> Self {
        let order = &sample.of(Service::Order).metrics;
        let answered = |service| sample.of(service).value("inputs_total").is_some();
        let ended = |end| order.sum("order_system_orders_ended_total", &[("end", end)]).unwrap_or(0.0);
        // A counter that was never counted is missing, and that is 0.
        let event = |event: EventType| {
            let flow = event.flow();
            let metrics = &sample.of(flow.publisher).metrics;
            let count = metrics.sum("order_system_events_total", &[("event", flow.routing_key)]).unwrap_or(0.0);
            answered(flow.publisher).then_some(count)
        };
        Self {
            at: sample.at,
            ended: answered(Service::Order).then(|| ENDS.map(ended)),
            events: EventType::ALL.map(event).to_vec(),
        }
    }
}

impl History {
    /// Adds what happened since the previous sample.
    pub(super) fn add(&mut self, sample: &Sample) {
        let now = Counters::of(sample);
        let mut point = Point::default();
        if let Some(before) = &self.previous {
            let seconds = now.at.duration_since(before.at).as_secs_f64();
            let rate = |before: Option<f64>, now: Option<f64>| rate(before?, now?, seconds);
            self.events = before.events.iter().zip(&now.events).map(|(before, now)| rate(*before, *now)).collect();
            point.placed = self.rate(EventType::OrderCreated);
            for (index, ended) in point.ended.iter_mut().enumerate() {
                *ended = rate(before.ended.map(|ended| ended[index]), now.ended.map(|ended| ended[index]));
            }
        }
        self.previous = Some(now);
        self.add_durations(sample);
        (point.p50, point.p99) = (self.quantile(0.5), self.quantile(0.99));
        self.points.push_back(point);
        while self.points.len() > SECONDS {
            self.points.pop_front();
        }
    }

    fn add_durations(&mut self, sample: &Sample) {
        let order = &sample.of(Service::Order).metrics;
        let bound = |text: &str| if text == "+Inf" { Some(f64::INFINITY) } else { text.parse().ok() };
        let buckets = order.by("order_system_saga_duration_seconds_bucket", "le");
        let mut buckets: Vec<Bucket> =
            buckets.filter_map(|(text, count)| bound(text).map(|bound| (bound, count))).collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let count = |buckets: &[Bucket]| buckets.last().map_or(0.0, |bucket| bucket.1);
        if self.durations.back().is_some_and(|last| count(&buckets) < count(last)) {
            // The service was restarted, or did not answer.
            self.durations.clear();
        }
        if !buckets.is_empty() {
            self.durations.push_back(buckets);
        }
        while self.durations.len() > WINDOW + 1 {
            self.durations.pop_front();
        }
    }

    /// Returns the quantile of the durations of the sagas that ended of late; `None` if none has.
    fn quantile(&self, quantile: f64) -> Option<f64> {
        let (first, last) = (self.durations.front()?, self.durations.back()?);
        let ended: Vec<Bucket> = first.iter().zip(last).map(|(first, last)| (last.0, last.1 - first.1)).collect();
        interpolate(&ended, quantile)
    }

    /// Returns the seconds, oldest first.
    pub(super) fn points(&self) -> impl Iterator<Item = &Point> {
        self.points.iter()
    }

    /// Returns whether orders were placed or have ended.
    pub(super) fn activity(&self) -> Activity {
        let rates = |point: &Point| [point.placed, point.ended[0], point.ended[1], point.ended[2]];
        let most = self.points.iter().flat_map(rates).flatten().reduce(f64::max);
        most.map_or(Activity::Unknown, |most| if most > 0.0 { Activity::Some } else { Activity::None })
    }

    /// Returns the last second.
    pub(super) fn last(&self) -> Point {
        self.points.back().copied().unwrap_or_default()
    }

    /// Returns how many of these events are published a second.
    pub(super) fn rate(&self, event: EventType) -> Option<f64> {
        self.events.get(event as usize).copied().flatten()
    }
}

/// Returns the growth a second; `None` if the counter began anew.
fn rate(before: f64, now: f64, seconds: f64) -> Option<f64> {
    (now >= before && seconds > 0.0).then(|| (now - before) / seconds)
}

/// Estimates a quantile from cumulated buckets as Prometheus does: values are spread evenly within a bucket.
fn interpolate(buckets: &[Bucket], quantile: f64) -> Option<f64> {
    let all = buckets.last()?.1;
    if all <= 0.0 {
        return None;
    }
    let rank = quantile * all;
    let index = buckets.iter().position(|(_, count)| *count >= rank)?;
    let (lower, below) = if index == 0 { (0.0, 0.0) } else { buckets[index - 1] };
    let (upper, count) = buckets[index];
    if upper.is_infinite() { Some(lower) } else { Some(lower + (upper - lower) * (rank - below) / (count - below)) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{
        super::{
            exposition::Exposition,
            sample::{Readiness, ServiceSample},
        },
        *,
    };

    fn sample(at: Instant, order: &str) -> Sample {
        let of = |service| ServiceSample {
            service,
            readiness: Ok(Readiness { dependencies: Vec::new() }),
            metrics: if service == Service::Order { Exposition::parse(order) } else { Exposition::default() },
        };
        Sample { at, services: Service::ALL.map(of) }
    }

    fn metrics(placed: u32, confirmed: u32) -> String {
        format!(
            "order_system_inputs_total 1\n\
             order_system_events_total{{event=\"order.created\"}} {placed}\n\
             order_system_orders_ended_total{{end=\"confirmed\"}} {confirmed}\n\
             order_system_saga_duration_seconds_bucket{{le=\"0.1\"}} 0\n\
             order_system_saga_duration_seconds_bucket{{le=\"0.2\"}} {confirmed}\n\
             order_system_saga_duration_seconds_bucket{{le=\"+Inf\"}} {confirmed}\n"
        )
    }

    #[test]
    fn rates_are_differences_a_second() {
        let (mut history, begin) = (History::default(), Instant::now());
        history.add(&sample(begin - Duration::from_secs(1), &metrics(10, 4)));
        assert_eq!((history.last(), history.activity()), (Point::default(), Activity::Unknown));
        history.add(&sample(begin, &metrics(10, 4)));
        assert_eq!(history.activity(), Activity::None);
        history.add(&sample(begin + Duration::from_secs(2), &metrics(30, 8)));
        let point = history.last();
        assert_eq!((point.placed, point.ended), (Some(10.0), [Some(2.0), Some(0.0), Some(0.0)]));
        assert!((point.p50.unwrap_or_default() - 0.15).abs() < 1e-9, "{point:?}");
        assert_eq!(history.rate(EventType::StockReserved), None);
        assert_eq!(history.activity(), Activity::Some);
        // Restarted: its counters begin anew.
        history.add(&sample(begin + Duration::from_secs(3), &metrics(1, 0)));
        assert_eq!(history.last().placed, None);
        history.add(&sample(begin + Duration::from_secs(4), ""));
        assert_eq!(history.last(), Point::default());
        for second in 5..300 {
            history.add(&sample(begin + Duration::from_secs(second), &metrics(1, 0)));
        }
        assert_eq!(history.points().count(), SECONDS);
    }

    #[test]
    fn quantiles_are_interpolated_within_their_bucket() {
        let buckets = [(1.0, 50.0), (2.0, 100.0), (f64::INFINITY, 100.0)];
        assert_eq!(interpolate(&buckets, 0.5), Some(1.0));
        assert_eq!(interpolate(&buckets, 0.75), Some(1.5));
        assert_eq!(interpolate(&[(1.0, 0.0), (f64::INFINITY, 10.0)], 0.5), Some(1.0));
        assert_eq!(interpolate(&[(1.0, 0.0), (f64::INFINITY, 0.0)], 0.5), None);
        assert_eq!(interpolate(&[], 0.5), None);
    }
}
