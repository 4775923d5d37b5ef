//! The databases' part: for each service, one connection and the rows that it writes.
//!
//! An order takes four steps in the order service's database (placed; stock reserved; paid, and so confirmed;
//! captured), two in inventory's (held; sold) and two in payment's (authorized; captured). One commit performs one step
//! for every order of a batch, so a batch needs 4 + 2 + 2 commits, which is the minimum. As in the services, events
//! that the broker has confirmed are deleted from the outbox together with the next commit. The services read and lock
//! each row before they write it, but the baseline reads nothing. Rows of the inbox and the outbox are one for each
//! message, which contains one or several events; all other rows are one for each order or event. The services upsert
//! whole rows, but the baseline uses plain updates with constants in the statement.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Result;
use sea_orm::sqlx::{self, Connection as _, PgConnection};
use shared_events::Service;
use uuid::Uuid;

use super::{
    gate::Gate,
    messages::{MINOR_UNITS, encode, lines, now, published_by, sku},
    run::Batch,
};

const INBOX: &str = "INSERT INTO inbox (message_id, received_at) SELECT new, $2 FROM UNNEST($1::uuid[]) AS new
    ON CONFLICT (message_id) DO NOTHING";
const OUTBOX: &str = "INSERT INTO outbox (message_id, routing_key, saga_id, body, created_at)
    SELECT message_id, $4, saga_id, body, $5 FROM UNNEST($1::uuid[], $2::uuid[], $3::text[])
    AS new (message_id, saga_id, body)";
const FORGET: &str = "DELETE FROM outbox WHERE message_id = ANY($1)";

const PLACED: &str =
    "INSERT INTO orders (order_id, saga_id, lines, minor_units, currency, placed_at, changed_at, stock,
        payment, status, wake_at, repeats)
    SELECT order_id, saga_id, lines, $4, 'USD', $5, $5, 'UNKNOWN', 'UNKNOWN', 'PENDING', $5 + 600000000, 0
    FROM UNNEST($1::bigint[], $2::uuid[], $3::text[]) AS new (order_id, saga_id, lines)";
const PLACED_EVENTS: &str =
    "INSERT INTO order_events (order_id, message_id, event, source, happened_at, recorded_at, changed)
    SELECT order_id, message_id, 'OrderCreated', 'order', $3, $3, 'status is PENDING'
    FROM UNNEST($1::bigint[], $2::uuid[]) AS new (order_id, message_id)";
const RESERVED: &str = "UPDATE orders SET stock = 'RESERVED', changed_at = $2 WHERE order_id = ANY($1)";
const RESERVED_EVENTS: &str =
    "INSERT INTO order_events (order_id, message_id, event, source, happened_at, recorded_at, changed)
    SELECT order_id, message_id, 'StockReserved', 'inventory', $3, $3, 'stock is RESERVED'
    FROM UNNEST($1::bigint[], $2::uuid[]) AS new (order_id, message_id)";
const PAID: &str =
    "UPDATE orders SET payment = 'AUTHORIZED', status = 'CONFIRMED', changed_at = $2 WHERE order_id = ANY($1)";
const PAID_EVENTS: &str =
    "INSERT INTO order_events (order_id, message_id, event, source, happened_at, recorded_at, changed)
    SELECT order_id, message_id, 'PaymentAuthorized', 'payment', $4, $4, 'payment is AUTHORIZED, status is CONFIRMED'
    FROM UNNEST($1::bigint[], $2::uuid[]) AS new (order_id, message_id)
    UNION ALL SELECT order_id, message_id, 'OrderConfirmed', 'order', $4, $4, 'status is CONFIRMED'
    FROM UNNEST($1::bigint[], $3::uuid[]) AS new (order_id, message_id)";

const CAPTURED: &str = "UPDATE orders SET capture = 'CAPTURED', wake_at = NULL WHERE order_id = ANY($1)";
const CAPTURED_EVENTS: &str =
    "INSERT INTO order_events (order_id, message_id, event, source, happened_at, recorded_at, changed)
    SELECT order_id, message_id, 'PaymentCaptured', 'payment', $3, $3, 'payment is captured'
    FROM UNNEST($1::bigint[], $2::uuid[]) AS new (order_id, message_id)";

