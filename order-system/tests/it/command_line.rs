//! The command line: its help, and the error for each reason that keeps the program from starting.

use std::{
    fs::File,
    net::TcpListener,
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use testkit::{client::Client, process::Program};

use crate::program;

const PORTS: [&str; 4] = [
    "--order-listen=127.0.0.1:0",
    "--inventory-listen=127.0.0.1:0",
    "--payment-listen=127.0.0.1:0",
    "--console-listen=127.0.0.1:0",
];

/// Starts the program, expects it to fail, and returns its error.
fn refused(program: &Program, data_dir: &Path, arguments: &[&str]) -> String {
    let mut command = program.command();
    let output = command.args(arguments).arg("--data-dir").arg(data_dir).output().unwrap();
    error_line(&output)
}

/// Changes a database directly.
pub(crate) fn execute(file: &Path, sql: &str) {
    let url = format!("sqlite://{}", file.display());
    tokio::runtime::Runtime::new().unwrap().block_on(execute_at(&url, sql));
}

/// Changes the database at this address directly.
pub(crate) async fn execute_at(url: &str, sql: &str) {
    use sea_orm::{ConnectionTrait as _, Database};
    let database = Database::connect(url).await.unwrap();
    database.execute_unprepared(sql).await.unwrap();
    database.close().await.unwrap();
}

fn error_line(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it should fail: {error}");
    let lines: Vec<&str> = error.lines().filter(|line| line.starts_with("order-system: ")).collect();
    let [line] = lines.as_slice() else { panic!("not one line: {error}") };
    (*line).to_owned()
}

/// The log and the welcome go to the same place, as on a terminal.
#[test]
fn the_welcome_is_the_last_that_one_reads_after_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("output");
    let both = File::create(&output).unwrap();
    let mut command = program().command();
    command.args(PORTS).arg("--data-dir").arg(directory.path()).arg("--log-format=pretty");
    let mut system = command.stdout(both.try_clone().unwrap()).stderr(both).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let read = loop {
        let read = std::fs::read_to_string(&output).unwrap();
        if read.contains("Ctrl-C stops it") {
            break read;
        }
        assert!(Instant::now() < deadline && system.try_wait().unwrap().is_none(), "it says no welcome: {read}");
    };
    system.kill().unwrap();
    system.wait().unwrap();
    let (log, welcome) = read.split_once("The order system runs.").unwrap();
    // Each service says so of its database, its broker, its queue and its system.
    assert_eq!(log.matches("a dependency is up").count(), 12, "{log}");
    assert!(!welcome.contains("INFO") && welcome.trim_end().ends_with("where it stopped."), "{welcome}");
}

#[test]
fn a_taken_port_is_named() {
    let program = program();
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (index, flag) in [(1, "--inventory-listen"), (3, "--console-listen")] {
        let taken = format!("{flag}={address}");
        let mut ports = PORTS;
        ports[index] = &taken;
        let line = refused(&program, directory.path(), &ports);
        assert!(line.contains(&address) && line.contains(flag), "{line}");
    }
}

#[test]
fn without_a_key_a_service_is_open_to_this_machine_only() {
    let program = program();
    let directory = tempfile::tempdir().unwrap();
    let everywhere = "--inventory-listen=0.0.0.0:0";
    let mut ports = PORTS;
    ports[1] = everywhere;
    let line = refused(&program, directory.path(), &ports);
    for word in ["the inventory service", "0.0.0.0:", "order-system keys create", "--allow-anonymous"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    let open = program.start(directory.path(), &[everywhere, "--allow-anonymous"]).unwrap();
    assert!(open.welcome.contains("Everybody who reaches these addresses may use them"), "{}", open.welcome);
    assert!(open.stop().unwrap().success());
    crate::keys::create(directory.path(), "shop", "orders:read");
    let closed = program.start(directory.path(), &[everywhere]).unwrap();
    assert!(closed.welcome.contains("Requests need an API key"), "{}", closed.welcome);
    assert!(closed.stop().unwrap().success());
}

#[test]
fn a_second_instance_on_the_same_data_is_refused_and_the_first_goes_on() {
    let program = program();
    let directory = tempfile::tempdir().unwrap();
    let first = program.start(directory.path(), &[]).unwrap();
    let line = refused(&program, directory.path(), &PORTS);
    assert!(line.contains("another order-system") && line.contains("--data-dir"), "{line}");
    assert!(first.stop().unwrap().success());
}

#[test]
fn an_unwritable_data_directory_is_named() {
    let program = program();
    // Even root cannot create a directory under /proc.
    let line = refused(&program, Path::new("/proc/no/such/place"), &PORTS);
    assert!(line.contains("/proc/no/such/place") && line.contains("--data-dir"), "{line}");
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let program = program();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("inventory.sqlite"),
        "not a database, but long enough to look like one".repeat(100),
    )
    .unwrap();
    let line = refused(&program, directory.path(), &PORTS);
    assert!(line.contains("inventory.sqlite"), "{line}");
}

