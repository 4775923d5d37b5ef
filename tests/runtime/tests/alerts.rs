//! Each alert has its section in `docs/operations.md`, and each section its alert.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

use std::{collections::BTreeMap, fs, path::Path};

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)).unwrap()
}

/// The sections of the chapter about alerts, by their headings.
fn sections() -> BTreeMap<String, String> {
    let page = read("docs/operations.md");
    let (_, chapter) = page.split_once("\n## Alerts\n").unwrap();
    let (chapter, _) = chapter.split_once("\n## ").unwrap();
    let sections = chapter.split("\n### ").skip(1);
    sections.map(|section| section.split_once('\n').unwrap()).map(|(name, text)| (name.into(), text.into())).collect()
}

/// The value of a line `key: value` of a rule.
fn value<'a>(rule: &'a str, key: &str) -> &'a str {
    let value = rule.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {key} in {rule}"))
}

#[test]
fn each_alert_says_what_to_do() {
    let (rules, mut sections) = (read("deploy/observability/alerts.yml"), sections());
    let rules: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(rules.len() > 15, "only {} alerts were found", rules.len());
    for rule in rules {
        let name = rule.lines().next().unwrap();
        let text = sections.remove(name).unwrap_or_else(|| panic!("docs/operations.md has no section {name}"));
        assert_eq!(value(rule, "runbook_url"), format!("docs/operations.md#{}", name.to_lowercase()));
        assert!(!value(rule, "summary").is_empty());
        let page = value(rule, "console").strip_prefix("http://127.0.0.1:8000").unwrap();
        let pages = ["/", "/orders", "/stock", "/payments", "/dead-letters", "/stuck", "/try"];
        assert!(pages.contains(&page), "{name}: the console has no page {page}");
        let named = text.replace('\n', " ").contains(&format!("age `{page}`"));
        assert!(named, "the section {name} does not name the page {page}");
    }
    assert!(sections.is_empty(), "no such alerts: {:?}", sections.keys());
}

#[test]
fn each_alert_is_tested() {
    let (rules, tests) = (read("deploy/observability/alerts.yml"), read("deploy/observability/alerts.test.yml"));
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap();
        for case in ["fires", "does not fire"] {
            assert!(tests.contains(&format!("- name: {name} {case}\n")), "no test in which {name} {case}");
        }
    }
}
