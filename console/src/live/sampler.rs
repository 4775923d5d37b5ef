use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, future::join3, stream};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{history::History, map, orders, problems, rates, sample::Sample};
use crate::client::Services;

/// How many pages may look at the same time.
const MAX_VIEWERS: usize = 256;
/// How often the metrics and the readiness are read.
const METRICS: Duration = Duration::from_secs(1);
/// How often the newest orders are read.
const ORDERS: Duration = Duration::from_millis(250);
/// How long it goes on when nobody looks, so that a page that is loaded again finds its history.
const LINGER: Duration = Duration::from_secs(10);

/// A part of the page that is replaced as a whole. Its name is that of the events that replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Region {
    /// What is wrong.
    Problems,
    /// Orders a second, and how long they take.
    Rates,
    /// The services and the events between them.
    Map,
    /// The newest orders.
    Orders,
}

impl Region {
    /// All regions.
    pub(crate) const ALL: [Self; 4] = [Self::Problems, Self::Rates, Self::Map, Self::Orders];

    /// Returns the name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Problems => "problems",
            Self::Rates => "rates",
            Self::Map => "map",
            Self::Orders => "orders",
        }
    }
}

/// The HTML of a region; empty before the first sample.
type Html = Arc<str>;

/// What the page "Now" shows. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    services: Services,
    regions: [watch::Sender<Html>; 4],
    places: Arc<Semaphore>,
    running: Mutex<bool>,
    linger: Duration,
    stopping: CancellationToken,
}

/// Somebody who looks. The sampler runs as long as there is one.
#[derive(Debug)]
pub(crate) struct Viewer {
    regions: [watch::Receiver<Html>; 4],
    /// Given back when this is dropped.
    _place: OwnedSemaphorePermit,
    stopping: CancellationToken,
}

impl Live {
    /// Creates it, without asking anything yet.
    pub(crate) fn new(services: Services, stopping: CancellationToken) -> Self {
        Self::with_linger(services, stopping, LINGER)
    }

    fn with_linger(services: Services, stopping: CancellationToken, linger: Duration) -> Self {
        Self(Arc::new(Shared {
            services,
            regions: Region::ALL.map(|_| watch::Sender::new(Html::from(""))),
            places: Arc::new(Semaphore::new(MAX_VIEWERS)),
            running: Mutex::new(false),
            linger,
            stopping,
        }))
    }

    /// Lets somebody look; `None` if too many do. The first one starts the sampler.
    pub(crate) fn look(&self) -> Option<Viewer> {
        let place = Arc::clone(&self.0.places).try_acquire_owned().ok()?;
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        let regions = self.0.regions.each_ref().map(watch::Sender::subscribe);
        if !*running {
            *running = true;
            tokio::spawn(Arc::clone(&self.0).run());
        }
        Some(Viewer { regions, _place: place, stopping: self.0.stopping.clone() })
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let unseen = CancellationToken::new();
        join3(
            unseen.run_until_cancelled(self.sample_metrics()),
            unseen.run_until_cancelled(self.sample_orders()),
            self.end_when_unseen(&unseen),
        )
        .await;
    }

    async fn sample_metrics(&self) {
        let (mut history, mut ticks) = (History::default(), ticks(METRICS));
        loop {
            ticks.tick().await;
            let sample = Sample::take(&self.services).await;
            history.add(&sample);
            self.show(Region::Problems, problems::render(&sample).into_string());
            self.show(Region::Rates, rates::render(&history).into_string());
            self.show(Region::Map, map::render(&sample, &history).into_string());
        }
    }

    async fn sample_orders(&self) {
        let mut ticks = ticks(ORDERS);
        loop {
            ticks.tick().await;
            let newest = orders::newest(&self.services.order).await;
            self.show(Region::Orders, orders::render(&newest).into_string());
        }
    }

    /// Replaces a region, and wakes those who look if it has changed.
    fn show(&self, region: Region, html: String) {
        self.regions[region as usize].send_if_modified(|shown| {
            let changed = **shown != *html;
            if changed {
                *shown = html.into();
            }
            changed
        });
    }

