use std::fmt;

use saga_database::Rows;
use shared_events::{Service, SystemId};

/// What an audit found.
#[derive(Debug, Default)]
pub struct Report {
    /// How many orders it looked at.
    pub orders: u64,
    /// Of these, how many are under way and not yet past their deadline.
    pub under_way: u64,
    /// How many reservations it looked at, those of clients included.
    pub reservations: u64,
    /// How many payments it looked at, those of clients included.
    pub payments: u64,
    /// How many stock items it looked at.
    pub items: u64,
    /// The system that each service's database belongs to; one that has handled nothing yet may belong to none.
    pub systems: Vec<(Service, Option<SystemId>)>,
    /// Everything that does not hold, a line each.
    pub breaches: Vec<String>,
}

impl Report {
    /// Whether everything holds.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.breaches.is_empty()
    }

    /// Those of `rows` that can be read; one that cannot is a breach.
    pub(super) fn readable<T>(&mut self, what: &str, rows: Rows<i64, T>) -> Vec<T> {
        let mut readable = Vec::with_capacity(rows.len());
        for (number, row) in rows {
            match row {
                Ok(row) => readable.push(row),
                Err(error) => self.breaches.push(format!("{what} {number}: its row cannot be read: {error}")),
            }
        }
        readable
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for breach in &self.breaches {
            writeln!(f, "{breach}")?;
        }
        let Self { orders, under_way, reservations, payments, items, systems, breaches } = self;
        let looked_at = format!(
            "{orders} orders ({under_way} under way), {reservations} reservations, {payments} payments, {items} stock items"
        );
        match breaches.len() {
            0 => writeln!(f, "clean: {looked_at}"),
            1 => writeln!(f, "1 breach in {looked_at}"),
            count => writeln!(f, "{count} breaches in {looked_at}"),
        }?;
        // What has to be known where a database is lost: docs/operations.md.
        let without: Vec<_> =
            systems.iter().filter(|(_, id)| id.is_none()).map(|(service, _)| service.name()).collect();
        let id = systems.iter().find_map(|(_, id)| *id);
        match (id, without.as_slice()) {
            (None, _) => Ok(()),
            (Some(id), []) => writeln!(f, "system id: {id}"),
            (Some(id), without) => {
                writeln!(f, "system id: {id} (not yet in the database of {})", without.join(" and "))
            }
        }
    }
}
