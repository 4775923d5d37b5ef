/// The values of one scrape, in the text format of Prometheus.
#[derive(Debug, Default, Clone)]
pub(super) struct Exposition(Vec<Value>);

#[derive(Debug, Clone)]
struct Value {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Exposition {
    /// Reads the text. Lines that are not understood are skipped: a later version may have other metrics.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(line).collect())
    }

    /// Returns the sum of the values of this metric that have all these labels; `None` if there is none.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |value: &Value, (name, text): &(&str, &str)| value.label(name) == Some(text);
        let mut values = self.of(name).filter(|value| labels.iter().all(|label| has(value, label))).peekable();
        values.peek()?;
        Some(values.map(|value| value.value).sum())
    }

    /// Returns the values of this metric, each with the value of one of its labels.
    pub(super) fn by<'a>(&'a self, name: &'a str, label: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.of(name).filter_map(move |value| Some((value.label(label)?, value.value)))
    }

    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |value| value.name == name)
    }
}

impl Value {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

/// Parses `name{label="value",…} number`.
fn line(line: &str) -> Option<Value> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.split_once("=\"")?;
            let (value, after) = unquote(quoted)?;
            labels.push((label.to_owned(), value));
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Value { name: name.to_owned(), labels, value })
}

/// Returns the text before the closing quote, with its escapes replaced, and what follows the quote.
fn unquote(text: &str) -> Option<(String, &str)> {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_name_and_labels() {
        let text = "# TYPE ended counter\n\
                    ended_total{service=\"order\",end=\"confirmed\",reason=\"none\"} 3\n\
                    ended_total{service=\"order\",end=\"failed\",reason=\"a \\\"b\\\", c}\"} 2.5 1700000000\n\
                    up 1\n\
                    nonsense\n\
                    broken{label=\"never closed 7\n\
                    # EOF\n";
        let values = Exposition::parse(text);
        assert_eq!(values.sum("ended_total", &[]), Some(5.5));
        assert_eq!(values.sum("ended_total", &[("end", "failed")]), Some(2.5));
        assert_eq!(values.sum("ended_total", &[("reason", "a \"b\", c}")]), Some(2.5));
        assert_eq!(values.sum("ended_total", &[("end", "cancelled")]), None);
        assert_eq!(values.sum("up", &[]), Some(1.0));
        assert_eq!(values.sum("broken", &[]), None);
        assert_eq!(values.by("ended_total", "end").collect::<Vec<_>>(), [("confirmed", 3.0), ("failed", 2.5)]);
    }
}