    /// Cancels `unseen` when nobody has looked for a while, or the console stops.
    async fn end_when_unseen(&self, unseen: &CancellationToken) {
        loop {
            let wait = self.stopping.run_until_cancelled(tokio::time::sleep(self.linger)).await;
            // Held, so that nobody begins to look between the check and the end.
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            if wait.is_none() || self.regions.iter().all(|region| region.receiver_count() == 0) {
                *running = false;
                // A page that is opened later waits for the first sample, and does not show this one.
                self.regions.iter().for_each(|region| drop(region.send_replace(Html::from(""))));
                return unseen.cancel();
            }
        }
    }
}

/// If a round takes longer than the period, the next begins a whole period later: a slow service is not asked more
/// often.
fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Viewer {
    /// Waits until every region has been sampled, and returns their HTML.
    pub(crate) async fn first(&mut self) -> [Html; 4] {
        let mut shown = Region::ALL.map(|_| Html::from(""));
        for (region, shown) in self.regions.iter_mut().zip(&mut shown) {
            if let Ok(html) = region.wait_for(|html| !html.is_empty()).await {
                *shown = Arc::clone(&html);
            }
        }
        shown
    }

    /// Returns each change of a region until the console stops. Changes that are not taken in time are left out: only
    /// the newest state of a region is kept.
    pub(crate) fn changes(self) -> impl stream::Stream<Item = (Region, Html)> + Send {
        let Self { regions, _place, stopping } = self;
        let streams = Region::ALL.into_iter().zip(regions);
        let streams = streams.map(|(region, receiver)| of_region(region, receiver).boxed());
        let changes = stream::select_all(streams);
        // The place moves into the stream, and is given back with it.
        changes.take_until(stopping.cancelled_owned()).map(move |change| {
            let _ = &_place;
            change
        })
    }
}

fn of_region(region: Region, mut receiver: watch::Receiver<Html>) -> impl stream::Stream<Item = (Region, Html)> {
    // A page that connects again may show something old, so it gets the present state first.
    receiver.mark_changed();
    stream::unfold(receiver, move |mut receiver| async move {
        loop {
            receiver.changed().await.ok()?;
            let html = Arc::clone(&receiver.borrow_and_update());
            if !html.is_empty() {
                return Some(((region, html), receiver));
            }
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use crate::settings::{Addresses, http_url};

    use super::*;

    fn live() -> Live {
        let url = http_url("http://127.0.0.1:1").unwrap();
        let addresses = Addresses::new([url.clone(), url.clone(), url]);
        let services = Services::new(&addresses, None, None);
        Live::with_linger(services, CancellationToken::new(), Duration::from_millis(10))
    }

    #[tokio::test]
    async fn one_who_does_not_read_finds_only_the_newest_state() {
        let live = live();
        let mut changes = Box::pin(live.look().unwrap().changes());
        for number in 0..10_000 {
            live.0.show(Region::Rates, number.to_string());
        }
        let (region, html) = changes.next().await.unwrap();
        assert_eq!((region, &*html), (Region::Rates, "9999"));
        live.0.show(Region::Rates, "9999".to_owned());
        live.0.show(Region::Map, "another".to_owned());
        let (region, html) = changes.next().await.unwrap();
        assert_eq!((region, &*html), (Region::Map, "another"), "what did not change is not sent");
    }

    #[tokio::test]
    async fn the_sampler_runs_only_while_somebody_looks() {
        let live = live();
        let is_running = || *live.0.running.lock().unwrap();
        assert!(!is_running());
        let (one, two) = (live.look().unwrap(), live.look().unwrap());
        drop(one);
        // Longer than a round of samples, which come only from the sampler.
        let mut two = two;
        two.first().await;
        assert!(is_running());
        drop(two);
        while is_running() {
            tokio::task::yield_now().await;
        }
        live.look().unwrap().first().await;
        assert!(is_running());
    }
}
