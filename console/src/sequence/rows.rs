//! The order of the steps. A message is drawn as one row, at its own time, if nothing has overtaken it; otherwise its
//! arrival has a row of its own, below what came first.

use shared_events::Timestamp;

use super::model::{Arrow, Kind, Lane, Step};

/// The place of a step: its time; at the same time its rank, then what caused it first.
pub(crate) type Key = (Timestamp, Rank, usize, usize);

/// The order of steps at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// What leads to an event: a request, or a deadline.
    Cause,
    /// A message that arrives late.
    Arrival,
    /// An event.
    Event,
}

/// A step without a place yet.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) key: Key,
    pub(crate) step: Step,
    /// When each of its arrows arrived, as far as that is known.
    pub(crate) arrivals: Vec<Option<Timestamp>>,
}

/// Something that happened on a lane, and the row at which it is drawn.
#[derive(Debug, Clone, Copy)]
struct Point {
    row: Key,
    lane: Lane,
    at: Timestamp,
}

/// One arrow of one draft.
type ArrowId = (usize, usize);

/// Puts the steps in order, and adds those for late arrivals.
pub(crate) fn arrange(mut drafts: Vec<Draft>) -> Vec<Step> {
    drafts.sort_by_key(|draft| draft.key);
    let late = late(&drafts);
    let mut rows: Vec<(Key, ArrowId, Step)> = Vec::new();
    for &(index, arrow) in &late {
        let draft = &drafts[index];
        rows.push((arrival_key(draft, arrow), (index, arrow), arrival(draft, arrow)));
    }
    // No arrow has this number: it stands for the step itself.
    let own = usize::MAX;
    rows.extend(drafts.into_iter().enumerate().map(|(index, draft)| (draft.key, (index, own), draft.step)));
    rows.sort_by_key(|(key, id, _)| (*key, *id));
    let ids: Vec<ArrowId> = rows.iter().map(|(_, id, _)| *id).collect();
    let place = |id: ArrowId| ids.iter().position(|one| *one == id);
    let placed = |(row, (_, (index, part), mut step)): (usize, (Key, ArrowId, Step))| {
        if part == own {
            for (arrow, drawn) in step.arrows.iter_mut().enumerate() {
                drawn.arrives = place((index, arrow)).unwrap_or(row);
            }
        }
        step
    };
    rows.into_iter().enumerate().map(placed).collect()
}

/// Returns the arrows that were overtaken: in a row below theirs, something happened on their lane before they arrived.
fn late(drafts: &[Draft]) -> Vec<ArrowId> {
    let known = |draft: &Draft, arrow: usize| draft.arrivals.get(arrow).copied().flatten();
    let mut late: Vec<ArrowId> = Vec::new();
    loop {
        let points = points(drafts, &late);
        let overtaken = |&(index, arrow): &ArrowId| {
            let draft = &drafts[index];
            known(draft, arrow).is_some_and(|at| {
                let lane = draft.step.arrows[arrow].to;
                points.iter().any(|point| point.lane == lane && point.row > draft.key && point.at < at)
            })
        };
        let all = drafts
            .iter()
            .enumerate()
            .flat_map(|(index, draft)| (0..draft.step.arrows.len()).map(move |arrow| (index, arrow)));
        let more: Vec<ArrowId> = all.filter(|id| !late.contains(id)).filter(overtaken).collect();
        if more.is_empty() {
            return late;
        }
        late.extend(more);
    }
}

fn points(drafts: &[Draft], late: &[ArrowId]) -> Vec<Point> {
    let mut points = Vec::new();
    for (index, draft) in drafts.iter().enumerate() {
        points.push(Point { row: draft.key, lane: draft.step.lane, at: draft.key.0 });
        for (arrow, at) in draft.arrivals.iter().enumerate() {
            let Some(at) = *at else { continue };
            let row = if late.contains(&(index, arrow)) { arrival_key(draft, arrow) } else { draft.key };
            points.push(Point { row, lane: draft.step.arrows[arrow].to, at });
        }
    }
    points
}

fn arrival_key(draft: &Draft, arrow: usize) -> Key {
    let at = draft.arrivals[arrow].unwrap_or(draft.key.0);
    (at.max(draft.key.0), Rank::Arrival, draft.key.2, draft.key.3)
}

fn arrival(draft: &Draft, arrow: usize) -> Step {
    let Arrow { to, label, .. } = &draft.step.arrows[arrow];
    Step {
        lane: *to,
        kind: Kind::Arrival { name: label.clone() },
        at: draft.arrivals[arrow],
        to_come: false,
        arrows: Vec::new(),
    }
}
