//! What an OpenAPI document says about requests and responses.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// One service's OpenAPI document.
#[derive(Debug, Clone)]
pub struct Document {
    json: Value,
    /// All routes with their methods, in the order of the document.
    pub operations: Vec<Operation>,
}

/// One method of one route.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The method in capital letters.
    pub method: String,
    /// The path with its parameters in braces.
    pub path: String,
    /// What the path, the query and the headers may contain.
    pub parameters: Vec<Parameter>,
    /// The schema of the body, if there is one.
    pub body: Option<Value>,
    /// The documented statuses, each with its content by media type.
    pub responses: BTreeMap<u16, Value>,
    /// Whether it requires credentials.
    pub secured: bool,
}

/// A parameter of an operation.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Where it stands: `path`, `query` or `header`.
    pub place: String,
    /// The schema of its value.
    pub schema: Value,
}

impl Document {
    /// Reads an OpenAPI document.
    ///
    /// # Errors
    /// If it has no paths, or they are not as OpenAPI requires.
    pub fn new(json: Value) -> Result<Self> {
        let mut operations = Vec::new();
        for (path, methods) in json["paths"].as_object().context("no paths")? {
            for (method, operation) in methods.as_object().context("a path is not an object")? {
                operations.push(Operation::new(method, path, operation).with_context(|| format!("{method} {path}"))?);
            }
        }
        Ok(Self { json, operations })
    }

    /// Returns the schema that `schema` refers to, or itself.
    #[must_use]
    pub fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let target = schema["$ref"].as_str().and_then(|reference| self.json.pointer(reference.strip_prefix('#')?));
        target.unwrap_or(schema)
    }

    /// Returns why `value` does not fit `schema`, by those of the rules of JSON Schema that our documents use.
    ///
    /// # Errors
    /// The first rule that it breaks, with the path of the value.
    pub fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = self.resolve(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.check(part, value, at)?;
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(choices) = schema[key].as_array()
                && choices.iter().all(|choice| self.check(choice, value, at).is_err())
            {
                return Err(format!("{at}: {value} fits nothing of {key}"));
            }
        }
        if !types(schema).any(|name| has_type(value, name)) && types(schema).next().is_some() {
            return Err(format!("{at}: {value} is not of type {}", schema["type"]));
        }
        if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
            return Err(format!("{at}: {value} is not one of {}", schema["enum"]));
        }
        let (low, high) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        let outside = |number: f64| low.is_some_and(|low| number < low) || high.is_some_and(|high| number > high);
        if value.as_f64().is_some_and(outside) {
            return Err(format!("{at}: {value} is out of range"));
        }
        for (number, item) in value.as_array().into_iter().flatten().enumerate() {
            self.check(&schema["items"], item, &format!("{at}[{number}]"))?;
        }
        if value.is_object() {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            if let Some(missing) = required.into_iter().find(|name| value.get(name).is_none()) {
                return Err(format!("{at}: {missing} is missing"));
            }
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                if let Some(value) = value.get(name) {
                    self.check(property, value, &format!("{at}.{name}"))?;
                }
            }
        }
        Ok(())
    }
}

/// Returns the types that a schema allows.
pub(super) fn types(schema: &Value) -> impl Iterator<Item = &str> {
    let several = schema["type"].as_array().into_iter().flatten();
    several.chain(std::iter::once(&schema["type"])).filter_map(Value::as_str)
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

impl Operation {
    fn new(method: &str, path: &str, json: &Value) -> Result<Self> {
        let mut parameters = Vec::new();
        for parameter in json["parameters"].as_array().into_iter().flatten() {
            let text = |key: &str| parameter[key].as_str().map(str::to_owned).context("a parameter without name");
            parameters.push(Parameter { name: text("name")?, place: text("in")?, schema: parameter["schema"].clone() });
        }
        let mut responses = BTreeMap::new();
        for (status, response) in json["responses"].as_object().context("no responses")? {
            responses.insert(status.parse().context("a status is a number")?, response["content"].clone());
        }
        let body = json.pointer("/requestBody/content/application~1json/schema").cloned();
        Ok(Self {
            method: method.to_uppercase(),
            path: path.to_owned(),
            parameters,
            body,
            responses,
            secured: json["security"].as_array().is_some_and(|all| !all.is_empty()),
        })
    }

    /// Returns its parameters at this place.
    pub fn parameters_in<'a>(&'a self, place: &'a str) -> impl Iterator<Item = &'a Parameter> {
        self.parameters.iter().filter(move |parameter| parameter.place == place)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_response_is_checked_against_its_schema() {
        let document = json!({"paths": {}, "components": {"schemas": {"Item": {
            "type": "object", "required": ["sku"], "properties": {
                "sku": {"type": "string"}, "units": {"type": ["integer", "null"], "minimum": 1},
                "state": {"enum": ["on", "off"]},
            },
        }}}});
        let document = Document::new(document).unwrap();
        let list = json!({"type": "array", "items": {"$ref": "#/components/schemas/Item"}});
        for (good, value) in [
            (true, json!([{"sku": "A", "units": null, "state": "on", "more": 1}, {"sku": "B", "units": 3}])),
            (false, json!([{"units": 1}])),
            (false, json!([{"sku": 1}])),
            (false, json!([{"sku": "A", "units": 1.5}])),
            (false, json!([{"sku": "A", "units": 0}])),
            (false, json!([{"sku": "A", "state": "?"}])),
            (false, json!({"sku": "A"})),
        ] {
            assert_eq!(document.check(&list, &value, "body").is_ok(), good, "{value}");
        }
    }
}
