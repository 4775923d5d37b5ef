use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    super::{Caller, Owner, Scope, Scopes},
    LEEWAY,
};

/// What a token says.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    sub: String,
    exp: f64,
    scope: Option<Names>,
    /// The same, as some providers say it.
    scp: Option<Names>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Names with spaces between them, or a list of names.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Names {
    Text(String),
    List(Vec<String>),
}

impl Names {
    fn iter(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Text(text) => Box::new(text.split_ascii_whitespace()),
            Self::List(list) => Box::new(list.iter().map(String::as_str)),
        }
    }
}

impl Claims {
    /// Returns whose token it is. `owner_claim` names the owner.
    ///
    /// # Errors
    /// If there is no such claim, or it names no owner.
    pub(super) fn caller(self, owner_claim: &str) -> Result<Caller> {
        let owner = match owner_claim {
            "sub" => Some(&*self.sub),
            other => self.others.get(other).and_then(Value::as_str),
        };
        let owner: Owner = owner.with_context(|| format!("it has no text {owner_claim:?}"))?.parse()?;
        let names = self.scope.iter().chain(&self.scp).flat_map(Names::iter);
        let scopes: Scopes = names.filter_map(|name| name.parse::<Scope>().ok()).collect();
        // As seconds: a second more or less does not matter here.
        #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
        let expires_at = (self.exp as i64).saturating_add(LEEWAY.as_secs().cast_signed());
        Ok(Caller::with_token(Arc::from(self.sub), expires_at, owner, scopes))
    }
}
