//! Databases for single tests.

use std::{
    env,
    hash::{BuildHasher as _, RandomState},
    process::{self, Command},
};

use crate::programs::PostgresPrograms;

/// The environment variable with the address of the test server; the test command sets it.
pub const POSTGRES_URL: &str = "TEST_POSTGRES_URL";

/// Creates an empty database on the test server, and returns its URL.
///
/// # Panics
/// If there is no server: a test that needs one must not pass without.
#[must_use]
pub fn create_database() -> String {
    create_databases(&[""]).replace("{service}", "")
}

/// Creates an empty database on the test server for each of these services. Returns their URL, in which `{service}`
/// stands for the service's name.
///
/// # Panics
/// If there is no server.
#[must_use]
pub fn create_databases(services: &[&str]) -> String {
    let server = env::var(POSTGRES_URL).unwrap_or_else(|_| {
        panic!("{POSTGRES_URL} is not set: run `cargo xtask test`, or `cargo xtask servers` and what it prints")
    });
    // Each `RandomState` has random keys; process ids alone come round again in a long run.
    let name = format!("test_{}_{:016x}", process::id(), RandomState::new().hash_one(0));
    services.iter().for_each(|service| create(&server, &format!("{name}{service}")));
    let (address, _) = server.rsplit_once('/').expect("the URL names a database");
    format!("{address}/{name}{{service}}")
}

fn create(server: &str, name: &str) {
    let programs = PostgresPrograms::find().expect("the server runs, so its programs are there");
    let mut psql = Command::new(programs.psql);
    psql.args(["--no-psqlrc", "--quiet", "--command", &format!("CREATE DATABASE {name}"), server]);
    let output = psql.output().expect("psql runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cannot create a database for the test: {errors}");
}
