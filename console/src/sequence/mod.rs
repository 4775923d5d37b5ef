//! The sequence diagram of one order: what happened between the client and the three services, and what is still to
//! come.
//!
//! [`Diagram::of`] makes the steps from what the services' APIs say about the order; [`svg`] draws them, [`list`]
//! writes them as text. All three are pure.

mod build;
mod data;
mod draw;
mod history;
mod in_flight;
mod list;
mod model;
mod rows;
#[cfg(test)]
mod tests;
mod to_come;

pub(crate) use data::{Entry, Line, Order, Payment, RepeatedRequest, Reservation, Saga};
pub(crate) use draw::svg;
pub(crate) use history::History;
pub(crate) use list::list;
pub(crate) use model::Diagram;
