//! The dead letters of the running program, on the console.

use std::path::Path;

use reqwest::StatusCode;
use uuid::Uuid;

use crate::{
    console::Browser,
    dead_letters::{insert_with_reason, released},
    program,
};

/// Inserts a dead letter that is handled when it is redriven.
async fn insert_good(data: &Path, service: &str, reason: &str) -> Uuid {
    let id = Uuid::now_v7();
    insert_with_reason(data, service, id, reason, released(id).as_bytes()).await;
    id
}

async fn insert_bad(data: &Path, service: &str, reason: &str, body: &[u8]) -> Uuid {
    let id = Uuid::now_v7();
    insert_with_reason(data, service, id, reason, body).await;
    id
}

/// Returns the first address on the page that contains `part`.
fn link<'a>(page: &'a str, part: &str) -> &'a str {
    page.split('"')
        .find(|text| text.starts_with('/') && text.contains(part))
        .unwrap_or_else(|| panic!("{part}: {page}"))
}

#[tokio::test]
async fn one_dead_letter_is_shown_redriven_and_discarded() {
    let directory = tempfile::tempdir().unwrap();
    let system = program().start(directory.path(), &[]).unwrap();
    let (browser, data) = (Browser::new(&system), directory.path());
    let page = browser.page("/dead-letters").await;
    assert_eq!(page.matches("No dead letters.").count(), 3, "{page}");

    let good = insert_good(data, "order", "a bug that is repaired").await;
    let markup = insert_bad(data, "order", "<b>not</b> JSON", b"<script>alert(1)</script>\x1b[2J").await;
    let bytes = insert_bad(data, "payment", "not UTF-8", &[0xff, b'A']).await;
    let page = browser.page("/dead-letters").await;
    assert!(!page.contains("<b>not") && page.contains("&lt;b&gt;not&lt;/b&gt; JSON"), "{page}");
    assert_eq!(page.matches("No dead letters.").count(), 1, "{page}");

    // A body: JSON with line breaks; text and bytes as they are, without any effect on the page.
    let page = browser.page(&format!("/dead-letters/order/{good}")).await;
    assert!(page.contains("{\n  &quot;") && page.contains("correlationid") && page.contains(">1</dd>"), "{page}");
    let page = browser.page(&format!("/dead-letters/order/{markup}")).await;
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;\\u{1b}[2J") && !page.contains("<script>"), "{page}");
    assert!(browser.page(&format!("/dead-letters/payment/{bytes}")).await.contains("\\xffA"));

    let (status, location, _) = browser.send(&format!("/dead-letters/order/{good}/redrive"), "").await;
    assert_eq!((status, location.as_str()), (StatusCode::SEE_OTHER, &*format!("/dead-letters?done=handled&id={good}")));
    let page = browser.page(&location).await;
    assert!(page.contains("was handled") && !page.contains(&format!("/dead-letters/order/{good}")), "{page}");
    let (status, _, page) = browser.send(&format!("/dead-letters/order/{good}/redrive"), "").await;
    assert!(status == StatusCode::NOT_FOUND && page.contains("handled or discarded"), "{page}");

    let path = format!("/dead-letters/order/{markup}");
    let (status, location, _) = browser.send(&format!("{path}/redrive"), "").await;
    assert_eq!((status, location.as_str()), (StatusCode::SEE_OTHER, &*format!("{path}?done=failed-again")));
    let page = browser.page(&location).await;
    assert!(page.contains("cannot be handled: not a CloudEvent") && page.contains(">2</dd>"), "{page}");

    // Discarding asks first, and asking changes nothing.
    let page = browser.page(&format!("{path}/discard")).await;
    assert!(page.contains("will never be handled") && page.contains("Keep it"), "{page}");
    browser.page(&path).await;
    let (status, location, _) = browser.send(&format!("{path}/discard"), "").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let page = browser.page(&location).await;
    assert!(page.contains("was discarded") && page.contains(&markup.to_string()) && !page.contains(&path), "{page}");
    let (status, ..) = browser.send(&format!("{path}/discard"), "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    for wrong in ["/dead-letters/order/seven", "/dead-letters/stock/x/redrive", "/dead-letters/order/groups/x/redrive"]
    {
        assert!(browser.send(wrong, "first=1").await.0.is_client_error(), "{wrong}");
    }
    assert!(system.stop().unwrap().success());
}

#[tokio::test]
async fn a_group_is_redriven_in_part_and_a_service_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let system = program().start(directory.path(), &[]).unwrap();
    let (browser, data) = (Browser::new(&system), directory.path());
    for order in 1..=12 {
        insert_good(data, "order", &format!("order {order} was refused")).await;
    }
    let other = insert_bad(data, "order", "no JSON at all", b"{").await;
    insert_good(data, "inventory", "order 1 was refused").await;

    let page = browser.page("/dead-letters").await;
    let in_groups: Vec<&str> = page.split("<h3>").skip(1).map(|card| card.split(' ').next().unwrap()).collect();
    assert_eq!(in_groups, ["12", "1", "1"], "{page}");
    assert!(page.contains("order … was refused") && page.contains("2023-11-14 22:13:20.000"), "{page}");
    let group = link(&page, "/groups/").trim_end_matches("/redrive").to_owned();
    let page = browser.page(&group).await;
    assert_eq!((page.contains("1 to 12 of 12"), page.contains(&other.to_string())), (true, false), "{page}");

    // The download is JSON with the bodies.
    let download = browser.page(&format!("{group}/download")).await;
    let letters: Vec<serde_json::Value> = serde_json::from_str(&download).unwrap();
    assert_eq!(letters.len(), 12);
    assert!(letters.iter().all(|letter| letter["body"].as_str().unwrap().contains("correlationid")));
    let all: Vec<serde_json::Value> =
        serde_json::from_str(&browser.page("/dead-letters/order/download").await).unwrap();
    let one: serde_json::Value =
        serde_json::from_str(&browser.page(&format!("/dead-letters/order/{other}/download")).await).unwrap();
    assert!(all.len() == 13 && all.contains(&one) && one["body"] == "{", "{one}");

    for first in ["first=0", "first=-1", "first=many", "first="] {
        let (status, _, page) = browser.send(&format!("{group}/redrive"), first).await;
        assert!(status == StatusCode::UNPROCESSABLE_ENTITY && page.contains("Nothing was redriven"), "{page}");
    }
    let (status, location, _) = browser.send(&format!("{group}/redrive"), "first=5").await;
    assert_eq!((status, location.as_str()), (StatusCode::SEE_OTHER, "/dead-letters"));
    let page = browser.until("/dead-letters", "5 handled, 0 failed again; 5 of 5").await;
    assert!(browser.until("/dead-letters", "Redriven: 5 ").await.contains("<h3>7 ×"), "{page}");

    browser.send("/dead-letters/order/redrive", "").await;
    let page = browser.until("/dead-letters", "Redriven: all 8 of order").await;
    assert!(page.contains("7 handled, 1 failed again; 8 of 8") && page.contains("not a CloudEvent"), "{page}");
    let page = browser.page("/dead-letters").await;
    assert_eq!(page.matches("<h3>1 ×").count(), 2, "{page}");
    assert!(page.contains(&format!("/dead-letters/order/{other}")), "{page}");
    assert!(system.stop().unwrap().success());
}

#[tokio::test]
async fn changes_from_another_site_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let system = program().start(directory.path(), &[]).unwrap();
    let id = insert_good(directory.path(), "order", "a bug that is repaired").await;
    let console = format!("http://{}", system.console.unwrap());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for action in [format!("order/{id}/redrive"), format!("order/{id}/discard"), "order/redrive".to_owned()] {
        let request = http.post(format!("{console}/dead-letters/{action}")).header("sec-fetch-site", "cross-site");
        assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN, "{action}");
    }
    let page = Browser::new(&system).page("/dead-letters").await;
    assert!(page.contains(&id.to_string()), "{page}");
}
