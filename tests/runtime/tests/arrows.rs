//! The rules of docs/adr/0019: dependencies between crates point one way, and nothing under `crates/` mentions orders.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Each crate may depend on those before it.
const CRATES: [&str; 8] = [
    "saga-message",
    "saga-support",
    "saga-database",
    "saga-runtime",
    "saga-rabbitmq",
    "saga-memory-broker",
    "service-http",
    "service-host",
];
/// Each of these may depend on all crates, and on those before it.
const SYSTEM: [&str; 6] = ["shared-events", "order", "inventory", "payment", "console", "order-system"];
/// Words that no file under `crates/` may contain.
const WORDS: [&str; 5] = ["shared_events", "OrderId", "order_id", "Sku", "8001"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Of each workspace member, the other members that it is built with (not those of its tests).
fn dependencies() -> Vec<(String, BTreeSet<String>)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let members: BTreeSet<String> = packages.iter().map(name).collect();
    let built_with = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap();
        let ours = all.iter().filter(|one| one["kind"] != "dev").map(name);
        ours.filter(|one| members.contains(one)).collect()
    };
    packages.iter().map(|package| (name(package), built_with(package))).collect()
}

#[test]
fn dependencies_point_one_way() {
    let all = dependencies();
    let of = |name: &str| all.iter().find(|(member, _)| member == name).map(|(_, of)| of).expect(name);
    for (index, name) in CRATES.iter().enumerate() {
        for dependency in of(name) {
            assert!(CRATES[..index].contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
    for (index, name) in SYSTEM.iter().enumerate() {
        for dependency in of(name) {
            let allowed = CRATES.contains(&dependency.as_str()) || SYSTEM[..index].contains(&dependency.as_str());
            let other_service =
                ["order", "inventory", "payment"].contains(&dependency.as_str()) && *name != "order-system";
            assert!(allowed && !other_service, "{name} must not depend on {dependency}");
        }
    }
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().file_name());
    let crates: BTreeSet<String> = crates.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(crates, CRATES.iter().map(|name| (*name).to_owned()).collect(), "each crate has its place in this test");
}

#[test]
fn nothing_under_crates_knows_an_order() {
    let mut waiting = vec![root().join("crates")];
    let mut read = 0;
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let (code, _tests) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
            read += 1;
            for word in WORDS {
                assert!(!code.contains(word), "{} says {word}", path.display());
            }
        }
    }
    assert!(read > 60, "only {read} files were read");
}