#[test]
fn a_database_of_a_newer_version_is_named() {
    let program = program();
    let directory = tempfile::tempdir().unwrap();
    assert!(program.start(directory.path(), &[]).unwrap().stop().unwrap().success());
    let file = directory.path().join("payment.sqlite");
    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_of_the_future', 0)";
    execute(&file, newer);
    let line = refused(&program, directory.path(), &PORTS);
    assert!(
        line.contains("newer version") && line.contains("payment.sqlite") && line.contains("m9999_of_the_future"),
        "{line}"
    );
}

#[test]
fn an_audit_without_data_names_the_missing_file() {
    let program = program();
    let directory = tempfile::tempdir().unwrap();
    let line = error_line(&program.verify(directory.path(), "0s").unwrap());
    assert!(line.contains("order.sqlite"), "{line}");
}

#[test]
fn the_help_names_both_uses_and_the_settings() {
    let program = program();
    let help = program.command().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for word in [
        "verify",
        "--data-dir",
        "DATA_DIR",
        "--order-wait",
        "--hold-time",
        "--gateway-latency",
        "--system-id",
        "--max-batch",
    ] {
        assert!(help.contains(word), "{word} is missing in {help}");
    }
    assert!(program.command().args(["verify", "--help"]).output().unwrap().status.success());
    let wrong = program.command().arg("--max-batch=0").output().unwrap();
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("must be at least 1"));
}

#[test]
fn the_audit_names_what_breaks_it() {
    let program = program();
    let directory = tempfile::tempdir().unwrap();
    let system = program.start(directory.path(), &[]).unwrap();
    let client = Client::new(system.addresses).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        client.put_in_stock("SKU-ABC", 10).await.unwrap();
        for _ in 0..6 {
            let (_, order) = client.place("SKU-ABC", 1, 10, None).await.unwrap();
            assert_eq!(order["status"], "CONFIRMED");
        }
        let all = |orders: &Vec<serde_json::Value>| orders.iter().all(|order| order["capture"] == "CAPTURED");
        client.until("captures", || client.orders(), all).await.unwrap();
    });
    assert!(system.stop().unwrap().success());
    let report = || {
        let output = program.verify(directory.path(), "0s").unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, clean) = report();
    assert_eq!(code, Some(0), "{clean}");
    let (clean, system) = clean.split_once("\nsystem id: ").unwrap();
    let gateway = "payment gateway: not compared; the simulated one remembers nothing (see --payment-gateway)";
    let found = "clean: 6 orders (0 under way), 6 reservations, 6 payments, 1 stock items";
    assert_eq!(clean, format!("{found}\n{gateway}"));
    assert!(system.trim_end().parse::<shared_events::SystemId>().is_ok(), "{system}");

    let file = |service: &str| directory.path().join(format!("{service}.sqlite"));
    execute(&file("payment"), "UPDATE payments SET state = 'VOIDED' WHERE order_id = 1");
    execute(&file("inventory"), "UPDATE reservations SET state = 'RELEASED' WHERE order_id = 2");
    execute(
        &file("order"),
        "UPDATE orders SET minor_units = 1 WHERE order_id = 3; DELETE FROM orders WHERE order_id = 4",
    );
    execute(&file("payment"), "UPDATE system_identity SET system_id = x'018d0000000070008000000000000001'");
    execute(&file("order"), "UPDATE orders SET currency = 'XXX' WHERE order_id = 5");
    execute(&file("payment"), "UPDATE payments SET created_at = 'yesterday' WHERE order_id = 5");
    execute(&file("payment"), "UPDATE payments SET state = 'AUTHORIZED' WHERE order_id = 6");
    execute(&file("order"), "INSERT INTO outbox VALUES (x'00', 'order.created', x'00', '{}', 0)");
    let (code, report) = report();
    assert_eq!(code, Some(1), "{report}");
    for breach in [
        "order: 1 messages are not published",
        "order 1 (CONFIRMED): no payment is authorized for it: payment 1 is VOIDED",
        "order 2 (CONFIRMED): no stock is sold for it",
        "order 3 (CONFIRMED): the amount that is authorized is not that of the order",
        "reservation 4: its order does not exist",
        "payment 4: its order does not exist",
        "stock of SKU-ABC: sold is 6, but its reservations sold 5",
        "order 5: its row cannot be read",
        "payment 5: its row cannot be read",
        "payment to 018d0000-0000-7000-8000-000000000001",
        "order 6 (CONFIRMED): its payment is not captured: payment 6 is AUTHORIZED",
        "11 breaches in 4 orders",
    ] {
        assert!(report.contains(breach), "{breach} is missing in\n{report}");
    }
}
