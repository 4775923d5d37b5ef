//! Databases for single tests.

use std::{
    env,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    process::Command,
};

use crate::programs::PostgresPrograms;

/// Name of the environment variable with the server's URL; set by the test command.
pub const POSTGRES_URL: &str = "TEST_POSTGRES_URL";

/// Returns the URL of a test's database. The test binary `postgres` gets a new database on the test server, created at
/// the first call for `file`; any other binary gets the SQLite file.
///
/// # Panics
/// If the server is not available, because a test that needs it must not pass.
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
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() || error.contains("already exists"),
        "cannot make a database for the test: {error}"
    );
    let (address, _) = server.rsplit_once('/').expect("the URL names a database");
    format!("{address}/{name}")
}
