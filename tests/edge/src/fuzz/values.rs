//! JSON values by schema: valid ones, those at the boundaries, and wrong ones. They are text, because much of what a
//! client can send is not a [`Value`].

use fastrand::Rng;
use serde_json::Value;

use super::document::{Document, types};

/// Texts with a meaning somewhere in the API.
const WORDS: &[&str] = &[
    "SKU-0",
    "SKU-1",
    "SKU-2",
    "SKU-ABC",
    "USD",
    "EUR",
    "JPY",
    "KWD",
    "PENDING",
    "CONFIRMED",
    "FAILED",
    "asc",
    "desc",
    "2025-11-22T08:26:40Z",
    "2999-01-01T00:00:00+01:00",
    "key-1",
    "key-2",
    "key-3",
    "x",
];

/// Values of every type, most of which are wrong almost everywhere; some are not JSON.
const ODD: &[&str] = &[
    "null",
    "true",
    "false",
    "[]",
    "{}",
    "[[]]",
    "[null]",
    "{\"\":0}",
    "\"\"",
    "\" \"",
    "0",
    "-0",
    "-0.0",
    "-1",
    "1.0",
    "1e2",
    "1E+2",
    "1e400",
    "-1e400",
    "1e-400",
    "1e99999999999999999999",
    "0.1",
    "0.30000000000000004",
    "200.505",
    "1000000000",
    "1000000001",
    "2147483648",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "10000000000000.01",
    "1.",
    "01",
    "+1",
    ".5",
    "NaN",
    "-Infinity",
    "0x10",
    "1_000",
    "1e",
    "--1",
    "",
    "'x'",
    "undefined",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\u0000\"",
    "\"a\\u0000b\"",
    "\"\\x\"",
    "\"\u{202e}\u{feff}\"",
    "\"a\nb\"",
    "\"\\r\\nx: y\"",
    "\"' OR 1=1 --\"",
    "\"../../etc/passwd\"",
    "\"%00%ff\"",
    "\"1\"",
    "\"200\"",
    "\"Å\u{308}\"",
    "\"usd\"",
    "\"XAU\"",
];

/// Fields whose valid values would slow the whole system down for a minute, with a harmless value.
const TAME: &[(&str, &str)] = &[("latency_ms", "1"), ("failure_rate", "0")];

/// Generates values.
pub(super) struct Values<'a> {
    pub(super) document: &'a Document,
    pub(super) rng: &'a mut Rng,
}

