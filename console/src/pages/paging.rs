//! Lists that the services answer one page at a time.

use maud::{Markup, html};
use reqwest::{Method, Url, header};
use serde::de::DeserializeOwned;
use service_http::HttpResponse;

use crate::client::{ClientError, ServiceClient};

/// How many rows a page shows.
pub(super) const PAGE_SIZE: usize = 25;

/// A part of a list.
#[derive(Debug)]
pub(super) struct Listed<T> {
    pub(super) rows: Vec<T>,
    /// The parameter `after` with which the list goes on, if it does.
    pub(super) next: Option<String>,
}

impl<T: DeserializeOwned> Listed<T> {
    /// Returns the list at `path` with these query parameters; those that are empty are left out.
    pub(super) async fn get(
        service: &ServiceClient,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Self, ClientError> {
        let limit = PAGE_SIZE.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(parameters.iter().filter(|(_, value)| !value.is_empty()));
        let response = service.succeed(service.request(Method::GET, path, &query)).await?;
        let next = linked(&response, "next", "after");
        Ok(Self { rows: service.body(response).await?, next })
    }
}

/// Returns this parameter of the address to which the header `Link` leads with this relation.
pub(super) fn linked(response: &HttpResponse, relation: &str, parameter: &str) -> Option<String> {
    let link = response.headers().get(header::LINK)?.to_str().ok()?;
    let (target, attributes) = link.split_once('<')?.1.split_once('>')?;
    let url = Url::parse("http://service").and_then(|base| base.join(target)).ok()?;
    let found = url.query_pairs().find(|(name, _)| name == parameter).map(|(_, value)| value.into_owned());
    found.filter(|_| attributes.contains(&format!("rel=\"{relation}\"")))
}

/// Returns the address of a page with these parameters; those that are empty are left out.
pub(super) fn address(path: &str, parameters: &[(&str, &str)]) -> String {
    let set = parameters.iter().filter(|(_, value)| !value.is_empty());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(set).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Renders the links to the next page, and to the first one if this is not it.
pub(super) fn links(label: &str, path: &str, filter: &[(&str, &str)], after: &str, next: Option<&str>) -> Markup {
    let following = next.map(|next| address(path, &[filter, &[("after", next)]].concat()));
    html! {
        @if !after.is_empty() || next.is_some() {
            nav.actions.below aria-label=(label) {
                @if !after.is_empty() { a.button.quiet rel="first" href=(address(path, filter)) { "First" } }
                @if let Some(following) = following { a.button.quiet rel="next" href=(following) { "Next" } }
            }
        }
    }
}
