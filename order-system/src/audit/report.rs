use std::fmt::{self, Display};

use saga_database::Rows;
use shared_events::{Service, SystemId};

use super::gateway::Compared;

/// The result of an audit.
#[derive(Debug, Default)]
pub struct Report {
    /// Number of orders.
    pub orders: u64,
    /// How many of them have not ended and are not yet past their deadline, or wait for the capture of their payment.
    pub unfinished: u64,
    /// Number of refunds.
    pub refunds: u64,
    /// How many of them have not ended.
    pub unfinished_refunds: u64,
    /// Number of reservations, including those that clients made directly.
    pub reservations: u64,
    /// Number of payments, including those that clients made directly.
    pub payments: u64,
    /// Number of stock items.
    pub items: u64,
    /// The system that each service's database belongs to. A database that has handled nothing yet may belong to none.
    pub systems: Vec<(Service, Option<SystemId>)>,
    /// All violations within the databases, one line each.
    pub breaches: Vec<String>,
    /// The comparison with the payment gateway; `None` if it remembers nothing.
    pub gateway: Option<Compared>,
}

impl Report {
    /// Returns whether there are no violations.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.breaches.is_empty() && self.gateway.as_ref().is_none_or(Compared::is_clean)
    }

    /// Returns all violations. Money that nobody accounts for comes first.
    fn violations(&self) -> impl Iterator<Item = &String> {
        let of_gateway = |lines: fn(&Compared) -> &[String]| self.gateway.iter().flat_map(lines);
        let unaccounted = of_gateway(|compared| &compared.unaccounted);
        unaccounted.chain(&self.breaches).chain(of_gateway(|compared| &compared.differences))
    }

    /// Says with what the payments were compared.
    fn comparison(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Compared { payments, since, stopped, .. }) = &self.gateway else {
            return writeln!(
                f,
                "payment gateway: not compared; the simulated one remembers nothing (see --payment-gateway)"
            );
        };
        write!(f, "payment gateway: {payments} payments compared")?;
        if let Some(since) = since {
            write!(f, ", only those of the last {}", humantime::format_duration(*since))?;
        }
        match stopped {
            None => writeln!(f),
            Some(reason) => writeln!(f, ", NOT ALL: {reason}"),
        }
    }

    /// Returns the rows that can be read, and records a breach for each of the others.
    pub(super) fn readable<K: Display, T>(&mut self, what: &str, rows: Rows<K, T>) -> Vec<T> {
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

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in self.violations() {
            writeln!(f, "{violation}")?;
        }
        let Self { orders, unfinished, refunds, unfinished_refunds, reservations, payments, items, systems, .. } = self;
        let of_refunds = match refunds {
            0 => String::new(),
            _ => format!("{refunds} refunds ({unfinished_refunds} under way), "),
        };
        let looked_at = format!(
            "{orders} orders ({unfinished} under way), {of_refunds}{reservations} reservations, {payments} payments, \
             {items} stock items"
        );
        match self.violations().count() {
            0 if self.is_clean() => writeln!(f, "clean: {looked_at}"),
            1 => writeln!(f, "1 breach in {looked_at}"),
            count => writeln!(f, "{count} breaches in {looked_at}"),
        }?;
        self.comparison(f)?;
        // An operator needs the system id if a database is lost: docs/operations.md.
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
