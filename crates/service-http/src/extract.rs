use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{FieldErrors, Problem, body};

/// Extracts a JSON object from the body of a request.
///
/// Refuses with 415 a body that is not declared as JSON, with 413 or 408 one that is too large or too slow, with 400
/// one that is not JSON, and with 422 JSON that is not a `T`, naming the field.
///
/// To get a number exactly as it is written, without conversion to a float, use a field of type
/// `Box<serde_json::value::RawValue>`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApiJson<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::unsupported_media_type());
        }
        let body = body::read(request.into_body()).await?;
        parse(&body).map(Self)
    }
}

/// Returns whether the content type is `application/json` or `application/…+json`. A page of another site can send
/// anything else, or nothing, without asking first.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else { return false };
    let essence = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let essence = essence.to_ascii_lowercase();
    essence == b"application/json" || (essence.starts_with(b"application/") && essence.ends_with(b"+json"))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // Check the whole body, because serde_json does not check the strings of fields that it skips.
    let text = str::from_utf8(body)
        .map_err(|error| Problem::bad_request(format!("the body is not UTF-8 at byte {}", error.valid_up_to() + 1)))?;
    // Derived structs also accept an array of their fields, in order; that is never intended.
    if text.trim_ascii_start().starts_with('[') {
        return Err(refusal::<T>(text));
    }
    serde_json::from_str(text).map_err(|_| refusal::<T>(text))
}

const NOT_AN_OBJECT: &str = "the body must be a JSON object";

/// Explains what is wrong with `text`. The text is parsed a second time with path tracking, so that only invalid bodies
/// pay for it.
fn refusal<T: DeserializeOwned>(text: &str) -> Problem {
    // A body that is not JSON gets 400, even if a wrong type comes earlier in the text.
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return Problem::bad_request(format!("the body is not JSON: {error}"));
    }
    if !text.trim_ascii_start().starts_with('{') {
        return Problem::unprocessable(FieldErrors::of("", NOT_AN_OBJECT));
    }
    match serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_str(text)) {
        Err(error) => {
            let path = error.path().to_string();
            let message = error.into_inner().to_string();
            if message.starts_with("recursion limit exceeded") {
                return Problem::bad_request(format!("the body is nested too deeply: {message}"));
            }
            // Remove the line and the column: the field already tells the position.
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
            Problem::unprocessable(field_error(&path, message))
        }
        Ok(_) => Problem::unprocessable(FieldErrors::of("", NOT_AN_OBJECT)),
    }
}

