//! The parts of the OpenAPI document that all services share, so that handlers need not repeat them.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, Info, OpenApi, Ref, RefOr, Response, Tag,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use super::{FieldError, Limit, PROBLEM_JSON, Problem, access::SCHEME, lists::is_list};

/// The groups of operations for those who run a service.
const OPERATORS: [&str; 2] = ["health", "admin"];

/// Sets the title, and adds the schema of [`Problem`] to every documented error without a schema. Adds the errors of
/// the extractors for bodies and parameters, and of access control.
pub(crate) fn complete(openapi: &mut OpenApi, title: &str, description: &str) {
    openapi.info = Info::new(title, env!("CARGO_PKG_VERSION"));
    openapi.info.description = Some(description.to_owned());
    let components = openapi.components.get_or_insert_with(Components::new);
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    components.schemas.insert(FieldError::name().into_owned(), FieldError::schema());
    // utoipa does not collect the schemas of parameters by itself.
    components.schemas.insert(Limit::name().into_owned(), Limit::schema());
    // Swagger UI then shows a button to authorize.
    let bearer = Http::builder().scheme(HttpAuthScheme::Bearer).description(Some(
        "An API key, or the admin token. As long as the service never had a key, only the operations for operators \
         need one.",
    ));
    components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer.build()));
    openapi.tags = Some(tags(openapi));
    for path in openapi.paths.paths.values_mut() {
        let path = [&mut path.get, &mut path.put, &mut path.post, &mut path.delete, &mut path.patch];
        path.into_iter().flatten().for_each(complete_operation);
    }
}

/// Swagger UI shows the groups of operations in this order: what the service is for comes before what operators use.
fn tags(openapi: &OpenApi) -> Vec<Tag> {
    let operations = openapi.paths.paths.values().flat_map(|path| [&path.get, &path.put, &path.post, &path.delete]);
    let mut names: Vec<&String> = operations.flatten().flat_map(|operation| operation.tags.iter().flatten()).collect();
    names.sort_by_key(|name| (OPERATORS.iter().position(|operators| operators == name), *name));
    names.dedup();
    names.into_iter().map(Tag::new).collect()
}

fn complete_operation(operation: &mut Operation) {
    let of_body: &[_] = match operation.request_body {
        Some(_) => &[
            ("400", "The body is not JSON"),
            ("413", "The body is too large"),
            ("415", "The body is not declared as JSON"),
            ("422", "Fields are missing or wrong"),
        ],
        None => &[],
    };
    let of_parameters: &[_] = match operation.parameters {
        Some(_) => &[("422", "Parameters are wrong")],
        None => &[],
    };
    let is_public = operation.security.iter().flatten().all(|needed| *needed == SecurityRequirement::default());
    let of_access: &[_] = match is_public {
        false => &[
            ("401", "No valid API key"),
            ("403", "The API key does not have the scope"),
            ("429", "The API key has sent too many requests"),
        ],
        true => &[],
    };
    let of_list: &[_] = match is_list(operation) {
        true => &[("503", "Too many lists are being read")],
        false => &[],
    };
    let responses = &mut operation.responses.responses;
    for (status, description) in of_body.iter().chain(of_parameters).chain(of_access).chain(of_list) {
        responses.entry((*status).to_owned()).or_insert_with(|| Response::new(*description).into());
    }
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
            && response.content.is_empty()
        {
            let schema = Ref::from_schema_name(Problem::name());
            response.content.insert(PROBLEM_JSON.to_owned(), Content::new(Some(schema)).into());
        }
    }
}
