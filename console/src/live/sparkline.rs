use std::fmt::Write as _;

use maud::{Markup, html};

use super::history::SECONDS;

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 48.0;

/// Draws the values of the last two minutes, the newest at the right. A value that is unknown interrupts the line.
/// `description` says in words what the picture shows.
pub(super) fn sparkline(values: &[Option<f64>], description: &str) -> Markup {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    html! {
        svg.sparkline viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
            aria-label=(description) {
            path d=(path(values, most)) fill="none" vector-effect="non-scaling-stroke" {}
        }
    }
}

fn path(values: &[Option<f64>], most: f64) -> String {
    let (mut path, mut pen_down) = (String::new(), false);
    let first = SECONDS.saturating_sub(values.len());
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else {
            pen_down = false;
            continue;
        };
        let x = (first + index) as f64 * WIDTH / (SECONDS - 1) as f64;
        let share = if most > 0.0 { value / most } else { 0.0 };
        // One unit above and below is left for the width of the line.
        let y = HEIGHT - 1.0 - share * (HEIGHT - 2.0);
        let command = if pen_down { 'L' } else { 'M' };
        // Writing to a string cannot fail.
        let _ = write!(path, "{command}{x:.1} {y:.1}");
        pen_down = true;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_is_at_the_right_and_gaps_stay_gaps() {
        let values = [Some(0.0), None, Some(2.0), Some(1.0)];
        assert_eq!(path(&values, 2.0), "M233.9 47.0M238.0 1.0L240.0 24.0");
        assert_eq!(path(&[None], 0.0), "");
        assert_eq!(path(&[Some(0.0)], 0.0), "M240.0 47.0");
    }
}
