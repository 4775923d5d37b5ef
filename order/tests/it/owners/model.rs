//! What each caller may see, by a model without a database.

use std::collections::BTreeMap;

use serde_json::Value;
use testkit::service::Answer;

/// Who calls: two customers and an admin.
pub(super) const CALLERS: usize = 3;
/// The caller that sees all orders.
pub(super) const ADMIN: usize = 2;

/// An order that the test has placed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) id: i64,
    /// The caller that has placed it.
    pub(super) owner: usize,
    pub(super) key: Option<u8>,
    pub(super) quantity: i64,
    pub(super) cancelled: bool,
}

/// What the response to a request for an order has to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Placing {
    New,
    Replayed(i64),
    Refused,
}

/// The orders of one sequence, and every change of them.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) orders: Vec<Placed>,
    /// The owner, the id and the version after each change.
    pub(super) changes: Vec<(usize, i64, i64)>,
}

/// The filters of a list.
#[derive(Debug, Clone)]
pub(super) struct Filters {
    pub(super) owner: Option<usize>,
    pub(super) cancelled: Option<bool>,
    pub(super) key: Option<u8>,
    /// Only ids behind this one, and only those in front of that one.
    pub(super) between: (i64, i64),
}

impl Model {
    pub(super) fn sees(caller: usize, order: &Placed) -> bool {
        caller == ADMIN || caller == order.owner
    }

    pub(super) fn visible(&self, caller: usize, id: i64) -> Option<&Placed> {
        self.orders.iter().find(|order| order.id == id && Self::sees(caller, order))
    }

    pub(super) fn placing(&self, caller: usize, key: Option<u8>, quantity: i64) -> Placing {
        let same = |order: &&Placed| order.owner == caller && key.is_some() && order.key == key;
        match self.orders.iter().find(same) {
            None => Placing::New,
            Some(order) if order.quantity == quantity => Placing::Replayed(order.id),
            Some(_) => Placing::Refused,
        }
    }

    pub(super) fn placed(&mut self, order: Placed) {
        assert!(self.orders.iter().all(|other| other.id < order.id), "{order:?} has the id of another");
        self.changes.push((order.owner, order.id, 1));
        self.orders.push(order);
    }

    pub(super) fn cancelled(&mut self, id: i64) {
        let order = self.orders.iter_mut().find(|order| order.id == id && !order.cancelled);
        if let Some(order) = order {
            order.cancelled = true;
            self.changes.push((order.owner, id, 2));
        }
    }

    /// The ids in a caller's list, ascending.
    pub(super) fn list(&self, caller: usize, filters: &Filters) -> Vec<i64> {
        let (above, below) = filters.between;
        let listed = self.orders.iter().filter(|order| {
            Self::sees(caller, order)
                && filters.owner.is_none_or(|owner| owner == order.owner)
                && filters.cancelled.is_none_or(|cancelled| cancelled == order.cancelled)
                && filters.key.is_none_or(|key| order.key == Some(key))
                && above < order.id
                && order.id < below
        });
        listed.map(|order| order.id).collect()
    }

    /// The changes that a caller's stream has to have, in their order.
    pub(super) fn stream(&self, caller: usize) -> Vec<(i64, i64)> {
        let seen = self.changes.iter().filter(|(owner, ..)| caller == ADMIN || caller == *owner);
        seen.map(|&(_, id, version)| (id, version)).collect()
    }
}

/// Everything that a refusal tells, without the path that it repeats: of what may not be seen and of what does not
/// exist it is the same.
pub(super) fn refusal(mut answer: Answer) -> (u16, BTreeMap<String, String>, Value) {
    answer.body.as_object_mut().unwrap_or_else(|| panic!("no problem")).remove("instance");
    let different = ["date", "content-length"];
    let headers = answer.headers.iter().filter(|(name, _)| !different.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (answer.status, headers.collect(), answer.body)
}
