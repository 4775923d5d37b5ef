//! Checks that the flow table in `docs/saga.md` is the same as [`FLOWS`].

use std::{fs, path::Path};

use shared_events::{FLOWS, Flow};

const HEADER: [&str; 5] = ["event", "published by", "routing key", "consumed by", "what the consumer does"];
/// The text in the page if no service consumes the event.
const NO_CONSUMERS: &str = "whoever listens";

/// Event, publisher, routing key and consumers, as written in the page.
type Row = [String; 4];

fn row(flow: &Flow) -> Row {
    let consumers: Vec<_> = flow.consumers.iter().map(|service| service.name()).collect();
    let consumers = if consumers.is_empty() { NO_CONSUMERS.to_owned() } else { consumers.join(", ") };
    [format!("`{}`", flow.event), flow.publisher.to_string(), format!("`{}`", flow.routing_key), consumers]
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

/// Returns the rows of the only table with [`HEADER`].
fn documented_rows(page: &str) -> Vec<Row> {
    let tables = page.lines().filter(|line| cells(line).is_some_and(|cells| cells == HEADER)).count();
    assert_eq!(tables, 1, "docs/saga.md must have one flow table, headed | {} |", HEADER.join(" | "));
    page.lines()
        .skip_while(|line| cells(line).is_none_or(|cells| cells != HEADER))
        .skip(2) // the header, and the line under it
        .map_while(cells)
        .map(|cells| {
            let [event, publisher, key, consumers, action] = cells[..] else {
                panic!("a row of the flow table has {} cells: {cells:?}", cells.len());
            };
            assert!(!action.is_empty(), "{event}: what does the consumer do?");
            [event, publisher, key, consumers].map(str::to_owned)
        })
        .collect()
}

#[test]
fn the_documented_flow_table_is_the_one_in_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/saga.md");
    let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let documented = documented_rows(&page);
    for (documented, flow) in documented.iter().zip(FLOWS) {
        assert_eq!(*documented, row(flow), "docs/saga.md (left) differs from FLOWS (right) at {}", flow.event);
    }
    assert_eq!(documented.len(), FLOWS.len(), "docs/saga.md must have one row per event");
}
