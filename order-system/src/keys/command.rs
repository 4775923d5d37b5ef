use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use saga_database::tables::api_key;
use saga_support::{MILLISECOND, YEAR, duration};
use service_http::access::{ApiKey, Owner, Scope, Scopes};

use super::{
    changes::{self, Replaced, Status, lifetime},
    databases::{Databases, IfMissing, Location, names},
    print,
};

/// The `keys` command.
#[derive(Debug, Args)]
pub struct Keys {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key, and show it once
    ///
    /// From the first key on, the services want a key for each request, but for those that are public.
    Create(Create),
    /// List the keys, without their secrets
    List {
        #[command(flatten)]
        location: Location,
    },
    /// Make a key like another one, which expires after a while
    Rotate {
        /// Id of the key that is replaced
        #[arg(value_parser = key_id)]
        id: String,
        /// How long the old key is still accepted
        #[arg(long, default_value = "24h", value_parser = duration(Duration::ZERO, YEAR))]
        overlap: Duration,
        #[command(flatten)]
        location: Location,
    },
    /// Refuse keys from now on, for ever; safe to repeat
    Revoke {
        /// Ids of the keys
        #[arg(required = true, value_parser = key_id)]
        ids: Vec<String>,
        #[command(flatten)]
        location: Location,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// Whom the key belongs to. All keys of one owner see and change the same orders and reservations
    #[arg(long)]
    owner: Owner,
    /// What it allows: orders:write, orders:read, stock:write, stock:read, payments:write, payments:read, metrics:read,
    /// or admin for everything. May be given several times, or separated by commas
    #[arg(long = "scope", required = true, value_delimiter = ',')]
    scopes: Vec<Scope>,
    /// What the key is for, as a note for operators
    #[arg(long, default_value = "", hide_default_value = true, value_parser = label)]
    label: String,
    /// When it expires, from now on, such as 90d [default: never]
    #[arg(long, value_parser = duration(MILLISECOND, 100 * YEAR))]
    expires_in: Option<Duration>,
    /// How many requests per second it may send [default: any number]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate_limit: Option<u32>,
    #[command(flatten)]
    location: Location,
}

/// A key that is to be made.
struct New {
    owner: String,
    scopes: String,
    label: String,
    rate_limit: Option<i64>,
    lifetime: Option<Duration>,
}

impl Keys {
    /// Runs the command.
    ///
    /// # Errors
    /// If a database cannot be reached, or there is no such key. The error says what was written.
    pub async fn execute(self) -> Result<ExitCode> {
        match self.action {
            Action::Create(create) => create.execute().await,
            Action::List { location } => list(location.open(IfMissing::Fail).await?).await,
            Action::Rotate { id, overlap, location } => {
                rotate(location.open(IfMissing::Fail).await?, &id, overlap).await
            }
            Action::Revoke { ids, location } => revoke(location.open(IfMissing::Fail).await?, &ids).await,
        }
    }
}

impl Create {
    async fn execute(self) -> Result<ExitCode> {
        let Self { owner, scopes, label, expires_in, rate_limit, location } = self;
        let mut databases = location.open(IfMissing::Create).await?;
        databases.all()?;
        let is_first = changes::read(&databases).await?.is_empty();
        let scopes = scopes.into_iter().collect::<Scopes>().to_string();
        let owner = owner.to_string();
        let new = New { owner, scopes, label, rate_limit: rate_limit.map(i64::from), lifetime: expires_in };
        let (key, row) = new.make(&databases)?;
        changes::store(&databases, &row, None).await?;
        show(&key, &row);
        if is_first {
            eprintln!("It is the first key: from now on, requests without a key are refused.");
        }
        databases.close().await;
        Ok(ExitCode::SUCCESS)
    }
}

impl New {
    fn make(self, databases: &Databases) -> Result<(ApiKey, api_key::Model)> {
        let key = ApiKey::generate().context("the operating system has no random numbers")?;
        let now = now(databases)?;
        let row = api_key::Model {
            label: self.label,
            rate_limit: self.rate_limit,
            expires_at: self.lifetime.map(|lifetime| now.after(lifetime).unix_micros()),
            ..key.row(self.owner, self.scopes, now)
        };
        Ok((key, row))
    }
}

async fn rotate(mut databases: Databases, id: &str, overlap: Duration) -> Result<ExitCode> {
    databases.all()?;
    let now = now(&databases)?;
    let keys = changes::read(&databases).await?;
    let old = keys.iter().find(|key| key.id == id).with_context(|| format!("there is no key {id}"))?;
    for (service, row) in &old.rows {
        let status = Status::of(row.as_ref(), now);
        if status != Status::Valid {
            bail!("the key {id} is {} at {service}: make a new one with `keys create`", status.as_str());
        }
    }
    let old = old.any().context("it is at a service")?;
    let new = New {
        owner: old.owner.clone(),
        scopes: old.scopes.clone(),
        label: old.label.clone(),
        rate_limit: old.rate_limit,
        lifetime: lifetime(old),
    };
    let (key, row) = new.make(&databases)?;
    let expires_at = now.after(overlap);
    changes::store(&databases, &row, Some(Replaced { id, expires_at })).await?;
    show(&key, &row);
    let until = old.expires_at.map_or(expires_at.unix_micros(), |before| before.min(expires_at.unix_micros()));
    eprintln!("The key {id} is accepted until {}.", print::time(until));
    databases.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn revoke(databases: Databases, ids: &[String]) -> Result<ExitCode> {
    for id in ids {
        if changes::revoke(&databases, id).await? {
            println!("{id}: revoked");
        } else if databases.failed.is_empty() {
            bail!("there is no key {id}");
        }
    }
    done(databases, "keys may still be valid there; repeat the command when it can be opened").await
}

async fn list(databases: Databases) -> Result<ExitCode> {
    let (keys, now) = (changes::read(&databases).await?, now(&databases)?);
    if keys.is_empty() && databases.failed.is_empty() {
        println!("no keys: access is open");
    } else {
        print!("{}", print::head());
    }
    for key in &keys {
        print!("{}", print::row(key, now));
    }
    done(databases, "its keys are not listed").await
}

/// Ends a command that goes as far as databases can be opened.
async fn done(mut databases: Databases, consequence: &str) -> Result<ExitCode> {
    let failed = std::mem::take(&mut databases.failed);
    databases.close().await;
    let services = names(failed.iter().map(|(service, _)| service));
    match failed.into_iter().next() {
        None => Ok(ExitCode::SUCCESS),
        Some((_, error)) => Err(error.context(format!("cannot open the database of {services}: {consequence}"))),
    }
}

/// Returns the time that decides which keys have expired: the databases'.
fn now(databases: &Databases) -> Result<shared_events::Timestamp> {
    let (_, database) = databases.open.first().context("there is a database")?;
    Ok(database.clock().now())
}

/// Shows a new key: on standard output nothing else, for scripts.
fn show(key: &ApiKey, row: &api_key::Model) {
    println!("{}", key.reveal());
    let until = row.expires_at.map_or("never expires".to_owned(), |at| format!("expires at {}", print::time(at)));
    eprintln!(
        "The key {} of {} with {} {until}. It is accepted within a second, and is not shown again.",
        row.key_id, row.owner, row.scopes
    );
}

/// Reads the id of a key, also from the key itself.
fn key_id(text: &str) -> Result<String, &'static str> {
    if let Some(key) = ApiKey::parse(text.as_bytes()) {
        return Ok(key.id());
    }
    let id = text.strip_prefix("ck_").unwrap_or(text);
    let is_id = id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_id { Ok(id.to_owned()) } else { Err("must be an id of 16 hexadecimal digits, as `keys list` shows it") }
}

fn label(text: &str) -> Result<String, &'static str> {
    let is_label = text.chars().count() <= 100 && !text.chars().any(char::is_control);
    if is_label { Ok(text.to_owned()) } else { Err("must have at most 100 characters, and no control characters") }
}
