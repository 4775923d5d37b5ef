use maud::{Markup, html};

use super::{
    history::{Activity, ENDS, History, Point},
    sparkline::sparkline,
};

/// Renders orders a second, how they end, and how long they take.
pub(super) fn render(history: &History) -> Markup {
    match history.activity() {
        Activity::Unknown => html! { p.card.soft { "How many orders are placed and end is not known yet." } },
        Activity::None => html! {
            p.card.soft {
                "No order was placed and none has ended while the console watched, in the last two minutes at most. "
                a href="/try" { "Place one" } "."
            }
        },
        Activity::Some => tiles(history),
    }
}

fn tiles(history: &History) -> Markup {
    html! {
        div.grid {
            (tile(history, "Placed", "orders/s", "", |point| point.placed, number))
            @for (index, name) in ENDS.into_iter().enumerate() {
                (tile(history, capitalized(name), "orders/s", name, move |point| point.ended[index], number))
            }
            (tile(history, "Median duration", "", "", |point| point.p50, seconds))
            (tile(history, "99% within", "", "", |point| point.p99, seconds))
        }
        @if history.last().p50.is_none() {
            p.soft { "Durations are those of the orders that ended in the last ten seconds." }
        }
    }
}

fn tile(
    history: &History,
    name: &str,
    unit: &str,
    class: &str,
    value: impl Fn(&Point) -> Option<f64>,
    show: impl Fn(f64) -> String,
) -> Markup {
    let values: Vec<Option<f64>> = history.points().map(value).collect();
    let show = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), &show);
    let now = values.last().copied().flatten();
    let most = values.iter().flatten().copied().reduce(f64::max);
    let description = format!("{name}, the last two minutes: now {}, at most {}", show(now), show(most));
    html! {
        section class={ "card tile " (class) } {
            h2 { (name) }
            p.figure { strong { (show(now)) } " " span.soft { (unit) } }
            (sparkline(&values, &description))
            p.soft { @if most.is_some() { "at most " (show(most)) " " (unit) } @else { "none has ended" } }
        }
    }
}

fn capitalized(name: &str) -> &str {
    match name {
        "confirmed" => "Confirmed",
        "failed" => "Failed",
        "cancelled" => "Cancelled",
        other => other,
    }
}

/// Shows a rate: small ones with a decimal.
pub(super) fn number(value: f64) -> String {
    if value > 0.0 && value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Shows a duration in a unit in which it is easily read.
pub(super) fn seconds(value: f64) -> String {
    match value {
        ..0.001 => "under 1 ms".to_owned(),
        ..1.0 => format!("{:.0} ms", value * 1_000.0),
        ..120.0 => format!("{value:.1} s"),
        ..7_200.0 => format!("{:.0} min", value / 60.0),
        _ => format!("{:.0} h", value / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([0.0, 0.4, 9.94, 9.96, 1234.5].map(number), ["0", "0.4", "9.9", "10", "1234"]);
        let shown = [0.0, 0.0042, 0.9994, 1.0, 119.0, 180.0, 7_200.0].map(seconds);
        assert_eq!(shown, ["under 1 ms", "4 ms", "999 ms", "1.0 s", "119.0 s", "3 min", "2 h"]);
    }
}