const HELD: &str =
    "INSERT INTO reservations (reservation_id, saga_id, order_id, lines, minor_units, currency, state, made_at,
        changed_at, wake_at, repeats)
    SELECT order_id, saga_id, order_id, lines, $4, 'USD', 'HELD', $5, $5, $5 + 900000000, 0
    FROM UNNEST($1::bigint[], $2::uuid[], $3::text[]) AS new (order_id, saga_id, lines)";
const HOLD: &str = "UPDATE stock_items AS item SET available = available - units, held = held + units
    FROM UNNEST($1::text[], $2::bigint[]) AS new (sku, units) WHERE item.sku = new.sku";
const SOLD: &str =
    "UPDATE reservations SET state = 'SOLD', changed_at = $2, wake_at = NULL WHERE reservation_id = ANY($1)";
const SELL: &str = "UPDATE stock_items AS item SET held = held - units, sold = sold + units
    FROM UNNEST($1::text[], $2::bigint[]) AS new (sku, units) WHERE item.sku = new.sku";

const AUTHORIZED: &str = "INSERT INTO payments (payment_id, saga_id, order_id, minor_units, currency, state, reference,
        created_at, changed_at)
    SELECT order_id, saga_id, order_id, $4, 'USD', 'AUTHORIZED', reference, $5, $5
    FROM UNNEST($1::bigint[], $2::uuid[], $3::text[]) AS new (order_id, saga_id, reference)";
const CAPTURE: &str = "UPDATE payments SET state = 'CAPTURED', changed_at = $2 WHERE payment_id = ANY($1)";

/// Returns the tables of a service, for [`clear`].
fn tables(service: Service) -> &'static str {
    match service {
        Service::Order => "orders, order_events, inbox, outbox",
        Service::Inventory => "reservations, stock_items, inbox, outbox",
        Service::Payment => "payments, inbox, outbox",
    }
}

/// Empties the tables of `service`.
pub(super) async fn clear(url: &str, service: Service) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    // The text consists of literals only.
    let sql = sqlx::AssertSqlSafe(format!("TRUNCATE {} RESTART IDENTITY", tables(service)));
    sqlx::raw_sql(sql).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Puts enough of each SKU in stock.
pub(super) async fn stock(url: &str, skus: u64) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    let sql = "INSERT INTO stock_items (sku, received, available, held, sold)
        SELECT 'SKU-' || number, 1000000000, 1000000000, 0, 0 FROM generate_series(0, $1 - 1) AS number";
    sqlx::query(sql).bind(i64::try_from(skus)?).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Writes the rows of `service` for a batch of orders repeatedly, as the loop `index` of the gate.
pub(super) async fn write(
    url: String,
    service: Service,
    batch: Batch,
    skus: u64,
    index: usize,
    gate: Arc<Gate>,
) -> Result<()> {
    let mut connection = PgConnection::connect(&url).await?;
    // The plans are made while the tables are empty. Without this, they would use sequential scans when the tables have
    // grown.
    sqlx::query("SET enable_seqscan = off").execute(&mut connection).await?;
    let mut writer = Writer::new(connection, service, batch, skus)?;
    let mut number = 0;
    while gate.enter(number).await {
        writer.number(number)?;
        match service {
            Service::Order => writer.order().await?,
            Service::Inventory => writer.inventory().await?,
            Service::Payment => writer.payment().await?,
        }
        gate.done(index);
        number += 1;
    }
    writer.connection.close().await?;
    Ok(())
}

struct Writer {
    connection: PgConnection,
    skus: u64,
    /// Number of events in a message.
    events_per_message: usize,
    /// The bodies of the service's messages, by type of event. Encoded only once, because the database is measured.
    bodies: Vec<Vec<String>>,
    numbers: Vec<i64>,
    sagas: Vec<Uuid>,
    lines: Vec<String>,
    items: Vec<String>,
    units: Vec<i64>,
    /// The messages that count as confirmed at the first commit of the next batch.
    confirmed: Vec<Uuid>,
}

