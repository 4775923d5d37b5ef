//! What each route needs, as its OpenAPI annotation says: `security(())` for a route that everybody may use, and
//! `security(("bearer" = [Scope::Admin]))` for one that needs a scope.

use std::collections::HashMap;

use axum::{extract::MatchedPath, http::Method};
use serde_json::Value;
use utoipa::openapi::OpenApi;

use super::Scope;

/// The name of the security scheme in the OpenAPI documents.
pub(crate) const SCHEME: &str = "bearer";

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requirement {
    /// Nothing: everybody may send it.
    Public,
    /// A caller with this scope.
    Scope(Scope),
}

/// What the document says about an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) requirement: Requirement,
    /// Whether it is recorded in the audit log: it changes something and needs a scope, unless its annotation has the
    /// extension [`UNAUDITED`].
    pub(crate) is_audited: bool,
}

/// The extension of an operation whose effect is a record by itself.
const UNAUDITED: &str = "x-unaudited";

/// What the requests of each route need, by its path and method.
#[derive(Debug)]
pub(crate) struct Requirements(HashMap<String, HashMap<Method, Operation>>);

/// The members of a path item that are operations.
const METHODS: [Method; 8] = [
    Method::GET,
    Method::PUT,
    Method::POST,
    Method::DELETE,
    Method::OPTIONS,
    Method::HEAD,
    Method::PATCH,
    Method::TRACE,
];

impl Requirements {
    /// Reads the requirements of all operations.
    ///
    /// # Errors
    /// If an operation says neither that it needs a scope nor that it needs none; the error names it.
    pub(crate) fn of(openapi: &OpenApi) -> Result<Self, String> {
        // The fields of utoipa's types are private.
        let document = serde_json::to_value(openapi).map_err(|error| error.to_string())?;
        let mut requirements: HashMap<String, HashMap<Method, Operation>> = HashMap::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            let of_path = requirements.entry(path.clone()).or_default();
            for method in METHODS {
                let Some(operation) = item.get(method.as_str().to_ascii_lowercase()) else { continue };
                let requirement = Requirement::of(operation).map_err(|error| format!("{method} {path} {error}"))?;
                let is_audited = !method.is_safe() && requirement != Requirement::Public;
                let is_audited = is_audited && operation[UNAUDITED] != true;
                of_path.insert(method, Operation { requirement, is_audited });
            }
        }
        Ok(Self(requirements))
    }

    /// Returns what a request needs that `route` matches. Unknown paths and wrong methods need nothing, because they
    /// are refused anyway. A route that is not in the OpenAPI document is for operators only.
    pub(crate) fn of_request(&self, route: Option<&MatchedPath>, method: &Method) -> Operation {
        let unaudited = |requirement| Operation { requirement, is_audited: false };
        let Some(route) = route else { return unaudited(Requirement::Public) };
        let Some(operations) = self.0.get(route.as_str()) else {
            return Operation { requirement: Requirement::Scope(Scope::Admin), is_audited: !method.is_safe() };
        };
        let operation = match operations.get(method) {
            None if *method == Method::HEAD => operations.get(&Method::GET),
            operation => operation,
        };
        operation.copied().unwrap_or(unaudited(Requirement::Public))
    }
}

impl Requirement {
    fn of(operation: &Value) -> Result<Self, String> {
        let of_scheme = match operation["security"].as_array().map(Vec::as_slice) {
            Some([only]) => only.as_object().filter(|only| only.keys().all(|scheme| scheme == SCHEME)),
            _ => None,
        };
        let undeclared = || "declares neither one scope nor that it is public: see service_http::access".to_owned();
        let Some(scopes) = of_scheme.ok_or_else(undeclared)?.get(SCHEME) else { return Ok(Self::Public) };
        match scopes.as_array().map(Vec::as_slice) {
            Some([Value::String(scope)]) => scope.parse().map(Self::Scope),
            _ => Err(undeclared()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(security: &Value) -> Result<Requirement, String> {
        Requirement::of(&json!({"responses": {}, "security": security}))
    }

    #[test]
    fn an_operation_is_public_or_needs_one_scope() {
        assert_eq!(of(&json!([{}])), Ok(Requirement::Public));
        assert_eq!(of(&json!([{"bearer": ["stock:read"]}])), Ok(Requirement::Scope(Scope::StockRead)));
        for undeclared in [
            json!(null),
            json!([]),
            json!([{"bearer": []}]),
            json!([{"bearer": ["stock:read", "stock:write"]}]),
            json!([{}, {"bearer": ["stock:read"]}]),
            json!([{"basic": []}]),
            json!([{"bearer": ["stock"]}]),
        ] {
            assert!(of(&undeclared).is_err(), "{undeclared}");
        }
        assert!(Requirement::of(&json!({"responses": {}})).is_err());
    }
}
