use std::{collections::HashMap, fmt, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use inventory::domain::{ReservationId, State as ReservationState};
use order::domain::Refund;
use payment::domain::PaymentId;
use saga_database::{
    Database, DatabaseArgs, system_id,
    tables::{dead_letter, outbox},
};
use sea_orm::{DatabaseConnection, EntityTrait, PaginatorTrait};
use shared_events::{OrderId, SagaId, Service, Sku};
use tokio::time::{Instant, interval};

use super::{
    Report,
    gateway::{Compared, Comparison, GatewayArgs, compare},
    refunds,
    rules::{self, Counts},
};
use crate::data_dir::DataDir;

/// How many rows are read per page.
const PAGE: u64 = 1_000;
/// Interval at which unfinished orders are checked again.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The three databases, open for reading.
struct Databases {
    order: Database,
    inventory: Database,
    payment: Database,
}

/// Audits the SQLite files of a data directory. If orders are unfinished, first waits for them, for at most `wait`.
/// Then compares the payments with the gateway, if it remembers them. The system may be running.
///
/// # Errors
/// If there is no data, it cannot be read, or a setting of the gateway is wrong.
pub async fn of_data_dir(data_dir: &Path, wait: Duration, gateway: &GatewayArgs) -> Result<Report> {
    let open = async |service| {
        let file = DataDir::database_file(data_dir, service);
        if !file.exists() {
            bail!("there is no {}: nothing ran on this data directory yet", file.display());
        }
        Ok(Database::open_sqlite_for_reading(&file).await?)
    };
    audit(open, wait, gateway).await
}

/// Audits the databases of three services on a server, like [`of_data_dir`].
///
/// # Errors
/// If they cannot be read, or a setting of the gateway is wrong.
pub async fn of_databases(args: &DatabaseArgs, wait: Duration, gateway: &GatewayArgs) -> Result<Report> {
    audit(async |service| Ok(args.for_service(service.name())?.open_for_reading().await?), wait, gateway).await
}

async fn audit(
    open: impl AsyncFn(Service) -> Result<Database>,
    wait: Duration,
    gateway: &GatewayArgs,
) -> Result<Report> {
    let comparison = gateway.comparison()?;
    let databases = Databases {
        order: open(Service::Order).await?,
        inventory: open(Service::Inventory).await?,
        payment: open(Service::Payment).await?,
    };
    let deadline = Instant::now() + wait;
    let mut report = loop {
        databases.wait_until_at_rest(deadline).await?;
        let report = databases.audit().await.context("cannot read the data")?;
        // A breach may be temporary: a message that has left its outbox waits in a queue, which the audit does not see.
        if report.is_clean() || Instant::now() >= deadline {
            break report;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    if let Some(comparison) = comparison {
        report.gateway = Some(databases.compare(&comparison, report.payments).await?);
    }
    databases.close().await;
    Ok(report)
}

impl Databases {
    fn all(&self) -> [(Service, DatabaseConnection); 3] {
        [
            (Service::Order, self.order.reader()),
            (Service::Inventory, self.inventory.reader()),
            (Service::Payment, self.payment.reader()),
        ]
    }

    async fn close(self) {
        for database in [self.order, self.inventory, self.payment] {
            database.close().await;
        }
    }

    /// Waits until all events are published, and all orders have ended and those that are confirmed are captured.
    async fn wait_until_at_rest(&self, deadline: Instant) -> Result<()> {
        let mut ticks = interval(POLL_INTERVAL);
        loop {
            ticks.tick().await;
            let mut unfinished = order::store::count_unfinished(&self.order.reader()).await?;
            unfinished += order::store::refunds::count_unfinished(&self.order.reader()).await?;
            for (_, connection) in self.all() {
                unfinished += outbox::Entity::find().count(&connection).await?;
            }
            if unfinished == 0 || Instant::now() >= deadline {
                return Ok(());
            }
        }
    }

    /// Compares the payments with the gateway. Reports the progress on standard error, so that the report stays alone.
    async fn compare(&self, comparison: &Comparison, payments: u64) -> Result<Compared> {
        let progress = |text: fmt::Arguments<'_>| eprintln!("order-system: {text}");
        compare(&self.payment, comparison, payments, &progress).await
    }

    async fn audit(&self) -> Result<Report> {
        let mut report = Report::default();
        for (service, database) in
            [(Service::Order, &self.order), (Service::Inventory, &self.inventory), (Service::Payment, &self.payment)]
        {
            report.systems.push((service, system_id(database).await?));
        }
        report.breaches.extend(rules::of_systems(&report.systems));
        for (service, connection) in self.all() {
            let unpublished = outbox::Entity::find().count(&connection).await?;
            if unpublished > 0 {
                report.breaches.push(format!("{service}: {unpublished} messages are not published"));
            }
            let count = dead_letter::Entity::find().count(&connection).await?;
            if count > 0 {
                report.breaches.push(format!("{service}: {count} messages are dead letters"));
            }
        }
        self.audit_orders(&mut report).await?;
        self.audit_inventory(&mut report).await?;
        self.audit_payments(&mut report).await?;
        Ok(report)
    }

    async fn audit_orders(&self, report: &mut Report) -> Result<()> {
        let mut after = OrderId(0);
        loop {
            let rows = order::store::all(&self.order.reader(), after, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = OrderId(*last);
            let orders = report.readable("order", rows);
            let sagas: Vec<SagaId> = orders.iter().map(|order| order.saga_id).collect();
            let reservations = inventory::store::of_sagas(&self.inventory.reader(), &sagas).await?;
            let reservations: HashMap<_, _> =
                reservations.into_iter().filter_map(|one| Some((one.saga_id()?, one))).collect();
            let payments = payment::store::of_sagas(&self.payment.reader(), &sagas).await?;
            let payments: HashMap<_, _> = payments.into_iter().filter_map(|one| Some((one.saga_id()?, one))).collect();
            let mut refunds_of: HashMap<OrderId, Vec<Refund>> = HashMap::new();
            let rows = order::store::refunds::each_of_orders(&self.order.reader(), orders.iter()).await?;
            for refund in report.readable("refund", rows) {
                report.refunds += 1;
                report.unfinished_refunds += u64::from(!refund.has_ended());
                refunds_of.entry(refund.order.order_id).or_default().push(refund);
            }
            let now = self.order.clock().now();
            for order in orders {
                report.orders += 1;
                report.unfinished += u64::from(!order.status().is_terminal() || order.facts.awaits_capture());
                let (reservation, payment) = (reservations.get(&order.saga_id), payments.get(&order.saga_id));
                let of_order = refunds_of.remove(&order.details.order_id).unwrap_or_default();
                let of_refunds = refunds::of_refunds(&order, &of_order, reservation, payment);
                for breach in rules::of_order(&order, reservation, payment, now).into_iter().chain(of_refunds) {
                    report.breaches.push(format!("order {} ({}): {breach}", order.details.order_id, order.status()));
                }
            }
        }
    }

    async fn audit_inventory(&self, report: &mut Report) -> Result<()> {
        // Units that the reservations hold, and have sold and not taken back, by SKU.
        let mut sums: HashMap<Sku, (i64, i64)> = HashMap::new();
        let mut after = ReservationId(0);
        loop {
            let rows = inventory::store::all_reservations(&self.inventory.reader(), None, None, after, PAGE).await?;
            let Some((last, _)) = rows.last() else { break };
            after = ReservationId(*last);
            let reservations = report.readable("reservation", rows);
            report.reservations += reservations.len() as u64;
            for line in reservations.iter().flat_map(|one| one.lines().map(move |line| (&one.state, line))) {
                let (state, line) = line;
                let (held, sold) = sums.entry(line.sku.clone()).or_default();
                match state {
                    ReservationState::Held => *held += line.quantity.units(),
                    ReservationState::Sold => *sold += line.quantity.units(),
                    _ => {}
                }
            }
            for line in reservations.iter().flat_map(|one| &one.returns).flat_map(|back| back.lines.iter()) {
                sums.entry(line.sku.clone()).or_default().1 -= line.quantity.units();
            }
            let live =
                reservations.iter().filter(|one| matches!(one.state, ReservationState::Held | ReservationState::Sold));
            let sagas: Vec<_> = live.filter_map(|one| Some((one.saga_id()?, one.id))).collect();
            for id in self.without_an_order(sagas).await? {
                report.breaches.push(format!("reservation {}: its order does not exist", id.0));
            }
        }
        let mut after = String::new();
        loop {
            let items = inventory::store::all_items(&self.inventory.reader(), &after, PAGE).await?;
            let Some(last) = items.last() else { return Ok(()) };
            after.clone_from(&last.sku);
            for item in items {
                report.items += 1;
                let counts =
                    Counts { received: item.received, available: item.available, held: item.held, sold: item.sold };
                let (held, sold) = Sku::parse(&item.sku).ok().and_then(|sku| sums.remove(&sku)).unwrap_or_default();
                for breach in rules::of_item(counts, held, sold) {
                    report.breaches.push(format!("stock of {}: {breach}", item.sku));
                }
            }
        }
    }

    async fn audit_payments(&self, report: &mut Report) -> Result<()> {
        let mut after = PaymentId(0);
        loop {
            let rows = payment::store::all(&self.payment.reader(), after, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = PaymentId(*last);
            let payments = report.readable("payment", rows);
            report.payments += payments.len() as u64;
            let live = payments.iter().filter(|one| one.is_authorized());
            let sagas: Vec<_> = live.filter_map(|one| Some((one.saga_id()?, one.payment_id))).collect();
            for id in self.without_an_order(sagas).await? {
                report.breaches.push(format!("payment {}: its order does not exist", id.0));
            }
        }
    }

    /// Returns the ids of those whose saga belongs to no order.
    async fn without_an_order<I>(&self, of_sagas: Vec<(SagaId, I)>) -> Result<Vec<I>> {
        let sagas: Vec<SagaId> = of_sagas.iter().map(|(saga, _)| *saga).collect();
        let known = order::store::known_sagas(&self.order.reader(), &sagas).await?;
        Ok(of_sagas.into_iter().filter(|(saga, _)| !known.contains(saga)).map(|(_, id)| id).collect())
    }
}
