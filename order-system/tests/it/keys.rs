//! API keys on the command line, and what they open at the running services.

use std::{fs, path::Path, process::Output};

use reqwest::{Method, StatusCode};
use serde_json::json;
use testkit::client::{Client, answer};

use crate::program;

/// Runs `keys` with these arguments.
pub(crate) fn keys(data: &Path, words: &[&str]) -> Output {
    program().command().arg("keys").args(words).arg("--data-dir").arg(data).output().unwrap()
}

/// Makes a key, which is all that the command writes to standard output.
pub(crate) fn create(data: &Path, owner: &str, scopes: &str) -> String {
    made(&keys(data, &["create", "--owner", owner, "--scope", scopes]))
}

pub(crate) fn id(key: &str) -> &str {
    key.strip_prefix("ck_").unwrap().split('_').next().unwrap()
}

fn made(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    let key = printed.strip_suffix('\n').unwrap();
    assert!(key.starts_with("ck_") && key.len() == 84 && !key.contains('\n'), "{printed}");
    key.to_owned()
}

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn error(output: &Output) -> String {
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Returns the status of `GET /api/v1/orders` at order, and of `GET /api/v1/stock` at inventory.
async fn statuses(client: &Client, key: Option<&str>) -> anyhow::Result<[u16; 2]> {
    let mut requests = [client.order(Method::GET, "/api/v1/orders"), client.inventory(Method::GET, "/api/v1/stock")];
    if let Some(key) = key {
        requests = requests.map(|request| request.bearer_auth(key));
    }
    let [order, inventory] = requests;
    Ok([answer(order).await?.0.as_u16(), answer(inventory).await?.0.as_u16()])
}

async fn until(client: &Client, key: Option<&str>, expected: [u16; 2]) {
    let read = async || statuses(client, key).await;
    client.until("the change takes effect", read, |statuses| *statuses == expected).await.unwrap();
}

#[tokio::test]
async fn keys_are_made_listed_rotated_and_revoked_while_the_system_runs() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let system = program().start(data, &[]).unwrap();
    let client = Client::new(system.addresses).unwrap();
    assert_eq!(statuses(&client, None).await.unwrap(), [200, 200]);
    assert_eq!(ok(&keys(data, &["list"])), "no keys: access is open\n");

    let first = keys(
        data,
        &[
            "create",
            "--owner=shop-a",
            "--scope=orders:read",
            "--scope=stock:read,orders:write",
            "--label=the web shop",
            "--expires-in=90d",
            "--rate-limit=50",
        ],
    );
    assert!(String::from_utf8_lossy(&first.stderr).contains("first key"), "{first:?}");
    let shop = made(&first);
    until(&client, None, [401, 401]).await;
    until(&client, Some(&shop), [200, 200]).await;
    let reader = create(data, "shop-b", "stock:read");
    until(&client, Some(&reader), [403, 200]).await;
    let body = json!({"item_sku": "A", "quantity": 1, "amount": 1, "currency": "USD"});
    let place = async |key: &str| {
        let request = client.order(Method::POST, "/api/v1/orders").header("prefer", "respond-async").json(&body);
        answer(request.bearer_auth(key)).await.unwrap().0
    };
    assert_eq!((place(&shop).await, place(&reader).await), (StatusCode::ACCEPTED, StatusCode::FORBIDDEN));

    let list = ok(&keys(data, &["list"]));
    let row = |key: &str, list: &str| list.lines().find(|line| line.starts_with(id(key))).unwrap().to_owned();
    for word in ["valid", "shop-a", "orders:write,orders:read,stock:read", "50", "the web shop"] {
        assert!(row(&shop, &list).contains(word), "{word}: {list}");
    }
    assert!(row(&reader, &list).contains("never"), "{list}");
    for key in [&shop, &reader] {
        assert!(!list.contains(&key[20..40]), "no secrets: {list}");
    }

    let rotated = made(&keys(data, &["rotate", id(&shop), "--overlap=1h"]));
    until(&client, Some(&rotated), [200, 200]).await;
    assert_eq!(statuses(&client, Some(&shop)).await.unwrap(), [200, 200], "during the overlap both are accepted");
    let again = made(&keys(data, &["rotate", id(&rotated), "--overlap=0s"]));
    until(&client, Some(&rotated), [401, 401]).await;
    until(&client, Some(&again), [200, 200]).await;
    let list = ok(&keys(data, &["list"]));
    assert!(row(&rotated, &list).contains("expired") && row(&again, &list).contains("the web shop"), "{list}");
    let refused = error(&keys(data, &["rotate", id(&rotated)]));
    assert!(refused.contains("is expired at order"), "{refused}");

    for _ in 0..2 {
        assert_eq!(ok(&keys(data, &["revoke", &again])), format!("{}: revoked\n", id(&again)), "safe to repeat");
    }
    until(&client, Some(&again), [401, 401]).await;
    assert!(row(&again, &ok(&keys(data, &["list"]))).contains("revoked"));
    let unknown = error(&keys(data, &["revoke", "0123456789abcdef"]));
    assert!(unknown.contains("there is no key 0123456789abcdef"), "{unknown}");

    let operator = create(data, "operators", "admin");
    until(&client, Some(&operator), [200, 200]).await;
    for log in [client.order(Method::GET, "/admin/audit-log"), client.payment(Method::GET, "/admin/audit-log")] {
        let (_, entries) = answer(log.bearer_auth(&operator)).await.unwrap();
        let entries = entries.as_array().unwrap().iter().filter(|entry| entry["actor"] == "command_line");
        let of = |entry: &serde_json::Value| format!("{} {}", entry["method"], entry["path"]).replace('"', "");
        let expected = [
            ("create", &shop),
            ("create", &reader),
            ("create", &rotated),
            ("rotate", &shop),
            ("create", &again),
            ("rotate", &rotated),
            ("revoke", &again),
            ("revoke", &again),
            ("create", &operator),
        ];
        let expected = expected.map(|(command, key)| format!("keys {command} {}", id(key)));
        assert_eq!(entries.map(of).collect::<Vec<_>>(), expected);
    }
    assert!(system.stop().unwrap().success());
}

