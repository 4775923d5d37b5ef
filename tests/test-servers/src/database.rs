//! Databases for single tests.

use std::{
    env,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    process::Command,
};

use crate::programs::PostgresPrograms;

/// Where a test finds the server: set by the test command.
pub const POSTGRES_URL: &str = "TEST_POSTGRES_URL";

/// The URL of a test's database. The test binary `postgres` gets a database of its own on the test server, made at the
/// first call for `file`; any other gets the SQLite file.
///
/// # Panics
/// Where the server is not there: a test that needs it must not pass.
#[must_use]
pub fn database_url(test_binary: &str, file: &Path) -> String {
    if test_binary != "postgres" {
        return format!("sqlite:{}", file.display());
    }
    let server = env::var(POSTGRES_URL).unwrap_or_else(|_| {
        panic!("{POSTGRES_URL} is not set: run `cargo xtask test`, or `cargo xtask servers` and what it prints")
    });
    let mut hasher = DefaultHasher::new();
    file.hash(&mut hasher);
    let name = format!("test_{}_{:016x}", std::process::id(), hasher.finish());
    let programs = PostgresPrograms::find().expect("the server runs, so its programs are there");
    let mut psql = Command::new(programs.psql);
    psql.args(["--no-psqlrc", "--quiet", "--command", &format!("CREATE DATABASE {name}"), &server]);
    let output = psql.output().expect("psql runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || said.contains("already exists"), "cannot make a database for the test: {said}");
    let (address, _) = server.rsplit_once('/').expect("the URL names a database");
    format!("{address}/{name}")
}
