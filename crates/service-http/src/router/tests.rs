use std::io;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{OriginalUri, Request},
    http::{StatusCode, header},
    response::sse::{Event, Sse},
};
use futures::stream;
use saga_runtime::Readiness;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::*;
use crate::{ApiJson, ApiPath, ApiQuery, BrowserPolicy, Limit, Page, Problem, health, testing};

mod browsers;

#[derive(Debug, Deserialize, Serialize, ToSchema)]
struct Order {
    quantity: u32,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    limit: Limit,
}

#[utoipa::path(
    post, path = "/api/v1/orders", security(()), request_body = Order, responses((status = 200, body = Order)),
)]
async fn create(ApiJson(order): ApiJson<Order>) -> Json<Order> {
    Json(order)
}

#[utoipa::path(
    get, path = "/api/v1/orders", security(()), params(("limit" = Option<Limit>, Query)),
    responses((status = 200, body = [u8])),
)]
async fn list(OriginalUri(uri): OriginalUri, ApiQuery(List { limit }): ApiQuery<List>) -> Page<u8> {
    Page::new(&uri, limit, vec![(7, 7)])
}

#[utoipa::path(get, path = "/api/v1/orders/{id}", security(()), params(("id" = i64, Path)), responses(
    (status = 200, body = i64), (status = 404, description = "order not found"),
))]
async fn show(ApiPath(id): ApiPath<i64>) -> Result<Json<i64>, Problem> {
    if id == 1 { Ok(Json(id)) } else { Err(Problem::not_found("order not found")) }
}

#[utoipa::path(get, path = "/panic", security(()), responses((status = 200)))]
async fn panic() {
    panic!("the secret cause");
}

#[utoipa::path(get, path = "/careless", security(()), responses((status = 200)))]
async fn careless() -> (StatusCode, [(header::HeaderName, &'static str); 1], &'static str) {
    (StatusCode::INTERNAL_SERVER_ERROR, [(header::SERVER, "x")], "the secret cause")
}

#[utoipa::path(
    post, path = "/other-body", security(()), request_body(content = String, content_type = "text/plain"),
    responses((status = 200, body = String)),
)]
async fn other_body(body: Bytes) -> String {
    body.len().to_string()
}

#[utoipa::path(get, path = "/stream", security(()), responses((status = 200)))]
async fn endless() -> Sse<impl stream::Stream<Item = io::Result<Event>>> {
    Sse::new(stream::repeat_with(|| Ok(Event::default().data("x"))))
}

fn router() -> Router {
    router_with(BrowserPolicy::default())
}

fn router_with(browsers: BrowserPolicy) -> Router {
    let routes = OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show))
        .routes(routes!(panic))
        .routes(routes!(careless))
        .routes(routes!(other_body))
        .routes(routes!(endless));
    let routes = routes.merge(health::routes(Readiness::new([])));
    finish("Orders", "Takes orders.", routes, Edge { browsers, ..Edge::default() })
}

fn post(path: &str, body: impl Into<Body>) -> Request {
    Request::post(path).header("content-type", "application/json").body(body.into()).unwrap()
}

/// Returns a body of 2 MiB without a `Content-Length`.
fn large_stream() -> Body {
    Body::from_stream(stream::iter((0..128).map(|_| Ok::<_, io::Error>(vec![b' '; 16 * 1024]))))
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let request = |method: &str, path: &str| Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let large = || vec![b' '; 2 * 1024 * 1024];
    let announced = |path| {
        let large = large();
        let mut request = post(path, "");
        request.headers_mut().insert(header::CONTENT_LENGTH, large.len().into());
        request.map(|_| Body::from(large))
    };
    let text = Request::post("/api/v1/orders").header("content-type", "text/plain").body("{}".into()).unwrap();
    let undeclared = Request::post("/api/v1/orders").body("{\"quantity\": 1}".into()).unwrap();
    for (request, status, instance) in [
        (post("/api/v1/orders", "{"), 400, "/api/v1/orders"),
        (post("/api/v1/orders/", "{\"quantity\": NaN}"), 400, "/api/v1/orders/"),
        (post("/api/v1/orders", "[".repeat(5_000)), 400, "/api/v1/orders"),
        (post("/api/v1/orders", vec![0; 10]), 400, "/api/v1/orders"),
        (post("/api/v1/orders", "{}"), 422, "/api/v1/orders"),
        (post("/api/v1/orders", "{\"quantity\": \"1\"}"), 422, "/api/v1/orders"),
        (post("/api/v1/orders", "{\"quantity\": 1e400}"), 422, "/api/v1/orders"),
        (text, 415, "/api/v1/orders"),
        (undeclared, 415, "/api/v1/orders"),
        (announced("/api/v1/orders"), 413, "/api/v1/orders"),
        (announced("/nowhere"), 413, "/nowhere"),
        (post("/api/v1/orders", large()), 413, "/api/v1/orders"),
        (post("/api/v1/orders", large_stream()), 413, "/api/v1/orders"),
        (post("/other-body", large_stream()), 413, "/other-body"),
        (request("GET", "/api/v1/orders?limit=0"), 422, "/api/v1/orders"),
        (request("GET", "/api/v1/orders/abc"), 422, "/api/v1/orders/abc"),
        (request("GET", "/api/v1/orders/2?x=y"), 404, "/api/v1/orders/2"),
        (request("GET", "/nowhere/%00/%FF/"), 404, "/nowhere/%00/%FF/"),
        (request("GET", "/"), 404, "/"),
        (request("GET", "//"), 404, "//"),
        (request("OPTIONS", "*"), 404, "*"),
        (request("GET", "/docs/nothing"), 404, "/docs/nothing"),
        (request("PUT", "/docs"), 405, "/docs"),
        (request("DELETE", "/api/v1/orders/"), 405, "/api/v1/orders/"),
        (request("BREW", "/health"), 405, "/health"),
        (request("GET", "/panic"), 500, "/panic"),
        (request("GET", "/careless"), 500, "/careless"),
    ] {
        let what = format!("{request:?}");
        let (answered, headers, body) = testing::send(&router(), request).await;
        assert_eq!(
            (answered, &body["status"], &body["instance"]),
            (status, &json!(status), &json!(instance)),
            "{what}"
        );
        assert_eq!(headers["content-type"], "application/problem+json", "{what}");
        assert!(body["title"].is_string() && body["type"].is_string() && body["detail"].is_string(), "{what}: {body}");
        let length = headers.get("content-length").map(|length| length.to_str().unwrap().parse::<usize>().unwrap());
        assert!(length.is_none_or(|length| length == body.to_string().len()), "{what}: {length:?}");
        assert!(!body.to_string().contains("secret"), "{body}");
        assert_eq!(body["errors"].is_array(), status == 422, "{body}");
    }
}

