use std::fs;

use test_servers::{Postgres, RabbitMq, disk, postgres, rabbitmq};

/// Returns whether this can be tested, and prints the reason if not.
fn possible() -> bool {
    disk::can_be_limited().inspect_err(|error| eprintln!("not tested: {error:#}")).is_ok()
}

#[test]
fn a_postgresql_whose_disk_was_full_has_what_it_has_committed() {
    if !possible() {
        return;
    }
    let options = postgres::Options { disk_megabytes: Some(256), ..postgres::Options::default() };
    let mut postgres = Postgres::start(options).unwrap();
    postgres.psql("postgres", "CREATE TABLE orders (id bigint, text text)").unwrap();
    postgres.psql("postgres", "INSERT INTO orders VALUES (7, '')").unwrap();

    postgres.fill_disk().unwrap();
    // More than fits into the current segment of the write-ahead log.
    let much = "INSERT INTO orders SELECT 8, repeat('x', 2000) FROM generate_series(1, 20000)";
    let error = postgres.psql("postgres", much).unwrap_err().to_string();
    eprintln!("{error}");
    postgres.free_disk().unwrap();
    postgres.recover().unwrap();

    assert_eq!(postgres.psql("postgres", "SELECT id FROM orders").unwrap(), "7\n");
    postgres.psql("postgres", much).unwrap();
    let directory = postgres.directory().to_owned();
    drop(postgres);
    assert!(!directory.exists());
    assert!(!fs::read_to_string("/proc/mounts").unwrap().contains(directory.to_str().unwrap()));
}

#[test]
fn a_rabbitmq_whose_disk_was_full_can_start_empty() {
    if !possible() {
        return;
    }
    let options = rabbitmq::Options { disk_megabytes: Some(256), ..rabbitmq::Options::default() };
    let mut rabbitmq = RabbitMq::start(options).unwrap();
    let vhosts = |rabbitmq: &RabbitMq| rabbitmq.rabbitmqctl(&["-q", "--no-table-headers", "list_vhosts"]).unwrap();
    rabbitmq.rabbitmqctl(&["add_vhost", "shop"]).unwrap();
    assert!(vhosts(&rabbitmq).contains("shop"));
    rabbitmq.fill_disk().unwrap();
    rabbitmq.free_disk().unwrap();
    rabbitmq.start_empty().unwrap();
    assert_eq!(vhosts(&rabbitmq), "/\n");
}
