//! A validator for the part of JSON Schema (draft 7) that the document uses. It panics at a keyword that it does not
//! know, so no constraint is overlooked. (The crates for it turn on features of what the programs are built from.)

use regex_lite::Regex;
use serde_json::{Map, Value};
use shared_events::Timestamp;

/// One of the schemas of a document.
pub(crate) struct Validator {
    document: Value,
    reference: String,
}

impl Validator {
    pub(crate) fn new(document: Value, reference: String) -> Self {
        Self { document, reference }
    }

    pub(crate) fn is_valid(&self, instance: &Value) -> bool {
        self.validate(instance).is_ok()
    }

    /// Returns the first value that is not valid, with the keyword that it breaks.
    pub(crate) fn validate(&self, instance: &Value) -> Result<(), String> {
        self.follow(&self.reference, instance)
    }

    fn follow(&self, reference: &str, instance: &Value) -> Result<(), String> {
        let schema = self.document.pointer(reference.trim_start_matches('#')).expect(reference);
        self.check(schema.as_object().expect(reference), instance)
    }

    fn check(&self, schema: &Map<String, Value>, instance: &Value) -> Result<(), String> {
        if let Some(reference) = schema.get("$ref") {
            assert_eq!(schema.len(), 1, "draft 7 ignores what stands beside a reference");
            return self.follow(reference.as_str().unwrap(), instance);
        }
        for (keyword, value) in schema {
            if !self.keyword(keyword, value, instance)? {
                return Err(format!("{instance} breaks {keyword}: {value}"));
            }
        }
        Ok(())
    }

    /// Checks one keyword. One that is about another type of value than the instance's constrains nothing.
    fn keyword(&self, keyword: &str, value: &Value, instance: &Value) -> Result<bool, String> {
        let (text, number) = (instance.as_str(), instance.as_i64());
        let length = instance.as_array().map(|items| items.len() as u64);
        Ok(match keyword {
            "description" => true,
            "type" => type_of(instance) == value,
            "const" => instance == value,
            "enum" => value.as_array().unwrap().contains(instance),
            "minimum" => number.is_none_or(|number| number >= value.as_i64().unwrap()),
            "maximum" => number.is_none_or(|number| number <= value.as_i64().unwrap()),
            "minItems" => length.is_none_or(|length| length >= value.as_u64().unwrap()),
            "maxItems" => length.is_none_or(|length| length <= value.as_u64().unwrap()),
            "maxLength" => text.is_none_or(|text| text.chars().count() as u64 <= value.as_u64().unwrap()),
            "pattern" => text.is_none_or(|text| Regex::new(value.as_str().unwrap()).unwrap().is_match(text)),
            "format" => match value.as_str().unwrap() {
                "date-time" => serde_json::from_value::<Timestamp>(instance.clone()).is_ok(),
                "uuid" => text.is_none_or(|text| text.parse::<uuid::Uuid>().is_ok()),
                other => panic!("unknown format {other}"),
            },
            "required" => instance.as_object().is_none_or(|fields| {
                value.as_array().unwrap().iter().all(|name| fields.contains_key(name.as_str().unwrap()))
            }),
            "properties" => {
                for (name, schema) in value.as_object().unwrap() {
                    if let Some(field) = instance.get(name) {
                        self.check(schema.as_object().unwrap(), field)?;
                    }
                }
                true
            }
            "items" => {
                let mut items = instance.as_array().into_iter().flatten();
                items.try_for_each(|item| self.check(value.as_object().unwrap(), item))?;
                true
            }
            "allOf" => {
                self.each(value, instance).collect::<Result<(), _>>()?;
                true
            }
            "oneOf" => self.each(value, instance).filter(Result::is_ok).count() == 1,
            other => panic!("the validator does not know the keyword {other}"),
        })
    }

    fn each<'a>(&'a self, schemas: &'a Value, instance: &'a Value) -> impl Iterator<Item = Result<(), String>> + 'a {
        schemas.as_array().unwrap().iter().map(|schema| self.check(schema.as_object().unwrap(), instance))
    }
}

fn type_of(instance: &Value) -> &'static str {
    match instance {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
