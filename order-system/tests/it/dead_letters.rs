//! The parked messages of the running program, on the command line.

use std::{path::Path, process::Output};

use sea_orm::{ConnectionTrait as _, Database};
use shared_events::{
    Envelope, Event, EventBody, Header, Line, Lines, MessageId, Money, OrderDetails, OrderId, Quantity, SagaId, Sku,
    Timestamp,
};
use testkit::process::{Program, Running};
use uuid::Uuid;

use crate::program;

const TOKEN: &str = "the-operators-token";

/// Something is parked at `service` behind the program's back.
async fn park(data: &Path, service: &str, id: Uuid, body: &[u8]) {
    let database = Database::connect(format!("sqlite://{}", data.join(format!("{service}.sqlite")).display()));
    let database = database.await.unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let sql = format!(
        "INSERT INTO dead_letters (message_id, reason, attempts, body, parked_at) \
         VALUES (x'{}', 'parked by the test', 1, x'{}', 1700000000000000)",
        hex(id.as_bytes()),
        hex(body)
    );
    database.execute_unprepared(&sql).await.unwrap();
    database.close().await.unwrap();
}

/// `StockReleased` of an order that nobody knows: it is heard, and nothing follows.
fn released(id: Uuid) -> String {
    let line = Line { sku: Sku::parse("SKU-ABC").unwrap(), quantity: Quantity::new(1).unwrap() };
    let order = OrderDetails {
        order_id: OrderId(999),
        lines: Lines::new([line]).unwrap(),
        total: Money::from_minor_units(1, "USD".parse().unwrap()).unwrap(),
    };
    let event = Event { saga_id: SagaId(Uuid::now_v7()), order, body: EventBody::StockReleased };
    let time = Timestamp::from_unix_micros(1_700_000_000_000_000);
    Envelope { header: Header { id: MessageId(id), time, causation_id: id, system_id: None, traceparent: None }, event }
        .encode()
}

