//! Paths and queries.

use super::{document::Operation, request::Draft, values::Values};

/// Path segments and values that are often handled wrongly. They are sent as they are here.
const ODD: &[&str] = &[
    "",
    "0",
    "-1",
    "+1",
    "01",
    "1.5",
    "1e2",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "abc",
    "%00",
    "%FF",
    "%C0%AF",
    "%ED%A0%80",
    "%2e%2e",
    "..",
    ".",
    "%2F",
    "a%2Fb",
    "%252F",
    "1;x=1",
    "%D9%A1",
    "%",
    "%zz",
    "%1",
    "*",
    "~",
    "'",
    "%27%20OR%201=1",
    "stream",
    "items",
    "reserve",
    "1/",
    "1//",
    "1/events/",
    "%F0%9F%98%80",
    "%0d%0aX:y",
    "\u{fc}",
    "@",
    "a:b",
    "[x]",
    "%20",
    "00000000-0000-0000-0000-000000000000",
    "true",
    "null",
];

/// Paths that no document has.
const OTHER: &[&str] = &[
    "/",
    "//",
    "/docs",
    "/docs/",
    "/docs/../health",
    "/docs/%2e%2e/",
    "/openapi.json",
    "/asyncapi.json",
    "/problems/",
    "/problems/validation",
    "/problems/%00",
    "/API/V1/ORDERS",
    "/api/v1/",
    "/api/v2/orders",
    "/.git/config",
    "/health/x",
    "/admin",
    "/admin/",
    "/admin/..",
    "/admin/%2e%2e/health",
    "/api/v1/orders/../../../health",
    "http://localhost/health",
    "http://example.com:99999/",
    "https://localhost/api/v1/orders",
    "*",
    "localhost:80",
    "/api/v1/orders//stream",
    "/api/v1/orders/1/cancel/x",
    "/api/v1/stock//",
    "?",
    "/?",
    "/health?#x",
    "/%68ealth",
    "//example.com/",
];

/// Sets the path and the query, and forgets the operation if it is no longer certain.
pub(super) fn build(values: &mut Values<'_>, operation: &Operation, odd: bool, draft: &mut Draft) {
    if odd && values.percent(10) {
        draft.target = values.pick(OTHER).as_bytes().to_vec();
        draft.operation = None;
        return;
    }
    let mut path = String::new();
    for segment in operation.path.split('/').skip(1) {
        path.push('/');
        let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match operation.parameters_in("path").find(|parameter| name == Some(&parameter.name)) {
            None => path.push_str(segment),
            Some(_) if odd && values.percent(60) => {
                // It may be another route now.
                draft.operation = None;
                path.push_str(&odd_text(values));
            }
            Some(parameter) => path.push_str(&encoded(&text_of(&values.valid(&parameter.schema)))),
        }
    }
    if odd && values.percent(30) {
        draft.operation = None;
        let at = values.rng.usize(..=path.len());
        let at = (0..=at).rev().find(|at| path.is_char_boundary(*at)).unwrap_or_default();
        let piece = values.pick(&["/", "%", "..", "/./", "%2F", "%00", ";", "\u{fc}", "?", "#", "%ff"]);
        path.insert_str(at, piece);
    } else if values.percent(15) && !path.ends_with('/') {
        path.push('/');
    }
    let query = query(values, operation, odd);
    draft.target = if query.is_empty() { path } else { format!("{path}?{query}") }.into_bytes();
}

fn query(values: &mut Values<'_>, operation: &Operation, odd: bool) -> String {
    let mut pairs = Vec::new();
    for parameter in operation.parameters_in("query") {
        if !values.percent(30) {
            continue;
        }
        let value = match odd && values.percent(50) {
            true => odd_text(values),
            false => encoded(&text_of(&values.valid(&parameter.schema))),
        };
        pairs.push(format!("{}={value}", parameter.name));
        if odd && values.percent(10) {
            pairs.push(format!("{}={value}", parameter.name));
        }
    }
    if odd && values.percent(20) {
        let more =
            ["&", "=", "=x", "x", "%00=%ff", "limit[]=1", "limit=1000", "%6cimit=1", "after=&before=", "a=b=c", "+=+"];
        pairs.push(values.pick(&more).to_owned());
    }
    pairs.join("&")
}

fn odd_text(values: &mut Values<'_>) -> String {
    if values.percent(4) {
        let length = values.rng.usize(1_000..40_000);
        return values.pick(&["a", "%41", "9", "/", "%00"]).repeat(length);
    }
    values.pick(ODD).to_owned()
}

/// Returns a JSON value as it is written in a path or a query.
fn text_of(json: &str) -> String {
    serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned())
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}
