use axum::{body::Bytes, http::header, routing::get};
use utoipa::openapi::{
    Content, HttpMethod, OpenApi, PathItem, Paths, Response,
    path::{Operation, OperationBuilder},
    security::SecurityRequirement,
};
use utoipa_axum::router::OpenApiRouter;

/// Returns the route of a JSON document that does not change, for everybody. `summary` describes it in one line.
pub fn document<S: Clone + Send + Sync + 'static>(path: &str, summary: &str, json: String) -> OpenApiRouter<S> {
    let ok = Response::builder().content("application/json", Content::builder().build());
    let operation = Operation::builder().tag("health").summary(Some(summary)).response("200", ok);
    let json = Bytes::from(json);
    OpenApiRouter::with_openapi(public(path, HttpMethod::Get, operation))
        .route(path, get(|| async { ([(header::CONTENT_TYPE, "application/json")], json) }))
}

/// Describes an operation that everybody may use.
pub(crate) fn public(path: &str, method: HttpMethod, operation: OperationBuilder) -> OpenApi {
    let operation = operation.securities(Some([SecurityRequirement::default()]));
    let mut openapi = OpenApi::default();
    openapi.paths = Paths::builder().path(path, PathItem::new(method, operation)).build();
    openapi
}
