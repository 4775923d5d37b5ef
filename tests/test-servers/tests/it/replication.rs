use test_servers::{Postgres, postgres::Options};

#[test]
fn a_standby_follows_can_be_promoted_and_the_old_primary_rejoins() {
    let mut old = Postgres::start(Options::default()).unwrap();
    old.psql("postgres", "CREATE TABLE orders (id int)").unwrap();
    let new = old.standby().unwrap();
    old.wait_for_standby(true).unwrap();
    let ids = |server: &Postgres| server.psql("postgres", "SELECT string_agg(id::text, ' ') FROM orders").unwrap();
    old.psql("postgres", "INSERT INTO orders VALUES (1)").unwrap();
    let error = new.psql("postgres", "INSERT INTO orders VALUES (0)").unwrap_err().to_string();
    assert!(error.contains("read-only"), "{error}");

    // What is committed without the standby is lost with the primary.
    old.wait_for_standby(false).unwrap();
    new.stop_receiving().unwrap();
    old.psql("postgres", "INSERT INTO orders VALUES (2)").unwrap();
    old.kill().unwrap();
    new.promote().unwrap();
    new.psql("postgres", "INSERT INTO orders VALUES (3)").unwrap();
    assert_eq!(ids(&new), "1 3\n");

    // A killed server starts again as the primary that it was.
    old.restart().unwrap();
    assert_eq!(ids(&old), "1 2\n");
    old.rejoin(&new).unwrap();
    new.wait_for_standby(true).unwrap();
    new.psql("postgres", "INSERT INTO orders VALUES (4)").unwrap();
    assert_eq!(ids(&old), "1 3 4\n");
    assert_eq!(old.psql("postgres", "SELECT pg_is_in_recovery()").unwrap(), "t\n");

    // An orderly stop loses nothing.
    let mut new = new;
    new.stop().unwrap();
    old.promote().unwrap();
    assert_eq!(ids(&old), "1 3 4\n");
}