impl Values<'_> {
    /// Returns whether an event of this probability, in percent, happens.
    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    pub(super) fn pick<'b, T: ?Sized>(&mut self, from: &[&'b T]) -> &'b T {
        from[self.rng.usize(..from.len())]
    }

    /// Returns JSON that fits the schema.
    pub(super) fn valid(&mut self, schema: &Value) -> String {
        let schema = self.document.resolve(schema).clone();
        if let Some(values) = schema["enum"].as_array().filter(|values| !values.is_empty()) {
            return values[self.rng.usize(..values.len())].to_string();
        }
        if !schema["example"].is_null() && self.percent(70) {
            return schema["example"].to_string();
        }
        if types(&schema).any(|name| name == "null") && self.percent(10) {
            return "null".to_owned();
        }
        match types(&schema).find(|name| *name != "null") {
            Some("integer") => self.integer(&schema).to_string(),
            Some("number") => format!("{}.{:02}", self.rng.u16(1..1500), self.rng.u8(..100)),
            Some("boolean") => self.rng.bool().to_string(),
            Some("array") => {
                let items: Vec<_> = (0..self.rng.usize(1..4)).map(|_| self.valid(&schema["items"])).collect();
                format!("[{}]", items.join(","))
            }
            Some("object") => self.object(&schema, false),
            _ => Value::from(self.text(&schema)).to_string(),
        }
    }

    fn integer(&mut self, schema: &Value) -> i64 {
        let low = schema["minimum"].as_i64().unwrap_or(-1);
        match schema["maximum"].as_i64() {
            Some(high) if self.percent(20) => self.rng.i64(low..=high),
            _ => self.rng.i64(low..low.saturating_add(30)),
        }
    }

    fn text(&mut self, schema: &Value) -> String {
        match (schema["format"].as_str(), schema["maxLength"].as_u64()) {
            (Some("uuid"), _) => {
                let (high, low) = (self.rng.u64(..), self.rng.u64(..));
                format!(
                    "{:08x}-{:04x}-7{:03x}-8{:03x}-{:012x}",
                    high >> 32,
                    high & 0xffff,
                    high >> 48 & 0xfff,
                    low >> 48 & 0xfff,
                    low & 0xffff_ffff_ffff
                )
            }
            (_, Some(longest)) if self.percent(10) => {
                let length = (longest + self.rng.u64(..3)).saturating_sub(1) as usize;
                self.pick(&["x", "ü", "\u{1f600}"]).repeat(length)
            }
            _ if self.percent(20) => format!("key-{}", self.rng.u16(..5000)),
            _ => self.pick(WORDS).to_owned(),
        }
    }

    /// Returns a value that is probably wrong, as JSON, or as text that is not even JSON.
    pub(super) fn odd(&mut self, schema: &Value) -> String {
        let schema = self.document.resolve(schema).clone();
        match self.rng.u8(..12) {
            0 => {
                let bound = self.pick(&["minimum", "maximum"]);
                let bound = schema[bound].as_i64().unwrap_or(i64::MAX);
                bound.saturating_add(self.rng.i64(-1..=1)).to_string()
            }
            1 => {
                let longest = schema["maxLength"].as_u64().unwrap_or(64) as usize;
                format!("\"{}\"", self.pick(&["x", "ü", " ", "\\u0041"]).repeat(longest + self.rng.usize(..2)))
            }
            2 => format!("\"{}\"", "x".repeat(self.rng.usize(1000..70_000))),
            3 => nested(self.rng.usize(1..6000), self.rng.bool()),
            4 => "9".repeat(self.rng.usize(15..5000)),
            5 => format!("[{}]", vec!["0"; self.rng.usize(1..2000)].join(",")),
            _ => self.pick(ODD).to_owned(),
        }
    }

    /// Returns an object that fits the schema; a damaged one has something wrong with one of its fields.
    pub(super) fn object(&mut self, schema: &Value, damaged: bool) -> String {
        let schema = self.document.resolve(schema).clone();
        let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut fields = Vec::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if required.contains(&name.as_str()) || self.rng.bool() {
                let tame = TAME.iter().find(|(field, _)| field == name).map(|(_, value)| (*value).to_owned());
                fields.push((name.clone(), tame.unwrap_or_else(|| self.valid(property))));
            }
        }
        if damaged && !fields.is_empty() {
            self.damage(&schema, &mut fields);
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{}:{value}", Value::from(&**name))).collect();
        format!("{{{}}}", fields.join(","))
    }

    fn damage(&mut self, schema: &Value, fields: &mut Vec<(String, String)>) {
        let at = self.rng.usize(..fields.len());
        let name = fields[at].0.clone();
        match self.rng.u8(..10) {
            0 => drop(fields.remove(at)),
            1 => fields.push(fields[at].clone()),
            2 => {
                let odd = self.odd(&schema["properties"][&name]);
                fields.push((name, odd));
            }
            3 => fields[at].0 = name.to_uppercase(),
            4 => {
                let odd = self.odd(&Value::Null);
                fields.push((self.pick(&["", "__proto__", "order_id", "\0", "x"]).to_owned(), odd));
            }
            _ => fields[at].1 = self.odd(&schema["properties"][&name]),
        }
    }
}

/// Returns arrays or objects in each other.
pub(super) fn nested(depth: usize, closed: bool) -> String {
    let (open, close) = if depth.is_multiple_of(2) { ("[", "]") } else { ("{\"a\":", "}") };
    format!("{}0{}", open.repeat(depth), if closed { close.repeat(depth) } else { String::new() })
}