impl Writer {
    fn new(connection: PgConnection, service: Service, batch: Batch, skus: u64) -> Result<Self> {
        let events = published_by(service, batch.orders, skus)?;
        let bodies = events.iter().map(|events| events.chunks(batch.events_per_message).map(encode).collect());
        let bodies = bodies.collect::<Result<_>>()?;
        Ok(Self {
            connection,
            skus,
            events_per_message: batch.events_per_message,
            bodies,
            numbers: vec![0; batch.orders],
            sagas: Vec::new(),
            lines: Vec::new(),
            items: Vec::new(),
            units: Vec::new(),
            confirmed: Vec::new(),
        })
    }

    /// Prepares the orders of the batch with this number.
    fn number(&mut self, batch: u64) -> Result<()> {
        let first = batch * self.numbers.len() as u64;
        let orders = first..first + self.numbers.len() as u64;
        self.numbers = orders.clone().map(|number| Ok(i64::try_from(number)? + 1)).collect::<Result<_>>()?;
        self.sagas = self.new_ids();
        let encoded = orders.clone().map(|number| Ok(serde_json::to_string(&lines(number, self.skus)?)?));
        self.lines = encoded.collect::<Result<_>>()?;
        let mut units = BTreeMap::new();
        orders.for_each(|number| *units.entry(sku(number, self.skus)).or_insert(0) += 1);
        (self.items, self.units) = units.into_iter().unzip();
        Ok(())
    }

    /// Returns a new id for each order of the batch.
    fn new_ids(&self) -> Vec<Uuid> {
        self.numbers.iter().map(|_| Uuid::now_v7()).collect()
    }

    /// Returns a new id for each message with events of the batch's orders.
    fn new_message_ids(&self) -> Vec<Uuid> {
        self.numbers.chunks(self.events_per_message).map(|_| Uuid::now_v7()).collect()
    }

    /// Returns the saga of the first event in each message: the outbox has a column for it.
    fn first_sagas(&self) -> Vec<Uuid> {
        self.sagas.iter().copied().step_by(self.events_per_message).collect()
    }

    async fn order(&mut self) -> Result<()> {
        let (created, reserved, paid, confirmed) = (self.new_ids(), self.new_ids(), self.new_ids(), self.new_ids());
        let (captured, captured_messages) = (self.new_ids(), self.new_message_ids());
        let (created_messages, confirmed_messages) = (self.new_message_ids(), self.new_message_ids());
        let (reserved_messages, paid_messages) = (self.new_message_ids(), self.new_message_ids());
        let first_sagas = self.first_sagas();
        let Self { connection, numbers, sagas, .. } = self;
        let at = now();
        let mut placing = connection.begin().await?;
        let placed = sqlx::query(PLACED).bind(&*numbers).bind(&*sagas).bind(&self.lines);
        placed.bind(MINOR_UNITS).bind(at).execute(&mut *placing).await?;
        sqlx::query(PLACED_EVENTS).bind(&*numbers).bind(&created).bind(at).execute(&mut *placing).await?;
        let outbox = sqlx::query(OUTBOX).bind(&created_messages).bind(&first_sagas).bind(&self.bodies[0]);
        outbox.bind("order.created").bind(at).execute(&mut *placing).await?;
        placing.commit().await?;

        let at = now();
        let mut reserving = connection.begin().await?;
        sqlx::query(INBOX).bind(&reserved_messages).bind(at).execute(&mut *reserving).await?;
        sqlx::query(RESERVED).bind(&*numbers).bind(at).execute(&mut *reserving).await?;
        sqlx::query(RESERVED_EVENTS).bind(&*numbers).bind(&reserved).bind(at).execute(&mut *reserving).await?;
        sqlx::query(FORGET).bind(&created_messages).execute(&mut *reserving).await?;
        reserving.commit().await?;

        let at = now();
        let mut paying = connection.begin().await?;
        sqlx::query(INBOX).bind(&paid_messages).bind(at).execute(&mut *paying).await?;
        sqlx::query(PAID).bind(&*numbers).bind(at).execute(&mut *paying).await?;
        let events = sqlx::query(PAID_EVENTS).bind(&*numbers).bind(&paid).bind(&confirmed);
        events.bind(at).execute(&mut *paying).await?;
        let outbox = sqlx::query(OUTBOX).bind(&confirmed_messages).bind(&first_sagas).bind(&self.bodies[1]);
        outbox.bind("order.confirmed").bind(at).execute(&mut *paying).await?;
        paying.commit().await?;

        let at = now();
        let mut capturing = connection.begin().await?;
        sqlx::query(INBOX).bind(&captured_messages).bind(at).execute(&mut *capturing).await?;
        sqlx::query(CAPTURED).bind(&*numbers).execute(&mut *capturing).await?;
        let events = sqlx::query(CAPTURED_EVENTS).bind(&*numbers).bind(&captured);
        events.bind(at).execute(&mut *capturing).await?;
        sqlx::query(FORGET).bind(&confirmed_messages).execute(&mut *capturing).await?;
        capturing.commit().await?;
        Ok(())
    }

