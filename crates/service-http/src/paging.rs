use std::fmt::Display;

use axum::{
    Json,
    http::{HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use saga_database::{Rows, readable};

/// Maximum number of items in one page of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = u16, minimum = 1, maximum = 1000, default = 100)]
pub struct Limit(u16);

impl Limit {
    /// The default limit.
    pub const DEFAULT: u16 = 100;
    /// The largest limit.
    pub const MAX: u16 = 1000;

    /// Returns the limit as a number of rows.
    #[must_use]
    pub fn rows(self) -> u64 {
        self.0.into()
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(Self::DEFAULT)
    }
}

/// Converts from the text of the query parameter, and not from a number, so that it also works in a flattened struct.
impl TryFrom<String> for Limit {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        let limit = text.parse().ok().filter(|limit| (1..=Self::MAX).contains(limit));
        limit.map(Self).ok_or("must be a whole number from 1 to 1000")
    }
}

/// One page of a collection: a JSON array, and a link to the next page if this one is full.
#[derive(Debug, Clone)]
pub struct Page<T> {
    items: Vec<T>,
    link: Option<HeaderValue>,
}

/// Where a collection continues, by the key of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuation<K> {
    /// Behind the page: `rel="next"`, with the parameter `after`.
    Next(K),
    /// In front of the page: `rel="prev"`, with the parameter `before`.
    Previous(K),
}

impl<T> Page<T> {
    /// Creates the response to a request for `uri` that found `items`. Take `uri` from `OriginalUri`, which has the
    /// whole path.
    /// Each item comes with its key, the value of `after` that continues behind it.
    pub fn new<K: Display>(uri: &Uri, limit: Limit, items: Vec<(K, T)>) -> Self {
        let link = next_link(uri, limit, &items);
        Self { items: items.into_iter().map(|(_, item)| item).collect(), link }
    }

    /// Creates a page from rows of `table`, some of which may be unreadable. Those are left out and logged: a client
    /// that reads a collection wants all the others, and can do nothing about a damaged one. The page is then shorter,
    /// but still links to the next one.
    pub fn of_rows<K: Display, R>(uri: &Uri, limit: Limit, table: &'static str, rows: Rows<K, R>) -> Self
    where
        T: for<'row> From<&'row R>,
    {
        let link = next_link(uri, limit, &rows);
        Self { items: readable(table, rows).iter().map(T::from).collect(), link }
    }

    /// Like [`of_rows`](Self::of_rows), with a link to `more`, whether the page is full or not.
    pub fn of_part<K: Display, R>(
        uri: &Uri,
        limit: Limit,
        table: &'static str,
        rows: Rows<K, R>,
        more: Option<Continuation<K>>,
    ) -> Self
    where
        T: for<'row> From<&'row R>,
    {
        let link = more.and_then(|more| link(uri, limit, &more));
        Self { items: readable(table, rows).iter().map(T::from).collect(), link }
    }
}

/// Returns the link behind the last of these rows, if the page is full.
fn next_link<K: Display, R>(uri: &Uri, limit: Limit, rows: &[(K, R)]) -> Option<HeaderValue> {
    let full = rows.len() >= usize::from(limit.0);
    rows.last().filter(|_| full).and_then(|(key, _)| link(uri, limit, &Continuation::Next(key)))
}

/// Returns the header `Link: <…>; rel="…"` (RFC 8288), with the path and the other parameters of this request. `None`
/// if the path is not valid in a header, which is true of no route.
fn link<K: Display>(uri: &Uri, limit: Limit, more: &Continuation<K>) -> Option<HeaderValue> {
    let (relation, cursor, key) = match more {
        Continuation::Next(key) => ("next", "after", key),
        Continuation::Previous(key) => ("prev", "before", key),
    };
    let others = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .filter(|(name, _)| name != "limit" && name != cursor);
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(others)
        .append_pair("limit", &limit.0.to_string())
        .append_pair(cursor, &key.to_string())
        .finish();
    HeaderValue::from_maybe_shared(format!("<{}?{query}>; rel=\"{relation}\"", uri.path()).into_bytes()).ok()
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.items).into_response();
        if let Some(link) = self.link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Query;
    use proptest::prelude::*;

