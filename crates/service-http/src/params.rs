use axum::{
    extract::{FromRequestParts, Path, RawPathParams, path::ErrorKind, rejection::PathRejection},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use super::{FieldErrors, Problem, extract::field_error};

/// Extracts the query of a request. Refuses with 422 a query that is not a `T`, naming the parameter.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApiQuery<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs))
            .map(Self)
            .map_err(|error| Problem::unprocessable(field_error(&error.path().to_string(), &error.inner().to_string())))
    }
}

/// Extracts the parameters in the path of a request. Refuses with 422 parameters that are not a `T`, such as an order
/// id of `abc`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApiPath<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ApiPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(refusal(rejection, parts, state).await),
        }
    }
}

async fn refusal<S: Send + Sync>(rejection: PathRejection, parts: &mut Parts, state: &S) -> Problem {
    let PathRejection::FailedToDeserializePathParams(error) = rejection else { return misused(&rejection) };
    let kind = error.into_kind();
    let (key, detail) = match kind {
        ErrorKind::ParseErrorAtKey { key, expected_type, .. } => {
            (Some(key), format!("must be of type {expected_type}"))
        }
        ErrorKind::ParseError { expected_type, .. } | ErrorKind::ParseErrorAtIndex { expected_type, .. } => {
            (None, format!("must be of type {expected_type}"))
        }
        ErrorKind::InvalidUtf8InPathParam { key } => (Some(key), "must be UTF-8".to_owned()),
        ErrorKind::DeserializeError { key, message, .. } => (Some(key), message),
        ErrorKind::Message(message) => (None, message),
        kind => return misused(&kind),
    };
    let key = match key {
        Some(key) => key,
        // For a path with one parameter, axum gives its value but not its name.
        None => {
            let parameters = RawPathParams::from_request_parts(parts, state).await;
            parameters.ok().and_then(|all| all.iter().next().map(|(name, _)| name.to_owned())).unwrap_or_default()
        }
    };
    Problem::unprocessable(FieldErrors::of(key, detail))
}

/// The route has other parameters than the handler expects: a bug in the service, not an error in the request.
fn misused(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "a handler asks for path parameters that its route does not have");
    Problem::internal()
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::{Limit, testing};

    #[derive(Debug, Deserialize)]
    struct Filter {
        #[serde(default)]
        limit: Limit,
        after: Option<i64>,
        status: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(try_from = "String")]
    struct Even(u64);

    impl TryFrom<String> for Even {
        type Error = &'static str;
        fn try_from(text: String) -> Result<Self, &'static str> {
            text.parse().ok().filter(|number| number % 2 == 0).map(Self).ok_or("must be even")
        }
    }

    fn router() -> Router {
        Router::new()
            .route(
                "/list",
                get(async |ApiQuery(Filter { limit, after, status }): ApiQuery<Filter>| {
                    format!("{} {after:?} {status:?}", limit.rows())
                }),
            )
            .route("/orders/{order_id}", get(async |ApiPath(id): ApiPath<i64>| id.to_string()))
            .route("/items/{sku}", get(async |ApiPath(sku): ApiPath<String>| sku))
            .route("/even/{number}", get(async |ApiPath(Even(number)): ApiPath<Even>| number.to_string()))
            .route(
                "/pairs/{left}/{right}",
                get(async |ApiPath((left, right)): ApiPath<(i8, i8)>| format!("{left}{right}")),
            )
            .route("/misused", get(async |ApiPath(id): ApiPath<i64>| id.to_string()))
    }

    #[tokio::test]
    async fn parameters_are_read() {
        for (path, answer) in [
            ("/list", "100 None None"),
            ("/list?limit=1000&after=-7&status=a%20b+c&more=x", "1000 Some(-7) Some(\"a b c\")"),
            ("/orders/12", "12"),
            ("/items/A%2FB%20%C3%BC+%00", "A/B ü+\0"),
            ("/even/4", "4"),
            ("/pairs/1/-2", "1-2"),
        ] {
            let (status, _, body) = testing::get(&router(), path).await;
            assert_eq!((status, body), (200, json!(answer)), "{path}");
        }
    }

    #[tokio::test]
    async fn a_wrong_parameter_is_422_and_named() {
        for (path, field, detail) in [
            ("/list?limit=0", "limit", "must be a whole number from 1 to 1000"),
            ("/list?after=x", "after", "invalid digit found in string"),
            ("/list?after=99999999999999999999", "after", "number too large to fit in target type"),
            ("/list?after=", "after", "cannot parse integer from empty string"),
            ("/list?after=1&after=2", "after", "is there more than once"),
            ("/orders/abc", "order_id", "must be of type i64"),
            ("/orders/1.5", "order_id", "must be of type i64"),
            ("/orders/99999999999999999999", "order_id", "must be of type i64"),
            ("/orders/%FF", "order_id", "must be UTF-8"),
            ("/items/%FF%FE", "sku", "must be UTF-8"),
            ("/even/3", "number", "must be even"),
        ] {
            let (status, _, body) = testing::get(&router(), path).await;
            assert_eq!((status, &body["errors"]), (422, &json!([{"field": field, "detail": detail}])), "{path}");
        }
        let (status, ..) = testing::get(&router(), "/pairs/1/1000").await;
        assert_eq!(status, 422);
    }

    #[tokio::test]
    async fn a_handler_at_the_wrong_route_does_not_reveal_the_cause() {
        let (status, _, body) = testing::get(&router(), "/misused").await;
        assert_eq!((status, &body["detail"]), (500, &json!("the service failed unexpectedly")));
    }
}