/// Converts a serde error at `path` into a field error. For a missing, duplicate or unknown field, serde gives the name
/// only in the message, and the path is that of the enclosing struct.
pub(crate) fn field_error(path: &str, message: &str) -> FieldErrors {
    let path = if path == "." { "" } else { path };
    for (beginning, detail) in [
        ("missing field `", "is missing"),
        ("duplicate field `", "is there more than once"),
        ("unknown field `", "is not a field of this request"),
    ] {
        let Some((name, _)) = message.strip_prefix(beginning).and_then(|rest| rest.split_once('`')) else { continue };
        return match path {
            "" => FieldErrors::of(name, detail),
            _ if path == name || path.ends_with(&format!(".{name}")) => FieldErrors::of(path, detail),
            _ => FieldErrors::of(format_args!("{path}.{name}"), detail),
        };
    }
    FieldErrors::of(path, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Order {
        item_sku: String,
        quantity: u32,
        amount: Option<Box<RawValue>>,
        #[serde(default)]
        lines: Vec<Line>,
        #[serde(default)]
        note: serde_json::Value,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        #[allow(dead_code, reason = "only its reading is of interest")]
        quantity: u32,
    }

    fn order(body: impl AsRef<[u8]>) -> Result<Order, (u16, String, String)> {
        parse(body.as_ref()).map_err(|problem: Problem| {
            let field = problem.errors().first().map(|error| error.field.clone()).unwrap_or_default();
            (problem.status().as_u16(), field, problem.detail().to_owned())
        })
    }

    #[test]
    fn an_amount_arrives_as_it_is_written() {
        for amount in ["200", "200.50", "1e400", "-0.10000000000000000001", "\"200\"", "[[]]"] {
            let read =
                order(format!(r#" {{"item_sku": "A", "quantity": 2, "amount": {amount}, "x": 1e999}} "#)).unwrap();
            assert_eq!(read.amount.unwrap().get(), amount);
            assert_eq!((read.item_sku.as_str(), read.quantity, read.lines.len()), ("A", 2, 0));
            // On the way that keeps track of the path too.
            let json = format!(r#"{{"amount": {amount}, "item_sku": "A", "quantity": 2}}"#);
            let mut json = serde_json::Deserializer::from_str(&json);
            let read: Order = serde_path_to_error::deserialize(&mut json).unwrap();
            assert_eq!(read.amount.unwrap().get(), amount);
        }
        for amount in ["", r#", "amount": null"#] {
            let read = order(format!(r#"{{"item_sku": "A", "quantity": 2{amount}}}"#)).unwrap();
            assert!(read.amount.is_none() && read.note.is_null());
        }
    }

    #[test]
    fn what_is_not_json_is_400_and_says_where() {
        let deep = |depth| {
            format!(r#"{{"item_sku": "A", "quantity": 1, "note": {}{}}}"#, "[".repeat(depth), "]".repeat(depth))
        };
        assert!(order(deep(100)).is_ok());
        for (body, place) in [
            ("", "line 1 column 0"),
            ("  ", "line 1 column 2"),
            ("nonsense", "line 1 column 2"),
            ("{", "line 1 column 1"),
            ("{\"item_sku\": \"A\",\n\"quantity\": }", "line 2 column 13"),
            (r#"{"item_sku": "A", "quantity": NaN}"#, "line 1 column 31"),
            (r#"{"item_sku": "A", "quantity": 1, "amount": NaN}"#, "line 1 column 44"),
            (r#"{"item_sku": "A", "quantity": 1, "amount": -Infinity}"#, "line 1 column 45"),
            (r#"{"item_sku": "A", "quantity": 01}"#, "line 1 column 32"),
            (r#"{"item_sku": "A", "quantity": 1} x"#, "line 1 column 34"),
            (r#"{"item_sku": "A", "quantity": 1}{}"#, "line 1 column 33"),
            (r#"{"item_sku": 5, "quantity": 1"#, "line 1 column 29"),
            ("{\"item_sku\": \"A\0\", \"quantity\": 1}", "line 1 column 15"),
            ("\u{feff}{}", "line 1 column 1"),
            (&"[".repeat(5_000), "line 1 column 5000"),
            (&deep(5_000), "line 1 column 168"),
        ] {
            let (status, field, detail) = order(body).unwrap_err();
            assert_eq!((status, field.as_str()), (400, ""), "{body:.60}: {detail}");
            assert!(detail.ends_with(place), "{body:.60}: {detail}");
        }
        let (status, _, detail) = order(b"{\"item_sku\": \"A\", \"quantity\": 1, \"other\": \"\xff\"}").unwrap_err();
        assert_eq!((status, detail.as_str()), (400, "the body is not UTF-8 at byte 44"));
    }

    #[test]
    fn what_is_json_but_wrong_is_422_and_says_which_field() {
        for (body, wrong, detail) in [
            ("{}", "item_sku", "is missing"),
            (r#"{"item_sku": "A"}"#, "quantity", "is missing"),
            (r#"{"item_sku": "A", "quantity": 1, "lines": [{"quantity": 1}, {}]}"#, "lines[1].quantity", "is missing"),
            (r#"{"item_sku": "A", "item_sku": "A", "quantity": 1}"#, "item_sku", "is there more than once"),
            (
                r#"{"item_sku": "A", "quantity": 1, "lines": [{"x": 1}]}"#,
                "lines[0].x",
                "is not a field of this request",
            ),
            (r#"{"item_sku": 5}"#, "item_sku", "invalid type: integer `5`, expected a string"),
            (r#"{"item_sku": null}"#, "item_sku", "invalid type: null, expected a string"),
            (r#"{"quantity": "2"}"#, "quantity", "invalid type: string \"2\", expected u32"),
            (r#"{"quantity": 1.5}"#, "quantity", "invalid type: floating point `1.5`, expected u32"),
            (r#"{"quantity": -1}"#, "quantity", "invalid value: integer `-1`, expected u32"),
            (r#"{"quantity": 1e400}"#, "quantity", "number out of range"),
            (r#"{"lines": {}}"#, "lines", "invalid type: map, expected a sequence"),
            (r#"["A", 1, 200, [], null]"#, "", "the body must be a JSON object"),
            ("[]", "", "the body must be a JSON object"),
            ("\"text\"", "", "the body must be a JSON object"),
        ] {
            let problem = order(body).unwrap_err();
            let expected = if wrong.is_empty() { detail.to_owned() } else { format!("{wrong}: {detail}") };
            assert_eq!(problem, (422, wrong.to_owned(), expected), "{body}");
        }
        let (status, field, _) =
            order(format!(r#"{{"item_sku": {}{}}}"#, "[".repeat(5_000), "]".repeat(5_000))).unwrap_err();
        assert_eq!((status, field.as_str()), (422, "item_sku"));
        let (status, field, _) = order(r#"{"item_sku": "\ud800"}"#).unwrap_err();
        assert_eq!((status, field.as_str()), (422, "item_sku"));
    }

    #[test]
    fn json_may_be_declared_in_many_ways() {
        let is_json = |content_type: &[u8]| {
            let value = axum::http::HeaderValue::from_bytes(content_type).unwrap();
            is_json(&[(header::CONTENT_TYPE, value)].into_iter().collect())
        };
        for content_type in ["application/json", "Application/JSON ; charset=utf-8", "application/vnd.shop+json"] {
            assert!(is_json(content_type.as_bytes()), "{content_type}");
        }
        for content_type in
            ["", "text/plain", "text/json", "application/jsonp", "application/x-www-form-urlencoded", ";"]
        {
            assert!(!is_json(content_type.as_bytes()), "{content_type}");
        }
        assert!(!is_json(b"\xff"));
        assert!(!super::is_json(&HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Err((status, ..)) = order(&body) {
                prop_assert!(status == 400 || status == 422);
            }
        }
    }
}