    use super::*;

    fn limit(text: &str) -> Result<Limit, &'static str> {
        text.to_owned().try_into()
    }

    fn next(uri: &str, limit: Limit, items: Vec<&str>) -> Option<String> {
        let page = Page::new(&uri.parse().unwrap(), limit, items.into_iter().map(|item| (item, item)).collect())
            .into_response();
        page.headers().get("link").map(|link| link.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_limit_is_from_1_to_1000() {
        for (text, rows) in [("1", 1), ("100", 100), ("1000", 1000)] {
            assert_eq!(limit(text).map(Limit::rows), Ok(rows));
        }
        for text in ["0", "1001", "-1", "1.5", "", "ten", "99999999999999999999", "1e2"] {
            assert_eq!(limit(text), Err("must be a whole number from 1 to 1000"), "{text}");
        }
        assert_eq!(Limit::default().rows(), 100);
    }

    #[test]
    fn only_a_full_page_has_a_next_one() {
        let two = limit("2").unwrap();
        assert_eq!(next("/api/v1/stock/", two, vec![]), None);
        assert_eq!(next("/api/v1/stock/", two, vec!["A"]), None);
        let link = next("/api/v1/stock/", two, vec!["A", "B"]);
        assert_eq!(link.as_deref(), Some(r#"</api/v1/stock/?limit=2&after=B>; rel="next""#));
        let link = next("/api/v1/orders?limit=2&status=a%26b&after=9&x", two, vec!["A", "7"]);
        assert_eq!(link.as_deref(), Some(r#"</api/v1/orders?status=a%26b&x=&limit=2&after=7>; rel="next""#));
        let link = next("/x", limit("1").unwrap(), vec!["a b/\">&=ü%\r\n"]);
        assert_eq!(link.as_deref(), Some(r#"</x?limit=1&after=a+b%2F%22%3E%26%3D%C3%BC%25%0D%0A>; rel="next""#));
    }

    #[test]
    fn an_unreadable_row_is_left_out_and_the_page_still_links_on() {
        let rows = |unreadable: i64| -> Rows<i64, String> {
            let read = |key: i64| match key == unreadable {
                true => Err(sea_orm::DbErr::Type("no".to_owned())),
                false => Ok(key.to_string()),
            };
            (1..=2).map(|key| (key, read(key))).collect()
        };
        let (log, _guard) = saga_support::testing::log();
        for unreadable in [1, 2] {
            let page: Page<String> =
                Page::of_rows(&"/x".parse().unwrap(), limit("2").unwrap(), "things", rows(unreadable));
            assert_eq!(page.items, [(3 - unreadable).to_string()]);
            assert_eq!(page.link.unwrap(), r#"</x?limit=2&after=2>; rel="next""#);
        }
        let lines = log.lines();
        assert!(lines.len() == 1 && lines[0].contains("table=\"things\" key=1"), "{lines:?}");
    }

    #[test]
    fn a_part_links_to_where_it_continues() {
        let uri = "/x?before=9&order=desc".parse().unwrap();
        let part = |more| Page::<String>::of_part(&uri, Limit(2), "things", Rows::<i64, String>::new(), more).link;
        assert_eq!(part(None), None);
        let previous = r#"</x?order=desc&limit=2&before=7>; rel="prev""#;
        assert_eq!(part(Some(Continuation::Previous(7))).unwrap(), previous);
        let uri = "/x?after=9".parse().unwrap();
        let part = |more| Page::<String>::of_part(&uri, Limit(2), "things", Rows::<i64, String>::new(), more).link;
        assert_eq!(part(Some(Continuation::Next(7))).unwrap(), r#"</x?limit=2&after=7>; rel="next""#);
    }

    proptest! {
        #[test]
        fn any_key_survives_its_link(key in ".{0,64}") {
            let link = next("/x?after=old", Limit(1), vec![&key]).unwrap();
            let uri = link.strip_prefix('<').and_then(|link| link.strip_suffix(r#">; rel="next""#)).unwrap();
            let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&uri.parse().unwrap()).unwrap();
            prop_assert_eq!(pairs, [("limit".to_owned(), "1".to_owned()), ("after".to_owned(), key)]);
        }
    }
}
