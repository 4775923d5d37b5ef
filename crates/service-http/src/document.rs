use axum::{
    body::Bytes,
    http::header,
    routing::{MethodRouter, get},
};

/// Serves a JSON document that does not change.
pub fn document<S: Clone + Send + Sync + 'static>(json: String) -> MethodRouter<S> {
    let json = Bytes::from(json);
    get(|| async { ([(header::CONTENT_TYPE, "application/json")], json) })
}
