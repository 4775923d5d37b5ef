//! Fills the databases with a history of ended orders, copied from rows that the system itself has written.

use std::thread;

use anyhow::{Result, ensure};
use shared_events::Service;
use test_servers::Postgres;
use testkit::stack::Stack;
use tokio::task::block_in_place;

/// Maximum number of orders that are copied.
const PATTERNS: u64 = 10_000;

/// The range of orders that are copied: the last ones.
#[derive(Debug, Clone, Copy)]
struct Patterns {
    first: i64,
    last: i64,
}

/// Fills the databases up to `orders` ended orders while no service runs. Each copy of an order has a new number, and
/// new ids that are as far in the past as the copy is old, so that new orders are appended at the right end of each
/// index, as in a history that has grown. The stock does not account for what the copies sold, so run the audit before.
/// Returns the total number of orders.
pub(crate) fn fill(stack: &Stack, orders: u64) -> Result<i64> {
    let query = |sql: &str| -> Result<i64> {
        Ok(block_in_place(|| stack.postgres.psql(Service::Order.name(), sql))?.trim().parse()?)
    };
    let unfinished = query("SELECT count(*) FROM orders WHERE wake_at IS NOT NULL")?;
    ensure!(unfinished == 0, "{unfinished} orders have not ended, or are not captured");
    let (count, last) = (query("SELECT count(*) FROM orders")?, query("SELECT max(order_id) FROM orders")?);
    let patterns = i64::try_from(PATTERNS)?.min(count);
    let first =
        query(&format!("SELECT min(order_id) FROM (SELECT order_id FROM orders ORDER BY 1 DESC LIMIT {patterns}) a"))?;
    let copies = (i64::try_from(orders)? - count).max(0) / patterns;
    let patterns = Patterns { first, last };
    block_in_place(|| {
        thread::scope(|scope| {
            let databases = Service::ALL.map(|service| {
                let postgres = &stack.postgres;
                scope.spawn(move || multiply(postgres, service, patterns, copies))
            });
            databases
                .into_iter()
                .try_for_each(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        stack.postgres.psql("postgres", "CHECKPOINT")
    })?;
    query("SELECT count(*) FROM orders")
}

fn multiply(postgres: &Postgres, service: Service, patterns: Patterns, copies: i64) -> Result<()> {
    let statements = match service {
        Service::Order => vec![orders(patterns, copies), order_events(patterns, copies), inbox(patterns, copies, 3)],
        Service::Inventory => vec![reservations(patterns, copies), inbox(patterns, copies, 2)],
        Service::Payment => vec![payments(patterns, copies), inbox(patterns, copies, 2)],
    };
    // Each statement in a separate call, because a single call would run them in one transaction.
    postgres.psql(service.name(), MOVED)?;
    for statement in statements {
        postgres.psql(service.name(), &statement)?;
    }
    postgres.psql(service.name(), "DROP FUNCTION moved")?;
    postgres.psql(service.name(), "VACUUM ANALYZE").map(drop)
}

/// How far back the copies reach, in seconds: less than the retention of the inbox (a day), because a system that has
/// run for so long has forgotten older ids.
const SPAN: i64 = 20 * 60 * 60;

/// Returns a UUIDv7 that is this number of seconds older: its first 48 bits are the milliseconds since 1970.
const MOVED: &str =
    "CREATE FUNCTION moved(id uuid, seconds bigint) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint - seconds * 1000), 12, '0')
        || substr(replace(id::text, '-', ''), 13))::uuid $$";

impl Patterns {
    /// Distance between the order numbers of one copy and the next.
    fn distance(self) -> i64 {
        self.last - self.first + 1
    }

    fn chosen(self) -> String {
        format!("order_id BETWEEN {} AND {}", self.first, self.last)
    }
}

fn copied(copies: i64) -> String {
    // Oldest first.
    let step = SPAN / (copies + 1);
    format!("(SELECT copy, ({copies} + 1 - copy) * {step} AS age FROM generate_series(1, {copies}) AS copy) AS copies")
}

fn orders(patterns: Patterns, copies: i64) -> String {
    let (distance, chosen, copied) = (patterns.distance(), patterns.chosen(), copied(copies));
    format!(
        "INSERT INTO orders (order_id, saga_id, lines, minor_units, currency, placed_at, changed_at, stock,
             stock_reason, payment, payment_reason, cancel, capture, status, wake_at, repeats)
         SELECT order_id + {distance} * copy, moved(saga_id, age), lines, minor_units, currency,
             placed_at, changed_at, stock, stock_reason, payment, payment_reason, cancel, capture, status, wake_at,
             repeats
         FROM {copied} CROSS JOIN (SELECT * FROM orders WHERE {chosen} ORDER BY order_id) AS pattern;
         SELECT setval(pg_get_serial_sequence('orders', 'order_id'), (SELECT max(order_id) FROM orders))"
    )
}

fn order_events(patterns: Patterns, copies: i64) -> String {
    let (distance, chosen, copied) = (patterns.distance(), patterns.chosen(), copied(copies));
    format!(
        "INSERT INTO order_events (order_id, message_id, event, source, happened_at, recorded_at, changed)
         SELECT order_id + {distance} * copy, moved(message_id, age), event, source, happened_at,
             recorded_at, changed
         FROM {copied} CROSS JOIN (SELECT * FROM order_events WHERE {chosen} ORDER BY order_id) AS pattern"
    )
}

fn reservations(patterns: Patterns, copies: i64) -> String {
    let (distance, chosen, copied) = (patterns.distance(), patterns.chosen(), copied(copies));
    // Reservation ids come from the sequence, which advances by itself.
    format!(
        "INSERT INTO reservations (saga_id, order_id, lines, minor_units, currency, state, reason, item_sku, made_at,
             changed_at, wake_at, repeats)
         SELECT moved(saga_id, age), order_id + {distance} * copy, lines, minor_units, currency, state,
             reason, item_sku, made_at, changed_at, wake_at, repeats
         FROM {copied} CROSS JOIN (SELECT * FROM reservations WHERE {chosen} ORDER BY order_id) AS pattern"
    )
}

fn payments(patterns: Patterns, copies: i64) -> String {
    let (distance, chosen, copied) = (patterns.distance(), patterns.chosen(), copied(copies));
    format!(
        "INSERT INTO payments (saga_id, order_id, minor_units, currency, state, reason, reference, created_at,
             changed_at)
         SELECT moved(saga_id, age), order_id + {distance} * copy, minor_units, currency, state, reason,
             reference, created_at, changed_at
         FROM {copied} CROSS JOIN (SELECT * FROM payments WHERE {chosen} ORDER BY order_id) AS pattern"
    )
}

/// Copies the latest inbox rows, as many as confirmed orders add.
fn inbox(patterns: Patterns, copies: i64, each: i64) -> String {
    let (rows, copied) = (patterns.distance() * each, copied(copies));
    format!(
        "INSERT INTO inbox (message_id, received_at) SELECT moved(message_id, age), received_at
         FROM {copied} CROSS JOIN (SELECT * FROM inbox ORDER BY message_id DESC LIMIT {rows}) AS pattern"
    )
}