/// The command line with these words, and the addresses of the running system in place of the usual ones.
fn dead_letters(program: &Program, words: &[&str]) -> (Output, String) {
    let output = program.command().arg("dead-letters").args(words).env("ADMIN_TOKEN", TOKEN).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

fn at(system: &Running, index: usize) -> [String; 2] {
    let service = ["order", "inventory", "payment"][index];
    [format!("--service={service}"), format!("--url=http://{}/", system.addresses[index])]
}

#[tokio::test]
async fn an_operator_lists_shows_drives_and_discards() {
    let program = program();
    let place = tempfile::tempdir().unwrap();
    let system = program.start(place.path(), &[&format!("--admin-token={TOKEN}")]).unwrap();
    let [service, url] = at(&system, 0);
    let run = |words: &[&str]| {
        let (output, said) = dead_letters(&program, &[words, &[&service, &url]].concat());
        (output.status.code().unwrap(), said)
    };
    assert_eq!(run(&["list"]), (0, "nothing is parked\n".to_owned()));

    let [good, poison, other] = [(); 3].map(|()| Uuid::now_v7());
    park(place.path(), "order", good, released(good).as_bytes()).await;
    park(place.path(), "order", poison, b"\x1b[2J no JSON").await;
    park(place.path(), "order", other, &[0xff, 0xfe]).await;
    let (code, said) = run(&["list"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((code, lines.len()), (0, 4), "{said}");
    assert!(lines[0].starts_with("SERVICE") && lines[1].starts_with(&format!("order      {good}")), "{said}");
    assert!(lines[3].contains("2023-11-14T22:13:20") && lines[3].ends_with("2  parked by the test"), "{said}");

    let (code, said) = run(&["show", &poison.to_string()]);
    assert!(code == 0 && said.ends_with("body       12 bytes:\n\n\\u{1b}[2J no JSON\n"), "{said}");
    assert!(run(&["show", &other.to_string()]).1.ends_with("not text, in base64:\n\n//4=\n"));
    let (code, said) = run(&["show", &Uuid::nil().to_string()]);
    assert!(code == 1 && said.contains("there is no such dead letter"), "{said}");

    assert_eq!(run(&["redrive", &good.to_string()]), (0, format!("{good}: handled by order\n")));
    let (code, said) = run(&["redrive", &poison.to_string()]);
    assert!(code == 1 && said.starts_with(&format!("{poison}: parked again by order: not a CloudEvent")), "{said}");
    let (code, said) = run(&["redrive", &good.to_string()]);
    assert!(code == 1 && said.contains(&format!("no message {good} is parked")), "{said}");
    assert_eq!(run(&["redrive", "--all"]), (1, "order: 0 handled, 2 parked again, 0 postponed\n".to_owned()));

    let (code, said) = run(&["discard", &poison.to_string(), &other.to_string()]);
    assert_eq!((code, said), (0, format!("{poison}: discarded\n{other}: discarded\n")));
    assert_eq!(run(&["discard", &poison.to_string()]).0, 1);
    assert_eq!(run(&["redrive", "--all"]), (0, "order: 0 handled, 0 parked again, 0 postponed\n".to_owned()));
    assert_eq!(run(&["list"]), (0, "nothing is parked\n".to_owned()));
    assert!(system.stop().unwrap().success());
    assert!(program.verify(place.path(), "0s").unwrap().status.success());
}

#[tokio::test]
async fn what_stands_in_the_way_is_said() {
    let program = program();
    let place = tempfile::tempdir().unwrap();
    let token = place.path().join("token");
    std::fs::write(&token, "another-operators-token\n").unwrap();
    let system = program.start(place.path(), &["--admin-token-file", token.to_str().unwrap()]).unwrap();
    let [service, url] = at(&system, 1);
    let (output, said) = dead_letters(&program, &["list", &service, &url]);
    assert!(
        !output.status.success() && said.contains("the inventory service at") && said.contains("another admin token"),
        "{said}"
    );
    let of_the_file = ["--admin-token-file", token.to_str().unwrap()];
    let output =
        program.command().arg("dead-letters").args(of_the_file).args(["list", &service, &url]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(system.stop().unwrap().success());

    // Without a token the program runs, and says how to get in.
    let system = program.start(place.path(), &[]).unwrap();
    let [service, url] = at(&system, 2);
    for words in [&["list"][..], &["redrive", "--all"], &["redrive", "00000000-0000-0000-0000-000000000000"]] {
        let (output, said) = dead_letters(&program, &[words, &[&service, &url]].concat());
        assert!(!output.status.success() && said.contains("start the service with --admin-token"), "{said}");
    }
    assert!(system.stop().unwrap().success());
    let (output, said) = dead_letters(&program, &["list", &service, &url]);
    assert!(
        !output.status.success() && said.contains("cannot reach the payment service") && said.contains("--url"),
        "{said}"
    );

    for (words, why) in [
        (&["list", "--service=stock"][..], "must be order, inventory or payment"),
        (&["list", "--url=http://localhost"], "--service"),
        (&["list", "--service=order", "--url=https://localhost"], "must begin with http://"),
        (&["show", "seven", "--service=order"], "seven"),
        (&["show", "00000000-0000-0000-0000-000000000000"], "--service"),
        (&["redrive"], "MESSAGE_IDS"),
        (&["discard", "--service=order"], "MESSAGE_IDS"),
    ] {
        let (output, said) = dead_letters(&program, words);
        assert!(!output.status.success() && said.contains(why), "{words:?}: {said}");
    }
    let output = program.command().args(["dead-letters", "list"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("the admin token is missing"), "{output:?}");
    let output = program.command().arg("--admin-token= ").output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("is blank"), "{output:?}");
    let output = program.command().arg("--admin-token=a").output().unwrap();
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("fewer than 16 characters"),
        "{output:?}"
    );
}