#[tokio::test]
async fn a_key_can_be_made_before_the_first_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("new");
    let none = error(&keys(&data, &["list"]));
    assert!(none.contains("nothing ran on the data directory") && !data.exists(), "{none}");
    let key = create(&data, "operators", "admin");
    let system = program().start(&data, &[]).unwrap();
    let client = Client::new(system.addresses).unwrap();
    assert_eq!(statuses(&client, None).await.unwrap(), [401, 401]);
    assert_eq!(statuses(&client, Some(&key)).await.unwrap(), [200, 200]);
    assert!(system.stop().unwrap().success());
}

#[test]
fn a_key_is_stored_at_all_services_or_at_none() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let kept = create(data, "shop-a", "orders:read");
    let (payment, away) = (data.join("payment.sqlite"), data.join("payment.away"));
    let create = ["create", "--owner=shop-b", "--scope=orders:read"];
    let list = || ok(&keys(data, &["list"]));
    let before = list();

    // A database that cannot be opened.
    fs::rename(&payment, &away).unwrap();
    fs::create_dir(&payment).unwrap();
    let failed = error(&keys(data, &create));
    assert!(failed.contains("nothing was written: cannot open the database of payment"), "{failed}");
    let partly = keys(data, &["revoke", id(&kept)]);
    let printed = String::from_utf8_lossy(&partly.stderr).into_owned();
    assert!(!partly.status.success() && printed.contains("payment: keys may still be valid there"), "{printed}");
    fs::remove_dir(&payment).unwrap();
    fs::rename(&away, &payment).unwrap();
    let half = list();
    assert!(half.contains("order: revoked, inventory: revoked, payment: valid"), "{half}");
    assert_eq!(half.lines().count(), before.lines().count(), "{half}");
    ok(&keys(data, &["revoke", id(&kept)]));
    assert!(!list().contains("valid"), "{}", list());

    // A database that can be opened, and not written.
    execute(&payment, "CREATE TRIGGER full BEFORE INSERT ON api_keys BEGIN SELECT RAISE(ABORT, 'disk full'); END");
    let failed = error(&keys(data, &create));
    assert!(failed.contains("nothing was written: the database of payment failed"), "{failed}");
    execute(&payment, "DROP TRIGGER full");
    assert_eq!(list().lines().count(), before.lines().count());
    made(&keys(data, &create));
}

#[test]
fn wrong_arguments_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for (words, why) in [
        (&["create", "--owner=shop"][..], "--scope"),
        (&["create", "--scope=admin"], "--owner"),
        (&["create", "--owner=a shop", "--scope=admin"], "an owner has 1 to 64 letters"),
        (&["create", "--owner=shop", "--scope=orders"], "is no scope; there are orders:write, orders:read"),
        (&["create", "--owner=shop", "--scope=admin", "--expires-in=soon"], "--expires-in"),
        (&["create", "--owner=shop", "--scope=admin", "--rate-limit=0"], "--rate-limit"),
        (&["create", "--owner=shop", "--scope=admin", "--label=a\nb"], "control characters"),
        (&["rotate", "abc"], "must be an id of 16 hexadecimal digits"),
        (&["revoke"], "<IDS>"),
    ] {
        let refused = error(&keys(&directory.path().join("data"), words));
        assert!(refused.contains(why), "{words:?}: {refused}");
    }
    assert!(!directory.path().join("data").exists());
}

fn execute(file: &Path, sql: &str) {
    use sea_orm::{ConnectionTrait as _, Database};
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let database = Database::connect(format!("sqlite://{}", file.display())).await.unwrap();
        database.execute_unprepared(sql).await.unwrap();
        database.close().await.unwrap();
    });
}