    async fn inventory(&mut self) -> Result<()> {
        let (created, reserved) = (self.new_message_ids(), self.new_message_ids());
        let (confirmed, first_sagas) = (self.new_message_ids(), self.first_sagas());
        let Self { connection, numbers, sagas, items, units, .. } = self;
        let at = now();
        let mut holding = connection.begin().await?;
        sqlx::query(INBOX).bind(&created).bind(at).execute(&mut *holding).await?;
        let held = sqlx::query(HELD).bind(&*numbers).bind(&*sagas).bind(&self.lines);
        held.bind(MINOR_UNITS).bind(at).execute(&mut *holding).await?;
        sqlx::query(HOLD).bind(&*items).bind(&*units).execute(&mut *holding).await?;
        let outbox = sqlx::query(OUTBOX).bind(&reserved).bind(&first_sagas).bind(&self.bodies[0]);
        outbox.bind("stock.reserved").bind(at).execute(&mut *holding).await?;
        holding.commit().await?;

        let at = now();
        let mut selling = connection.begin().await?;
        sqlx::query(INBOX).bind(&confirmed).bind(at).execute(&mut *selling).await?;
        sqlx::query(SOLD).bind(&*numbers).bind(at).execute(&mut *selling).await?;
        sqlx::query(SELL).bind(&*items).bind(&*units).execute(&mut *selling).await?;
        sqlx::query(FORGET).bind(&reserved).execute(&mut *selling).await?;
        selling.commit().await?;
        Ok(())
    }

    async fn payment(&mut self) -> Result<()> {
        let (reserved, authorized) = (self.new_message_ids(), self.new_message_ids());
        let (confirmed, captured) = (self.new_message_ids(), self.new_message_ids());
        let first_sagas = self.first_sagas();
        let references: Vec<String> = self.sagas.iter().map(|saga| format!("sim-{}", saga.simple())).collect();
        let Self { connection, numbers, sagas, .. } = self;
        let at = now();
        let mut paying = connection.begin().await?;
        sqlx::query(INBOX).bind(&reserved).bind(at).execute(&mut *paying).await?;
        let payments = sqlx::query(AUTHORIZED).bind(&*numbers).bind(&*sagas).bind(&references);
        payments.bind(MINOR_UNITS).bind(at).execute(&mut *paying).await?;
        let outbox = sqlx::query(OUTBOX).bind(&authorized).bind(&first_sagas).bind(&self.bodies[0]);
        outbox.bind("payment.authorized").bind(at).execute(&mut *paying).await?;
        sqlx::query(FORGET).bind(&self.confirmed).execute(&mut *paying).await?;
        paying.commit().await?;

        let at = now();
        let mut capturing = connection.begin().await?;
        sqlx::query(INBOX).bind(&confirmed).bind(at).execute(&mut *capturing).await?;
        sqlx::query(CAPTURE).bind(&*numbers).bind(at).execute(&mut *capturing).await?;
        let outbox = sqlx::query(OUTBOX).bind(&captured).bind(&first_sagas).bind(&self.bodies[1]);
        outbox.bind("payment.captured").bind(at).execute(&mut *capturing).await?;
        sqlx::query(FORGET).bind(&authorized).execute(&mut *capturing).await?;
        capturing.commit().await?;
        self.confirmed = captured;
        Ok(())
    }
}
