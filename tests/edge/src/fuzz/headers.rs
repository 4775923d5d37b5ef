//! Headers that are well-formed, with expected and unexpected values.

use super::{document::Operation, request::Draft, values::Values};

/// Headers that a service or a proxy in front of it may read, each with values.
const KNOWN: &[(&str, &[&str])] = &[
    (
        "prefer",
        &["respond-async", "wait=0", "wait=1", "wait=-1", "wait=1e9", "wait=", "wait", ";", ",,,", "wait=\"2\", x"],
    ),
    ("idempotency-key", &["key-1", "\"key-2\"", "\"", "\"\"", "\"a\\\"b\"", "", "\"a\" ", ":YQ==:", "?1", "a, b"]),
    ("if-match", &["*", "\"1\"", "W/\"1\"", "\"", "1", "\"1\", \"2\"", "", "\"99999999999999999999\""]),
    ("if-none-match", &["*", "\"1\"", "W/\"x\"", ""]),
    (
        "last-event-id",
        &["0", "1", "-1", "x", "", "1-1", "99999999999999999999-1", "0-9223372036854775807", "\0", "a/b/c"],
    ),
    (
        "traceparent",
        &[
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00",
            "",
            "00-x-y-z",
            "-",
            "00-4BF9-00F0-01",
        ],
    ),
    ("tracestate", &["a=b", "=", "", ",,,"]),
    (
        "host",
        &[
            "localhost:1",
            "127.0.0.1",
            "example.com",
            "",
            "[::1]",
            "[::1",
            "localhost:99999",
            "a b",
            "%00",
            "LOCALHOST.",
        ],
    ),
    ("origin", &["null", "http://localhost:8001", "https://example.com", "", "x", "http://", "http://[::1]"]),
    ("sec-fetch-site", &["cross-site", "same-origin", "none", "x", ""]),
    ("accept", &["*/*", "text/html", "application/xml;q=0.9", ";;;", "", "application/json;q=NaN"]),
    ("accept-encoding", &["gzip", "br;q=2", "*;q=0", "identity;q=0"]),
    ("content-encoding", &["gzip", "deflate, gzip", "x"]),
    ("expect", &["100-continue", "x", ""]),
    ("connection", &["close", "keep-alive", "upgrade", "x, close"]),
    ("upgrade", &["h2c", "websocket", "TLS/1.3"]),
    ("range", &["bytes=0-0", "bytes=-1", "bytes=9-1,2-3", "x"]),
    ("x-forwarded-for", &["1.2.3.4", "::1", "x"]),
    ("x-http-method-override", &["DELETE"]),
    ("cookie", &["a=b", "console_session=x", ";;=", "\u{ff}"]),
    ("access-control-request-method", &["POST", "x", ""]),
    ("te", &["trailers", "x"]),
    ("trailer", &["x"]),
];

const CONTENT_TYPES: &[&str] = &[
    "application/json; charset=utf-8",
    "APPLICATION/JSON",
    "application/x+json",
    "text/plain",
    "",
    ";",
    "application/json;",
    "application/json, text/plain",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "json",
    "\u{ff}",
    "application/jsonx",
    "application/",
    "*/*",
];

const WRONG_CREDENTIALS: &[&str] = &[
    "",
    "Bearer",
    "Bearer ",
    "Bearer x",
    "bearer x",
    "Basic YTpi",
    "Basic !",
    "Bearer \u{ff}",
    "Bearer a b",
    "Digest x",
    "Bearer ck_0_0",
    "Bearer ck__",
    "Bearer ck_00000000_0000000000000000000000000000000000000000000",
];

/// Adds headers. Odd ones are unusual in their values, number or size.
pub(super) fn build(
    values: &mut Values<'_>,
    operation: &Operation,
    credentials: &[String],
    odd: bool,
    draft: &mut Draft,
) {
    let add = |draft: &mut Draft, name: &str, value: &str| draft.headers.push((name.to_owned(), latin1(value)));
    add(draft, "host", "localhost");
    if draft.body.is_some() && !(odd && values.percent(15)) {
        let value = if odd && values.percent(30) { values.pick(CONTENT_TYPES) } else { "application/json" };
        add(draft, "content-type", value);
    }
    let chosen = if credentials.is_empty() { None } else { Some(&credentials[values.rng.usize(..credentials.len())]) };
    match chosen {
        Some(valid) if !values.percent(if operation.secured { 30 } else { 10 }) => add(draft, "authorization", valid),
        _ if values.percent(50) => add(draft, "authorization", values.pick(WRONG_CREDENTIALS)),
        _ => {}
    }
    for parameter in operation.parameters_in("header") {
        let known = KNOWN.iter().find(|(name, _)| parameter.name.eq_ignore_ascii_case(name));
        if let Some((name, of_header)) = known.filter(|_| values.percent(30)) {
            add(draft, name, values.pick(of_header));
        }
    }
    if !odd {
        return;
    }
    for _ in 0..values.rng.usize(..4) {
        let (name, of_header) = KNOWN[values.rng.usize(..KNOWN.len())];
        let value = values.pick(of_header);
        if name == "host" && values.rng.bool() {
            draft.headers.retain(|(name, _)| name != "host");
        }
        add(draft, name, value);
    }
    if values.percent(10) {
        let (name, length) = (KNOWN[values.rng.usize(..KNOWN.len())].0, values.rng.usize(200..36_000));
        let value = values.pick(&["a", ",", "\"", "9", "\u{ff}", " x"]).repeat(length);
        add(draft, name, &value);
    }
    if values.percent(5) {
        let (count, name) =
            (values.rng.usize(50..150), values.pick(&["x", "prefer", "traceparent", "idempotency-key"]));
        (0..count).for_each(|_| add(draft, name, "wait=1"));
    }
}

/// Returns the bytes of a header, in which a character is a byte. What HTTP does not allow is left out.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().filter_map(|one| u8::try_from(one).ok()).filter(|byte| *byte >= b' ' && *byte != 0x7f).collect()
}
