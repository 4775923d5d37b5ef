use std::thread;

use test_servers::{Postgres, postgres::Options};

#[test]
fn it_accepts_connections_and_keeps_committed_data_over_a_crash() {
    let mut postgres = Postgres::start(Options::default()).unwrap();
    let url = postgres.create_database("od\"d").unwrap();
    assert!(url.starts_with("postgres://postgres:") && url.ends_with("/od\"d"), "{url}");
    let port = postgres.port();
    let show =
        "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('max_connections')";
    assert_eq!(postgres.psql("od\"d", show).unwrap(), "on|on|200\n");
    postgres.psql("od\"d", "CREATE TABLE orders (id int); INSERT INTO orders VALUES (7)").unwrap();

    postgres.crash().unwrap();
    postgres.crash().unwrap();
    let error = postgres.psql("od\"d", "SELECT 1").unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");

    postgres.restart().unwrap();
    assert_eq!(postgres.port(), port);
    assert_eq!(postgres.psql("od\"d", "SELECT id FROM orders").unwrap(), "7\n");
    assert!(postgres.restart().unwrap_err().to_string().contains("runs already"));
}

#[test]
fn two_servers_are_independent() {
    let start = || {
        let options = Options { settings: vec![("max_connections".to_owned(), "20".to_owned())], ..Options::default() };
        Postgres::start(options).unwrap()
    };
    let (mut one, two) = thread::scope(|scope| {
        let one = scope.spawn(start);
        (start(), one.join().unwrap())
    });
    assert_ne!(one.port(), two.port());
    one.create_database("mine").unwrap();
    assert!(two.psql("mine", "SELECT 1").is_err());
    one.crash().unwrap();
    assert_eq!(two.psql("postgres", "SHOW max_connections").unwrap(), "20\n");
}

#[test]
fn a_failed_start_is_explained() {
    let options = Options { settings: vec![("no_such_setting".to_owned(), "x".to_owned())], ..Options::default() };
    let error = Postgres::start(options).unwrap_err().to_string();
    assert!(error.contains("PostgreSQL did not start (exit status: 1)"), "{error}");
    assert!(error.contains(r#"unrecognized configuration parameter "no_such_setting""#), "{error}");
}
