//! What the services have stored.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    time::Duration,
};

use anyhow::{Result, bail};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use tokio::time::{Instant, interval};

/// The databases of the services.
#[derive(Debug)]
pub struct Stores(Vec<(String, DatabaseConnection)>);

/// The content of all tables: the number of rows, and a hash of them.
pub type Content = BTreeMap<String, (i64, u64)>;

/// How long the services may take until they write nothing any more.
const LIMIT: Duration = Duration::from_secs(120);

impl Stores {
    /// Opens the SQLite files in a data directory, for reading.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub async fn of_directory(directory: &Path) -> Result<Self> {
        let mut stores = Vec::new();
        for service in ["order", "inventory", "payment"] {
            let path = directory.join(format!("{service}.sqlite"));
            stores.push((service.to_owned(), Database::connect(format!("sqlite://{}?mode=ro", path.display())).await?));
        }
        Ok(Self(stores))
    }

    /// Opens the databases with these names and URLs.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub async fn at(urls: Vec<(String, String)>) -> Result<Self> {
        let mut stores = Vec::new();
        for (service, url) in urls {
            stores.push((service, Database::connect(url).await?));
        }
        Ok(Self(stores))
    }

    /// Waits until nothing changes any more, and returns the content.
    ///
    /// # Errors
    /// If a database cannot be read, or its content still changes after two minutes.
    pub async fn settled(&self) -> Result<Content> {
        let deadline = Instant::now() + LIMIT;
        let mut polls = interval(Duration::from_millis(150));
        polls.tick().await;
        let mut before = self.content().await?;
        loop {
            polls.tick().await;
            let now = self.content().await?;
            if now == before && now.iter().all(|(table, (rows, _))| !table.ends_with(".outbox") || *rows == 0) {
                return Ok(now);
            }
            if Instant::now() > deadline {
                bail!("the content still changes after {LIMIT:?}: {}", difference(&before, &now));
            }
            before = now;
        }
    }

    async fn content(&self) -> Result<Content> {
        let mut content = Content::new();
        for (service, database) in &self.0 {
            for table in tables(database).await? {
                content.insert(format!("{service}.{table}"), rows(database, &table).await?);
            }
        }
        Ok(content)
    }
}

/// Returns the tables whose content differs, with the numbers of rows.
#[must_use]
pub(super) fn difference(before: &Content, now: &Content) -> String {
    let changed = now.iter().filter(|(table, content)| before.get(*table) != Some(content));
    let shown = changed.map(|(table, (rows, _))| {
        format!("{table} had {} rows and has {rows}", before.get(table).map_or(0, |(rows, _)| *rows))
    });
    shown.collect::<Vec<_>>().join("; ")
}

async fn texts(database: &DatabaseConnection, sql: String) -> Result<Vec<String>> {
    let rows = database.query_all_raw(Statement::from_string(database.get_database_backend(), sql)).await?;
    Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
}

async fn tables(database: &DatabaseConnection) -> Result<Vec<String>> {
    let sql = match database.get_database_backend() {
        DbBackend::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
        _ => "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
    };
    let mut tables = texts(database, sql.to_owned()).await?;
    // It has a row for each request that changes something if it is carried out, also if that is refused then.
    tables.retain(|table| table != "audit_log");
    Ok(tables)
}

async fn rows(database: &DatabaseConnection, table: &str) -> Result<(i64, u64)> {
    let sql = if database.get_database_backend() == DbBackend::Sqlite {
        let columns = texts(database, format!("SELECT name FROM pragma_table_info('{table}')")).await?;
        let columns: Vec<_> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
        format!("SELECT {} FROM \"{table}\"", columns.join(" || ',' || "))
    } else {
        format!("SELECT \"{table}\"::text FROM \"{table}\"")
    };
    let rows = texts(database, sql).await?;
    // The sum does not depend on the order of the rows.
    let hash = |row: &String| {
        let mut hasher = DefaultHasher::new();
        row.hash(&mut hasher);
        hasher.finish()
    };
    Ok((i64::try_from(rows.len())?, rows.iter().map(hash).fold(0, u64::wrapping_add)))
}
