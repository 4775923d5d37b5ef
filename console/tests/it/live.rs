//! The live part of the page "Now".

use reqwest::{Response, StatusCode};

use crate::harness::{TestConsole, nowhere, text};

/// Reads the stream until it has brought these words.
async fn read_until(stream: &mut Response, words: &str) {
    let mut read = String::new();
    while !read.contains(words) {
        let chunk = stream.chunk().await.unwrap().unwrap_or_else(|| panic!("the stream ended after {read}"));
        read.push_str(&String::from_utf8_lossy(&chunk));
    }
}

#[tokio::test]
async fn a_stream_brings_every_part_of_the_page_at_once() {
    let console = TestConsole::open(&nowhere()).await;
    let mut stream = console.get("/now/events").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    for part in ["event: problems", "event: rates", "event: map", "event: orders"] {
        // Each connection begins with all of them, so that a page that connects again shows nothing old.
        read_until(&mut stream, part).await;
        stream = console.get("/now/events").send().await.unwrap();
    }
    read_until(&mut stream, "cannot be reached").await;
}

#[tokio::test]
async fn the_number_of_streams_is_limited_and_a_closed_one_makes_room() {
    let console = TestConsole::open(&nowhere()).await;
    let mut open = Vec::new();
    let refused = loop {
        let stream = console.get("/now/events").send().await.unwrap();
        if stream.status() != StatusCode::OK {
            break stream;
        }
        open.push(stream);
        assert!(open.len() <= 1_000, "there is no limit");
    };
    assert!(open.len() >= 200, "only {} pages can be open", open.len());
    assert_eq!(
        (refused.status(), refused.headers()["retry-after"].to_str().unwrap()),
        (StatusCode::SERVICE_UNAVAILABLE, "5")
    );
    let page = text(console.get("/"), StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(page.contains("Too many pages are open"), "{page}");
    // All of them get what changes.
    for stream in &mut open {
        read_until(stream, "event: problems").await;
    }
    open.pop();
    while console.get("/now/events").send().await.unwrap().status() != StatusCode::OK {}
}

#[tokio::test]
async fn streams_end_when_the_console_stops() {
    let console = TestConsole::open(&nowhere()).await;
    let mut stream = console.get("/now/events").send().await.unwrap();
    read_until(&mut stream, "event: orders").await;
    console.stop().await;
    while let Ok(Some(_)) = stream.chunk().await {}
}
