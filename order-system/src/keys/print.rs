//! Formats keys for a terminal, without their secrets.

use saga_database::tables::api_key;
use shared_events::Timestamp;

use super::{
    changes::{KeyAtServices, Status},
    databases::names,
};
use crate::dead_letters::visible;

pub(super) fn head() -> String {
    line(["ID", "STATUS", "OWNER", "SCOPES", "CREATED", "EXPIRES", "RATE/S", "LABEL"])
}

pub(super) fn row(key: &KeyAtServices, now: Timestamp) -> String {
    let Some(any) = key.any() else { return String::new() };
    let api_key::Model { owner, scopes, label, rate_limit, created_at, expires_at, .. } = any;
    line([
        &key.id,
        &status(key, now),
        &visible(owner),
        &visible(&scopes.replace(' ', ",")),
        &time(*created_at),
        &expires_at.map_or("never".to_owned(), time),
        &rate_limit.map_or("-".to_owned(), |limit| limit.to_string()),
        &visible(label),
    ])
}

/// Returns the status, or that of each service if a change was interrupted.
fn status(key: &KeyAtServices, now: Timestamp) -> String {
    let of_all: Vec<_> = key.rows.iter().map(|(service, row)| (service, Status::of(row.as_ref(), now))).collect();
    match of_all.first() {
        Some((_, first)) if of_all.iter().all(|(_, status)| status == first) => first.as_str().to_owned(),
        _ => names(of_all.iter().map(|(service, status)| format!("{service}: {}", status.as_str()))),
    }
}

/// Without fractions of a second.
pub(super) fn time(unix_micros: i64) -> String {
    let text = Timestamp::from_unix_micros(unix_micros).to_string();
    format!("{}Z", text.split('.').next().unwrap_or(&text).trim_end_matches('Z'))
}

fn line([id, status, owner, scopes, created, expires, rate, label]: [&str; 8]) -> String {
    let line =
        format!("{id:<16}  {status:<7}  {owner:<16}  {scopes:<24}  {created:<20}  {expires:<20}  {rate:>6}  {label}");
    format!("{}\n", line.trim_end())
}