#[tokio::test]
async fn the_headers_of_a_refusal_stay() {
    let request = Request::delete("/api/v1/orders/").body(Body::empty()).unwrap();
    let (_, headers, _) = testing::send(&router(), request).await;
    let mut allowed: Vec<_> = headers["allow"].to_str().unwrap().split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    assert_eq!(testing::get(&router(), "/careless").await.1["server"], "x");
}

#[tokio::test]
async fn a_collection_answers_with_and_without_a_slash() {
    for path in ["/api/v1/orders", "/api/v1/orders/"] {
        let (status, _, body) = testing::send(&router(), post(path, "{\"quantity\": 1}")).await;
        assert_eq!((status, body), (200, json!({"quantity": 1})));
        let (status, headers, body) = testing::get(&router(), &format!("{path}?limit=1&after=3&x=y")).await;
        assert_eq!((status, body), (200, json!([7])));
        assert_eq!(headers["link"], format!("<{path}?x=y&limit=1&after=7>; rel=\"next\""));
    }
    assert_eq!(testing::get(&router(), "/api/v1/orders/1/").await.0, 200);
    assert_eq!(testing::get(&router(), "/health/").await.2, json!({"status": "ok"}));
    assert_eq!(testing::get(&router(), "/health/ready/").await.2["status"], "ready");
}

#[tokio::test]
async fn the_documentation_is_complete() {
    let (status, headers, _) = testing::get(&router(), "/docs").await;
    assert_eq!((status, headers["location"].to_str().unwrap()), (303, "/docs/"));
    let (status, headers, page) = testing::get(&router(), "/docs/").await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "text/html"));
    assert!(page.as_str().unwrap().contains("swagger-ui-bundle.js"));
    assert_eq!(testing::get(&router(), "/docs/swagger-ui-bundle.js").await.0, 200);

    let (status, _, openapi) = testing::get(&router(), "/openapi.json").await;
    assert_eq!((status, &openapi["info"]["title"]), (200, &json!("Orders")));
    let problem = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
    let paths = &openapi["paths"];
    for status in ["400", "413", "415", "422"] {
        assert_eq!(paths["/api/v1/orders"]["post"]["responses"][status]["content"], problem);
    }
    let show = &paths["/api/v1/orders/{id}"]["get"]["responses"];
    assert_eq!((&show["404"]["content"], &show["404"]["description"]), (&problem, &json!("order not found")));
    assert_eq!(show["422"]["content"], problem);
    assert!(paths["/health"]["get"].is_object());
    let not_ready = &paths["/health/ready"]["get"]["responses"]["503"]["content"]["application/json"];
    assert_eq!(not_ready["schema"]["$ref"], "#/components/schemas/ReadinessReport");
    let schemas = &openapi["components"]["schemas"];
    assert_eq!((&schemas["Limit"]["minimum"], &schemas["Limit"]["maximum"]), (&json!(1), &json!(1000)));
    assert_eq!(schemas["Problem"]["properties"]["status"]["type"], "integer");
    assert_eq!(schemas["FieldError"]["required"], json!(["field", "detail"]));
    // Every reference has a target.
    for reference in openapi.to_string().split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas[name].is_object(), "{name}");
    }
}

#[tokio::test]
async fn a_request_is_traced() {
    let (log, _guard) = saga_support::testing::log();
    testing::get(&router(), "/api/v1/orders/2?secret").await;
    let line = log.lines().into_iter().find(|line| line.contains("request answered")).unwrap();
    for field in ["method=GET", "path=\"/api/v1/orders/2\"", "http.status=404", "duration_ms="] {
        assert!(line.contains(field), "{line}");
    }
    assert!(!line.contains("secret"), "{line}");
    testing::get(&router(), "/panic").await;
    assert!(log.lines().iter().any(|line| line.contains("ERROR") && line.contains("the secret cause")));
}

#[tokio::test]
async fn a_problem_names_the_trace_of_its_request() {
    for (traceparent, trace_id) in [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-00", json!(null)),
        ("nonsense", json!(null)),
    ] {
        let request = Request::get("/nowhere").header("traceparent", traceparent).body(Body::empty()).unwrap();
        let (_, _, problem) = testing::send(&router(), request).await;
        assert_eq!(problem["trace_id"], trace_id, "{traceparent}");
    }
    let (_, _, problem) = testing::get(&router(), "/nowhere").await;
    assert!(problem.get("trace_id").is_none(), "{problem}");
}

#[tokio::test]
async fn a_stream_is_answered_before_it_ends() {
    let request = Request::get("/stream").body(Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(router(), request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
}
