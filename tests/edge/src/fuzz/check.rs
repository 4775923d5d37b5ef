//! What every response must be.

use serde_json::Value;

use super::{
    connection::Response,
    document::{Document, Operation},
    request::{FuzzRequest, Generator, Kind},
};

/// Refusals that every route may give, whatever its document says: a request that HTTP does not allow, a page of
/// another site, a body that is too slow or too large, a path or a head that is too long, another host, too many
/// requests.
const EVERYWHERE: &[u16] = &[400, 403, 408, 413, 414, 417, 421, 429, 431];
/// Refusals of what is not a route, or not by this method.
const NO_ROUTE: &[u16] = &[404, 405, 415, 422];

/// Returns whether nothing may have been written for a response with this status.
#[must_use]
pub(super) fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) || status == 503
}

/// Checks the responses to a request.
///
/// # Errors
/// What is wrong with the first that is wrong.
pub fn check(generator: &Generator, request: &FuzzRequest, responses: &[Response]) -> Result<(), String> {
    let document = generator.document(request.service);
    for response in responses {
        // A response that was cut off by the client has no body to speak of.
        let cut = matches!(request.kind, Kind::Cut | Kind::Silent) && !response.complete;
        let body = request.kind != Kind::Head && !cut && !response.is_stream();
        one(document, generator.operation(request), response, body)
            .map_err(|why| format!("{why}: {}", shown(response)))?;
    }
    Ok(())
}

fn one(document: &Document, operation: Option<&Operation>, response: &Response, body: bool) -> Result<(), String> {
    let status = response.status;
    if status >= 500 && status != 503 {
        return Err(format!("status {status}"));
    }
    let documented = |operation: &Operation| operation.responses.contains_key(&status);
    let known = match operation {
        Some(operation) => documented(operation) || EVERYWHERE.contains(&status),
        None => {
            status < 400
                || document.operations.iter().any(documented)
                || EVERYWHERE.contains(&status)
                || NO_ROUTE.contains(&status)
        }
    };
    if !known {
        return Err(format!("status {status} is not documented"));
    }
    if body && (status < 300 || operation.is_some_and(documented)) {
        content(document, operation, response)?;
    }
    if is_refusal(status) && body {
        problem(response)?;
    }
    Ok(())
}

/// Checks that the content is as documented for this operation.
fn content(document: &Document, operation: Option<&Operation>, response: &Response) -> Result<(), String> {
    let Some(content) = operation.and_then(|operation| operation.responses.get(&response.status)) else {
        return Ok(());
    };
    let Some(documented) = content.as_object().filter(|documented| !documented.is_empty()) else { return Ok(()) };
    if from_parser(response) {
        return Ok(());
    }
    let media_type = response.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    let Some(content) = documented.get(media_type) else { return Err(format!("undocumented content {media_type:?}")) };
    if media_type.ends_with("json") {
        let json: Value = serde_json::from_slice(&response.body).map_err(|error| format!("not JSON: {error}"))?;
        document.check(&content["schema"], &json, "body")?;
    }
    Ok(())
}

/// Whether hyper's parser has refused the request before it was one: without a body, and the connection ends.
fn from_parser(response: &Response) -> bool {
    response.closes() && response.body.is_empty() && matches!(response.status, 400 | 414 | 431)
}

/// Checks that a refusal is a problem with all its fields.
fn problem(response: &Response) -> Result<(), String> {
    let status = response.status;
    if from_parser(response) {
        return Ok(());
    }
    if status == 503 && response.header("retry-after").is_none() {
        return Err("a 503 without Retry-After".to_owned());
    }
    let json: Value = serde_json::from_slice(&response.body).map_err(|error| format!("not JSON: {error}"))?;
    // Readiness has a report of its own.
    if status == 503 && json["status"] == "not ready" {
        return Ok(());
    }
    if response.header("content-type") != Some("application/problem+json") {
        return Err("a refusal that is not a problem".to_owned());
    }
    if json["status"] != status || !["type", "title", "detail", "instance"].iter().all(|name| json[name].is_string()) {
        return Err("a problem without its fields".to_owned());
    }
    let errors = json["errors"].as_array().map_or(0, Vec::len);
    if (status == 422) != (errors > 0) {
        return Err("a problem of another kind has fields, or a 422 has none".to_owned());
    }
    if status == 401 && response.header("www-authenticate").is_none() {
        return Err("a 401 without WWW-Authenticate".to_owned());
    }
    Ok(())
}

fn shown(response: &Response) -> String {
    let body = &response.body[..response.body.len().min(1000)];
    format!("{} {:?}: {}", response.status, response.header("content-type"), body.escape_ascii())
}
