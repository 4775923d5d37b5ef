//! The pages. Each is a file (or folder) here with a constant [`Page`], and one row in [`PAGES`].

mod dead_letters;
mod fields;
mod now;
mod orders;
mod paging;
mod payments;
mod stock;
mod stuck;
mod try_it;

use std::sync::Arc;

use axum::Router;

use crate::state::AppState;

pub(crate) use dead_letters::Redriving;
pub(crate) use orders::{badge, heads, items};
pub(crate) use try_it::Placing;

/// A page of the console.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its path; with `in_navigation`, that of its entry there.
    pub(crate) path: &'static str,
    /// Its title, which is its name in the navigation.
    pub(crate) title: &'static str,
    /// Whether the navigation leads to it.
    pub(crate) in_navigation: bool,
    /// Returns its routes: `path`, and what forms and live parts of it need.
    pub(crate) routes: fn() -> Router<Arc<AppState>>,
}

/// All pages, in the order of the navigation.
pub(crate) static PAGES: &[Page] =
    &[now::PAGE, orders::PAGE, stock::PAGE, payments::PAGE, dead_letters::PAGE, stuck::PAGE, try_it::PAGE];
