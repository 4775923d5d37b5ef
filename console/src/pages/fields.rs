//! Fields of forms, and what is wrong with them.

use maud::{Markup, Render, html};
use shared_events::Service;

use super::Page;
use crate::client::{ClientError, FieldError};

/// Renders the form of a page that asks for those rows that have this in `field`. `label` names the form.
pub(super) fn filter(page: Page, label: &str, field: &Field) -> Markup {
    html! {
        form.card method="get" action=(page.path) role="search" aria-label=(label) {
            (field)
            div.actions {
                button type="submit" { "Filter" }
                a.button.quiet href=(page.path) { "Show all" }
            }
        }
    }
}

/// An input of a form with its label, and what is wrong with it.
pub(super) struct Field<'a> {
    name: &'a str,
    label: &'a str,
    value: &'a str,
    inputmode: &'a str,
    required: bool,
    error: Option<&'a str>,
}

impl<'a> Field<'a> {
    /// An input for text.
    pub(super) fn text(name: &'a str, label: &'a str, value: &'a str) -> Self {
        Self { name, label, value, inputmode: "text", required: true, error: None }
    }

    /// An input for a number. What is no number is refused by the server, with a message beside the input.
    pub(super) fn number(name: &'a str, label: &'a str, value: &'a str) -> Self {
        Self { inputmode: "decimal", ..Self::text(name, label, value) }
    }

    /// It may stay empty.
    pub(super) fn optional(self) -> Self {
        Self { required: false, ..self }
    }

    pub(super) fn with_error(self, error: Option<&'a str>) -> Self {
        Self { error, ..self }
    }
}

impl Render for Field<'_> {
    fn render(&self) -> Markup {
        let Self { name, label, value, inputmode, required, error } = *self;
        let described_by = error.map(|_| format!("{name}-error"));
        html! {
            div {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(value) inputmode=(inputmode) required[required] autocomplete="off"
                    aria-invalid=[error.map(|_| "true")] aria-describedby=[&described_by];
                @if let (Some(error), Some(id)) = (error, &described_by) {
                    p.field-error id=(id) { (label) " " (error) }
                }
            }
        }
    }
}

/// Returns the refusal that the service would give, for what the console cannot even send to it.
pub(super) fn refusal(service: Service, field: &str, detail: &str) -> ClientError {
    let fields = vec![FieldError { field: field.to_owned(), detail: detail.to_owned() }];
    ClientError::Refused { service, status: 422, detail: format!("{field}: {detail}"), fields }
}

/// Returns the id of the order that was typed; `None` if nothing was.
///
/// # Errors
/// If it is no whole number. The refusal names the field `order_id`.
pub(super) fn order_id(service: Service, typed: &str) -> Result<Option<i64>, ClientError> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(None);
    }
    typed.parse().map(Some).map_err(|_| refusal(service, "order_id", "must be a whole number"))
}
