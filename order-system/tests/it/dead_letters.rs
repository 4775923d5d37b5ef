//! The dead letters of the running program, on the command line.

use std::{path::Path, process::Output};

use testkit::process::{Program, Running};
use uuid::Uuid;

use crate::program;

pub(crate) const TOKEN: &str = "the-operators-token";

pub(crate) async fn insert_dead_letter(data: &Path, service: &str, id: Uuid, body: &[u8]) {
    insert_with_reason(data, service, id, "dead-lettered by the test", body).await;
}

pub(crate) async fn insert_with_reason(data: &Path, service: &str, id: Uuid, reason: &str, body: &[u8]) {
    testkit::dead_letters::insert(data, service, id, reason, body).await.unwrap();
}

/// `StockReleased` of an unknown order: it is handled and has no effect.
pub(crate) fn released(id: Uuid) -> String {
    testkit::dead_letters::released(id, 999).unwrap()
}

/// Runs `dead-letters` with these arguments, and returns what it printed.
pub(crate) fn dead_letters(program: &Program, words: &[&str]) -> (Output, String) {
    let output = program.command().arg("dead-letters").args(words).env("ADMIN_TOKEN", TOKEN).output().unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, printed)
}

pub(crate) fn at(system: &Running, index: usize) -> [String; 2] {
    let service = ["order", "inventory", "payment"][index];
    [format!("--service={service}"), format!("--url=http://{}/", system.addresses[index])]
}

#[tokio::test]
async fn an_operator_lists_shows_redrives_and_discards() {
    let program = program();
    let directory = tempfile::tempdir().unwrap();
    let system = program.start(directory.path(), &[&format!("--admin-token={TOKEN}")]).unwrap();
    let [service, url] = at(&system, 0);
    let run = |words: &[&str]| {
        let (output, printed) = dead_letters(&program, &[words, &[&service, &url]].concat());
        (output.status.code().unwrap(), printed)
    };
    assert_eq!(run(&["list"]), (0, "no dead letters\n".to_owned()));

    let [good, poison, other] = [(); 3].map(|()| Uuid::now_v7());
    insert_dead_letter(directory.path(), "order", good, released(good).as_bytes()).await;
    insert_dead_letter(directory.path(), "order", poison, b"\x1b[2J no JSON").await;
    insert_dead_letter(directory.path(), "order", other, &[0xff, 0xfe]).await;
    let (code, printed) = run(&["list"]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!((code, lines.len()), (0, 4), "{printed}");
    assert!(lines[0].starts_with("SERVICE") && lines[1].starts_with(&format!("order      {good}")), "{printed}");
    assert!(
        lines[3].contains("2023-11-14T22:13:20") && lines[3].ends_with("2  dead-lettered by the test"),
        "{printed}"
    );

    let (code, printed) = run(&["show", &poison.to_string()]);
    assert!(code == 0 && printed.ends_with("body       12 bytes:\n\n\\u{1b}[2J no JSON\n"), "{printed}");
    assert!(run(&["show", &other.to_string()]).1.ends_with("not text, in base64:\n\n//4=\n"));
    let (code, printed) = run(&["show", &Uuid::nil().to_string()]);
    assert!(code == 1 && printed.contains("there is no such dead letter"), "{printed}");

    assert_eq!(run(&["redrive", &good.to_string()]), (0, format!("{good}: handled by order\n")));
    let (code, printed) = run(&["redrive", &poison.to_string()]);
    assert!(
        code == 1 && printed.starts_with(&format!("{poison}: failed again at order: not a CloudEvent")),
        "{printed}"
    );
    let (code, printed) = run(&["redrive", &good.to_string()]);
    assert!(code == 1 && printed.contains(&format!("there is no dead letter {good}")), "{printed}");
    assert_eq!(run(&["redrive", "--all"]), (1, "order: 0 handled, 2 failed again, 0 postponed\n".to_owned()));

    let (code, printed) = run(&["discard", &poison.to_string(), &other.to_string()]);
    assert_eq!((code, printed), (0, format!("{poison}: discarded\n{other}: discarded\n")));
    assert_eq!(run(&["discard", &poison.to_string()]).0, 1);
    assert_eq!(run(&["redrive", "--all"]), (0, "order: 0 handled, 0 failed again, 0 postponed\n".to_owned()));
    assert_eq!(run(&["list"]), (0, "no dead letters\n".to_owned()));
    assert!(system.stop().unwrap().success());
    assert!(program.verify(directory.path(), "0s").unwrap().status.success());
}

#[tokio::test]
async fn errors_are_explained() {
    let program = program();
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "another-operators-token\n").unwrap();
    let system = program.start(directory.path(), &["--admin-token-file", token.to_str().unwrap()]).unwrap();
    let [service, url] = at(&system, 1);
    let (output, printed) = dead_letters(&program, &["list", &service, &url]);
    assert!(
        !output.status.success()
            && printed.contains("the inventory service at")
            && printed.contains("another admin token"),
        "{printed}"
    );
    let of_the_file = ["--admin-token-file", token.to_str().unwrap()];
    let output =
        program.command().arg("dead-letters").args(of_the_file).args(["list", &service, &url]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(system.stop().unwrap().success());

    // Without a token, the program runs and tells how to turn the endpoints on.
    let system = program.start(directory.path(), &[]).unwrap();
    let [service, url] = at(&system, 2);
    for words in [&["list"][..], &["redrive", "--all"], &["redrive", "00000000-0000-0000-0000-000000000000"]] {
        let (output, printed) = dead_letters(&program, &[words, &[&service, &url]].concat());
        assert!(!output.status.success() && printed.contains("start the service with --admin-token"), "{printed}");
    }
    assert!(system.stop().unwrap().success());
    let (output, printed) = dead_letters(&program, &["list", &service, &url]);
    assert!(
        !output.status.success() && printed.contains("cannot reach the payment service") && printed.contains("--url"),
        "{printed}"
    );

    for (words, why) in [
        (&["list", "--service=stock"][..], "must be order, inventory or payment"),
        (&["list", "--url=http://localhost"], "--service"),
        (&["list", "--service=order", "--url=ftp://localhost"], "must begin with http://"),
        (&["show", "seven", "--service=order"], "seven"),
        (&["show", "00000000-0000-0000-0000-000000000000"], "--service"),
        (&["redrive"], "MESSAGE_IDS"),
        (&["discard", "--service=order"], "MESSAGE_IDS"),
    ] {
        let (output, printed) = dead_letters(&program, words);
        assert!(!output.status.success() && printed.contains(why), "{words:?}: {printed}");
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
