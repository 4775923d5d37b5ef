//! What the program says on the command line: its help, and one line for each thing that stands in its way.

use std::{net::TcpListener, path::Path, process::Output};

use e2e::process::Program;

use crate::program;

const PORTS: [&str; 3] =
    ["--order-listen=127.0.0.1:0", "--inventory-listen=127.0.0.1:0", "--payment-listen=127.0.0.1:0"];

/// Starts it where it cannot start.
fn refused(program: &Program, data_dir: &Path, arguments: &[&str]) -> String {
    let mut command = program.command();
    let output = command.args(arguments).arg("--data-dir").arg(data_dir).output().unwrap();
    said(&output)
}

fn said(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it is to fail: {error}");
    let lines: Vec<&str> = error.lines().filter(|line| line.starts_with("order-system: ")).collect();
    let [line] = lines.as_slice() else { panic!("not one line: {error}") };
    (*line).to_owned()
}

#[test]
fn a_taken_port_is_named() {
    let program = program();
    let place = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = refused(&program, place.path(), &[PORTS[0], &format!("--inventory-listen={address}"), PORTS[2]]);
    assert!(line.contains(&address) && line.contains("--inventory-listen"), "{line}");
}

#[test]
fn a_second_instance_on_the_same_data_is_refused_and_the_first_goes_on() {
    let program = program();
    let place = tempfile::tempdir().unwrap();
    let first = program.start(place.path(), &[]).unwrap();
    let line = refused(&program, place.path(), &PORTS);
    assert!(line.contains("another order-system") && line.contains("--data-dir"), "{line}");
    assert!(first.stop().unwrap().success());
}

#[test]
fn an_unwritable_data_directory_is_named() {
    let program = program();
    // Also root cannot make a directory in a place that is none.
    let line = refused(&program, Path::new("/proc/no/such/place"), &PORTS);
    assert!(line.contains("/proc/no/such/place") && line.contains("--data-dir"), "{line}");
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let program = program();
    let place = tempfile::tempdir().unwrap();
    std::fs::write(
        place.path().join("inventory.sqlite"),
        "not a database, but long enough to look like one".repeat(100),
    )
    .unwrap();
    let line = refused(&program, place.path(), &PORTS);
    assert!(line.contains("inventory.sqlite"), "{line}");
}

#[test]
fn a_database_of_a_newer_version_is_named() {
    let program = program();
    let place = tempfile::tempdir().unwrap();
    assert!(program.start(place.path(), &[]).unwrap().stop().unwrap().success());
    let file = place.path().join("payment.sqlite");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        use sea_orm::{ConnectionTrait as _, Database};
        let database = Database::connect(format!("sqlite://{}", file.display())).await.unwrap();
        let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_of_the_future', 0)";
        database.execute_unprepared(newer).await.unwrap();
        database.close().await.unwrap();
    });
    let line = refused(&program, place.path(), &PORTS);
    assert!(
        line.contains("newer version") && line.contains("payment.sqlite") && line.contains("m9999_of_the_future"),
        "{line}"
    );
}

#[test]
fn the_audit_says_where_there_is_nothing_to_audit() {
    let program = program();
    let place = tempfile::tempdir().unwrap();
    let line = said(&program.verify(place.path(), "0s").unwrap());
    assert!(line.contains("order.sqlite"), "{line}");
}

#[test]
fn the_help_names_both_uses_and_the_settings() {
    let program = program();
    let help = program.command().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for word in ["verify", "--data-dir", "DATA_DIR", "--order-wait", "--hold-time", "--gateway-latency", "--max-batch"]
    {
        assert!(help.contains(word), "{word} is missing in {help}");
    }
    assert!(program.command().args(["verify", "--help"]).output().unwrap().status.success());
    let wrong = program.command().arg("--max-batch=0").output().unwrap();
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("must be at least 1"));
}
