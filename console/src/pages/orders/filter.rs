use maud::{Markup, html};
use serde::Deserialize;
use shared_events::facts::Status;

use crate::client::ClientError;

/// What the form asks for. A field that is left empty filters nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    pub(super) order_id: String,
    status: String,
    sku: String,
    idempotency_key: String,
    from: String,
    until: String,
    /// Only what stands behind this order in the list: older orders.
    after: String,
    /// Only what stands directly in front of this order in the list: newer orders.
    before: String,
}

/// Where a page of the list begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pages) enum Cursor {
    /// Older orders than this one.
    After(i64),
    /// Newer orders than this one.
    Before(i64),
}

impl Cursor {
    /// Returns the id of the order where it is.
    pub(in crate::pages) fn id(self) -> i64 {
        match self {
            Self::After(id) | Self::Before(id) => id,
        }
    }
}

impl Filter {
    /// Returns the parameters for the order service.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let from = utc(&self.from);
        let until = utc(&self.until);
        [
            ("status", &self.status),
            ("sku", &self.sku),
            ("idempotency_key", &self.idempotency_key),
            ("created_after", &from),
            ("created_before", &until),
            ("after", &self.after),
            ("before", &self.before),
        ]
        .into_iter()
        .filter(|(_, value)| !value.trim().is_empty())
        .map(|(name, value)| (name, value.clone()))
        .collect()
    }

    /// Returns the cursor of the request.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        let after = self.after.parse().ok().map(Cursor::After);
        after.or_else(|| self.before.parse().ok().map(Cursor::Before))
    }

    /// Returns whether anything is filtered.
    pub(super) fn is_set(&self) -> bool {
        let fields = [&self.order_id, &self.status, &self.sku, &self.idempotency_key, &self.from, &self.until];
        fields.into_iter().any(|field| !field.trim().is_empty())
    }

    /// Returns the address of the page of the same list at another place.
    pub(super) fn link(&self, cursor: Cursor) -> String {
        let fields = [
            ("status", &self.status),
            ("sku", &self.sku),
            ("idempotency_key", &self.idempotency_key),
            ("from", &self.from),
            ("until", &self.until),
        ];
        let (name, id) = match cursor {
            Cursor::After(id) => ("after", id),
            Cursor::Before(id) => ("before", id),
        };
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields.into_iter().filter(|(_, value)| !value.is_empty()))
            .append_pair(name, &id.to_string())
            .finish();
        format!("/orders?{query}")
    }

    /// Returns the form. `error` is why the service refused what was asked for.
    pub(super) fn form(&self, error: Option<&ClientError>) -> Markup {
        let wrong = |name: &str| error.and_then(|error| error.field(name));
        html! {
            form .card .orders-filter method="get" action="/orders" role="search" aria-label="Filter the orders"
                hx-get="/orders" hx-target="#orders" hx-select="#orders" hx-swap="outerHTML" hx-push-url="true" {
                div.row {
                    (input("order_id", "Order", "number", &self.order_id, wrong("order_id")))
                    div {
                        label for="status" { "Status" }
                        select #status name="status" {
                            option value="" { "any" }
                            @for status in Status::ALL {
                                option value=(status) selected[self.status == status.as_str()] { (status) }
                            }
                        }
                        (field_error("status", wrong("status")))
                    }
                    (input("sku", "SKU", "text", &self.sku, wrong("sku")))
                    (input("idempotency_key", "Idempotency key", "text", &self.idempotency_key, wrong("idempotency_key")))
                    (input("from", "Placed from (UTC)", "datetime-local", &self.from, wrong("created_after")))
                    (input("until", "Placed before (UTC)", "datetime-local", &self.until, wrong("created_before")))
                }
                div.actions {
                    button type="submit" { "Filter" }
                    a.button.quiet href="/orders" { "Show all" }
                }
            }
        }
    }
}

fn input(name: &str, label: &str, kind: &str, value: &str, error: Option<&str>) -> Markup {
    let described = error.map(|_| format!("{name}-error"));
    html! {
        div {
            label for=(name) { (label) }
            input id=(name) name=(name) type=(kind) value=(value) min=[(kind == "number").then_some("1")]
                aria-invalid=[error.map(|_| "true")] aria-describedby=[described];
            (field_error(name, error))
        }
    }
}

fn field_error(name: &str, error: Option<&str>) -> Markup {
    html! { @if let Some(error) = error { p.field-error id=(format!("{name}-error")) { (error) } } }
}

/// Returns the time of an input `datetime-local`, which has no zone and may have no seconds, in RFC 3339. A time that
/// was written as such stays as it is.
fn utc(local: &str) -> String {
    let local = local.trim();
    match local.len() {
        0 => String::new(),
        16 => format!("{local}:00Z"),
        19 | 23 => format!("{local}Z"),
        _ => local.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_time_becomes_utc() {
        for (local, text) in [
            ("", ""),
            ("2025-11-22T08:26", "2025-11-22T08:26:00Z"),
            ("2025-11-22T08:26:40", "2025-11-22T08:26:40Z"),
            ("2025-11-22T08:26:40Z", "2025-11-22T08:26:40Z"),
            ("yesterday", "yesterday"),
        ] {
            assert_eq!(utc(local), text);
        }
    }

    #[test]
    fn a_link_keeps_the_filter_and_replaces_the_cursor() {
        let filter = Filter { sku: "A&B".to_owned(), after: "7".to_owned(), ..Filter::default() };
        assert_eq!(filter.link(Cursor::Before(5)), "/orders?sku=A%26B&before=5");
        assert_eq!(filter.cursor(), Some(Cursor::After(7)));
    }
}
