use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::hex;

/// Bytes of a digest: enough that two representations never have the same.
const DIGEST: usize = 16;

/// The entity tag of a representation: a digest of its JSON (RFC 9110, 8.8.3). It needs no column for a version, is the
/// same at all replicas, and changes with everything that a client sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntityTag(String);

impl EntityTag {
    /// Returns the tag of a value, and its JSON; `None` if it has none.
    pub(super) fn and_json(value: &impl Serialize) -> Option<(Self, Vec<u8>)> {
        let json = serde_json::to_vec(value).ok()?;
        Some((Self(hex::encode(&Sha256::digest(&json)[..DIGEST])), json))
    }

    pub(super) fn to_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&format!("\"{}\"", self.0)).ok()
    }
}

/// The value of `If-Match` or `If-None-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tags {
    /// `*`: any representation.
    Any,
    /// These representations.
    Of(Vec<Tag>),
}

/// An entity tag that a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    is_weak: bool,
    text: String,
}

impl Tags {
    /// Reads the header with this name; `None` if the request has none.
    ///
    /// # Errors
    /// If it is neither `*` nor a list of entity tags.
    pub(super) fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, ()> {
        let mut list = Vec::new();
        for value in headers.get_all(name) {
            list.push(std::str::from_utf8(value.as_bytes()).map_err(drop)?);
        }
        match &*list {
            [] => Ok(None),
            lines => Self::parse(&lines.join(",")).map(Some).ok_or(()),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text.trim_matches([' ', '\t']) == "*" {
            return Some(Self::Any);
        }
        let (mut tags, mut rest) = (Vec::new(), skip(text));
        while !rest.is_empty() {
            let quoted = rest.strip_prefix("W/");
            let (text, behind) = quoted.unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
            if text.chars().any(|character| character == ' ' || character.is_control()) {
                return None;
            }
            tags.push(Tag { is_weak: quoted.is_some(), text: text.to_owned() });
            let behind = behind.trim_start_matches([' ', '\t']);
            if !behind.is_empty() && !behind.starts_with(',') {
                return None;
            }
            rest = skip(behind);
        }
        (!tags.is_empty()).then_some(Self::Of(tags))
    }

    /// Returns whether one of them is `current`; of weak ones, none is.
    pub(super) fn match_strongly(&self, current: &EntityTag) -> bool {
        match self {
            Self::Any => true,
            Self::Of(tags) => tags.iter().any(|tag| !tag.is_weak && tag.text == current.0),
        }
    }

    /// Returns whether one of them is `current`, weak or not.
    pub(super) fn match_weakly(&self, current: &EntityTag) -> bool {
        match self {
            Self::Any => true,
            Self::Of(tags) => tags.iter().any(|tag| tag.text == current.0),
        }
    }
}

/// Skips what may be between two elements of a list: empty elements, too.
fn skip(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', ','])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strong(text: &str) -> Tag {
        Tag { is_weak: false, text: text.to_owned() }
    }

    #[test]
    fn a_list_is_read_as_the_standard_says() {
        let weak = |text: &str| Tag { is_weak: true, text: text.to_owned() };
        for (text, tags) in [
            ("\"a\"", vec![strong("a")]),
            (" \"a\" ,\t\"b\"", vec![strong("a"), strong("b")]),
            (",\"a\",,W/\"b,c\", ", vec![strong("a"), weak("b,c")]),
            ("\"\"", vec![strong("")]),
            ("\"*\"", vec![strong("*")]),
            ("\"ü\"", vec![strong("ü")]),
        ] {
            assert_eq!(Tags::parse(text), Some(Tags::Of(tags)), "{text}");
        }
        assert_eq!(Tags::parse(" * "), Some(Tags::Any));
        for text in
            ["", ",", "a", "\"", "\"a", "a\"", "\"a\"b", "\"a\"\"b\"", "w/\"a\"", "W/ \"a\"", "*,\"a\"", "\"a b\""]
        {
            assert_eq!(Tags::parse(text), None, "{text}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        let name = axum::http::header::IF_MATCH;
        assert_eq!(Tags::of(&headers, &name), Ok(None));
        headers.append(&name, HeaderValue::from_static("\"a\""));
        headers.append(&name, HeaderValue::from_static("\"b\""));
        assert_eq!(Tags::of(&headers, &name), Ok(Some(Tags::Of(vec![strong("a"), strong("b")]))));
        headers.append(&name, HeaderValue::from_bytes(b"\"\xff\"").unwrap());
        assert_eq!(Tags::of(&headers, &name), Err(()));
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_it_is_a_list_or_refused(text in ".{0,40}|[\"W/, *a]{0,40}") {
            let current = EntityTag::and_json(&1).unwrap().0;
            if let Some(tags) = Tags::parse(&text) {
                prop_assert!(!tags.match_strongly(&current) || tags.match_weakly(&current));
            }
        }

        #[test]
        fn a_representation_matches_its_own_tag_and_no_other(one in any::<u64>(), other in any::<u64>()) {
            let [tag, other_tag] = [one, other].map(|value| EntityTag::and_json(&value).unwrap().0);
            prop_assert_eq!(tag == other_tag, one == other);
            let header = tag.to_header().unwrap();
            let tags = Tags::parse(header.to_str().unwrap()).unwrap();
            prop_assert!(tags.match_strongly(&tag) && tags.match_weakly(&tag));
            prop_assert_eq!(tags.match_weakly(&other_tag), one == other);
            let weak = Tags::parse(&format!("W/{}", header.to_str().unwrap())).unwrap();
            prop_assert!(weak.match_weakly(&tag) && !weak.match_strongly(&tag));
        }
    }
}
