//! Measures what it costs to be looked at: the console, its open pages, listeners to every change, and traces; and what
//! API keys cost.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use reqwest::Client;
use serde::Serialize;
use testkit::{collector::Collector, process::Running, programs::Programs};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    Part, Settings,
    progress::Progress,
    scenario::{Measured, Scenario, middle},
    standalone,
};

/// The number of connections of the load: enough that the processor is the limit.
const CONNECTIONS: usize = 256;
/// How often each is measured, alternately with the others; the results are the medians.
const ROUNDS: usize = 3;

/// Who looks at the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Observer {
    /// Nobody, and there is no console. The others are compared with this.
    NoConsole,
    /// Nobody, but there is a console.
    Console,
    /// This number of open pages of the console, all of them the first one.
    Pages(usize),
    /// This number of listeners to the stream of all orders.
    Listeners(usize),
    /// This number of such listeners that read nothing.
    SilentListeners(usize),
    /// A collector of spans, for this percentage of the orders.
    Traces(u8),
    /// Nobody, and each request has an API key.
    ApiKeys,
}

const OBSERVERS: [Observer; 9] = [
    Observer::NoConsole,
    Observer::Console,
    Observer::Pages(1),
    Observer::Pages(200),
    Observer::Listeners(1),
    Observer::SilentListeners(20),
    Observer::Traces(1),
    Observer::Traces(100),
    Observer::ApiKeys,
];

/// The results with one observer: the medians.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Observed {
    pub(crate) observer: String,
    #[serde(flatten)]
    pub(crate) measured: Measured,
    /// The rate, divided by the one without a console.
    pub(crate) ratio: f64,
    /// Events per second that one page or listener received, where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) events_per_second: Option<f64>,
}

/// Returns the number of runs in [`measure`].
pub(crate) fn scenarios(settings: &Settings) -> usize {
    if settings.measures_alone(Part::Observers) { OBSERVERS.len() * ROUNDS } else { 0 }
}

/// Measures the system in one process with each observer, each time on a fresh system that is audited afterwards.
pub(crate) async fn measure(settings: &Settings, progress: &Progress) -> Result<Vec<Observed>> {
    let mut runs: BTreeMap<Observer, Vec<(Measured, Option<f64>)>> = BTreeMap::new();
    for round in 1..=ROUNDS {
        for observer in OBSERVERS {
            progress.next(&format!("observed by: {}, run {round} of {ROUNDS}", observer.name()));
            runs.entry(observer).or_default().push(one(settings, observer).await?);
        }
    }
    let rate = |runs: &[(Measured, Option<f64>)]| middle(runs.iter().map(|run| run.0.figures.orders_per_second));
    let alone = rate(&runs[&Observer::NoConsole]);
    let summary = |(observer, runs): (&Observer, &Vec<(Measured, Option<f64>)>)| {
        let all: Vec<Measured> = runs.iter().map(|run| run.0.clone()).collect();
        let events: Option<Vec<f64>> = runs.iter().map(|run| run.1).collect();
        Observed {
            observer: observer.name(),
            measured: Measured::median(&all),
            ratio: rate(runs) / alone,
            events_per_second: events.map(middle),
        }
    };
    Ok(runs.iter().map(summary).collect())
}

async fn one(settings: &Settings, observer: Observer) -> Result<(Measured, Option<f64>)> {
    let collector = Collector::start().await?;
    let ratio = match observer {
        Observer::Traces(percent) => (f64::from(percent) / 100.0).to_string(),
        _ => String::new(),
    };
    let mut variables = Vec::new();
    if !ratio.is_empty() {
        variables.push(("OTEL_EXPORTER_OTLP_ENDPOINT", Path::new(collector.endpoint())));
        variables.push(("OTEL_TRACES_SAMPLER", Path::new("parentbased_traceidratio")));
        variables.push(("OTEL_TRACES_SAMPLER_ARG", Path::new(&ratio)));
    }
    if observer.is_without_console() {
        variables.push(("NO_CONSOLE", Path::new("true")));
    }
    let program = standalone::program(&Programs::of_this_build()?)?.with_variables(&variables);
    let mut eyes = JoinSet::new();
    let scenario = Scenario::uniform(settings, CONNECTIONS);
    let look = async |system: &Running| {
        observer.look(system, settings.warm_up + settings.time, &mut eyes).await?;
        (observer == Observer::ApiKeys).then(|| standalone::api_key(&program, settings)).transpose()
    };
    let measured = standalone::observed(&program, settings, &scenario, look).await?;
    let looks = !eyes.is_empty();
    let mut events = Vec::new();
    while let Some(seen) = eyes.join_next().await {
        events.push(seen?? as f64 / (settings.warm_up + settings.time).as_secs_f64());
    }
    Ok((measured, looks.then(|| middle(events))))
}

impl Observer {
    fn name(self) -> String {
        match self {
            Self::NoConsole => "nobody, without a console".to_owned(),
            Self::Console => "a console that nobody looks at".to_owned(),
            Self::Pages(count) => format!("open pages of the console: {count}"),
            Self::Listeners(count) => format!("listeners to all orders: {count}"),
            Self::SilentListeners(count) => format!("listeners that read nothing: {count}"),
            Self::ApiKeys => "nobody, with an API key in each request".to_owned(),
            Self::Traces(percent) => format!("traces of {percent}% of the orders"),
        }
    }

    /// Returns whether the console is left out: the listeners and the collector are seen alone.
    fn is_without_console(self) -> bool {
        !matches!(self, Self::Console | Self::Pages(_))
    }

    /// Starts to look, for this time. Each task returns the number of events that it received.
    async fn look(self, system: &Running, time: Duration, eyes: &mut JoinSet<Result<usize>>) -> Result<()> {
        let (count, url, reads) = match self {
            Self::NoConsole | Self::Console | Self::Traces(_) | Self::ApiKeys => return Ok(()),
            Self::Pages(count) => {
                let console = system.console.context("the system has no console")?;
                (count, format!("http://{console}/now/events"), true)
            }
            Self::Listeners(count) => (count, format!("http://{}/api/v1/orders/stream", system.addresses[0]), true),
            Self::SilentListeners(count) => {
                (count, format!("http://{}/api/v1/orders/stream", system.addresses[0]), false)
            }
        };
        for _ in 0..count {
            // A client each, so that each has a connection of its own.
            let answer = Client::builder().no_proxy().build()?.get(&url).send().await?;
            ensure!(answer.status().is_success(), "{url} answers {}", answer.status());
            eyes.spawn(async move {
                let mut seen = 0;
                if !reads {
                    sleep(time).await;
                    return Ok(seen);
                }
                let mut answer = answer;
                let read = async {
                    // Each event ends with an empty line, which may be split between two parts of the body.
                    let mut last = 0;
                    while let Some(part) = answer.chunk().await? {
                        for &byte in &part {
                            seen += usize::from(byte == b'\n' && last == b'\n');
                            last = byte;
                        }
                    }
                    Ok::<_, reqwest::Error>(())
                };
                // The system that is stopped meanwhile ends the stream.
                let _ended = tokio::time::timeout(time, read).await;
                Ok(seen)
            });
        }
        Ok(())
    }
}
