//! What the services are asked for.

use futures::{StreamExt as _, future::try_join, stream};
use reqwest::Method;
use shared_events::{Timestamp, facts::Status};

use super::waits::{Wait, waits};
use crate::{
    client::{ClientError, ServiceClient},
    live::Sample,
    pages::orders::fetch::{more, saga_of},
    sequence::{Diagram, Order},
    state::AppState,
};

/// How many orders a page shows.
const PAGE_SIZE: usize = 50;
/// Of how many orders the timelines are read at the same time.
const AT_ONCE: usize = 8;

/// A page of the list.
#[derive(Debug)]
pub(super) struct Orders {
    /// Oldest first.
    pub(super) orders: Vec<Order>,
    /// The id behind which the list goes on, if there may be more.
    pub(super) next: Option<i64>,
}

/// An order, and what it waits for, or why that is not known.
pub(super) type Stuck = (Order, Result<Wait, ClientError>);

/// Returns the first orders behind the id `after` that have been open since before `placed_before`.
pub(super) async fn orders(
    service: &ServiceClient,
    placed_before: Timestamp,
    after: Option<i64>,
) -> Result<Orders, ClientError> {
    let list = |status| of_status(service, status, placed_before, after);
    let (pending, compensating) = try_join(list(Status::Pending), list(Status::Compensating)).await?;
    Ok(merge([pending, compensating]))
}

async fn of_status(
    service: &ServiceClient,
    status: Status,
    placed_before: Timestamp,
    after: Option<i64>,
) -> Result<Orders, ClientError> {
    let (limit, before, after) = (PAGE_SIZE.to_string(), placed_before.to_string(), after.map(|id| id.to_string()));
    let mut query = vec![("status", status.as_str()), ("limit", &limit), ("created_before", &before)];
    query.extend(after.as_deref().map(|id| ("after", id)));
    let response = service.succeed(service.request(Method::GET, "/api/v1/orders", &query)).await?;
    let next = more(&response).map(|cursor| cursor.id());
    Ok(Orders { orders: service.body(response).await?, next })
}

/// Joins lists into one. A list that goes on behind an id may have any orders there, so what the other one has behind
/// it is for the next page. An order whose status changed meanwhile may be in both.
fn merge(lists: [Orders; 2]) -> Orders {
    let mut next = lists.iter().filter_map(|list| list.next).min();
    let mut orders: Vec<Order> = lists.into_iter().flat_map(|list| list.orders).collect();
    orders.sort_by_key(|order| order.order_id);
    orders.dedup_by_key(|order| order.order_id);
    orders.retain(|order| next.is_none_or(|last| order.order_id <= last));
    if orders.len() > PAGE_SIZE {
        orders.truncate(PAGE_SIZE);
        next = orders.last().map(|order| order.order_id);
    }
    Orders { orders, next }
}

/// Finds out what each order waits for. Services that did not answer for the sample are not asked.
pub(super) async fn what_they_wait_for(app: &AppState, sample: &Sample, orders: Vec<Order>) -> Vec<Stuck> {
    let wait = async |order: Order| {
        let saga = saga_of(app, order.clone(), |service| sample.of(service).answers()).await;
        (order, saga.map(|found| waits(&Diagram::of(&found.saga.abridged().0))))
    };
    stream::iter(orders).map(wait).buffered(AT_ONCE).collect().await
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(ids: impl IntoIterator<Item = i64>, next: Option<i64>) -> Orders {
        let order = |id: i64| {
            let order = json!({
                "order_id": id, "status": "PENDING", "payment_status": "PENDING", "items": [], "amount": 1,
                "currency": "USD", "created_at": Timestamp::default(), "updated_at": Timestamp::default(),
            });
            serde_json::from_str(&order.to_string()).unwrap()
        };
        Orders { orders: ids.into_iter().map(order).collect(), next }
    }

    #[test]
    fn lists_are_joined_and_nothing_is_left_out_between_pages() {
        for (one, other, ids, next) in [
            (list([], None), list([], None), vec![], None),
            (list([1, 4], None), list([2, 4, 9], None), vec![1, 2, 4, 9], None),
            (list([1, 4], Some(5)), list([2, 6], None), vec![1, 2, 4], Some(5)),
            (list([], Some(10_000)), list([2, 20_000], Some(20_000)), vec![2], Some(10_000)),
            (list(1..=50, Some(50)), list([51], None), (1..=50).collect(), Some(50)),
            (
                list((1..=50).map(|id| 2 * id), None),
                list([1, 3], None),
                (1..=4).chain((3..=48).map(|id| 2 * id)).collect(),
                Some(96),
            ),
        ] {
            let joined = merge([one, other]);
            assert_eq!(joined.orders.iter().map(|order| order.order_id).collect::<Vec<_>>(), ids);
            assert_eq!(joined.next, next);
        }
    }
}
