//! Each crate under `crates/` can be packaged, and the package has what its user needs.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::tempdir;

fn cargo(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The crates under `crates/`, as `cargo metadata` describes them.
fn crates() -> Vec<Value> {
    let metadata = cargo(&["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"]);
    let mut metadata: Value = serde_json::from_str(&metadata).unwrap();
    let Value::Array(mut packages) = metadata["packages"].take() else { panic!("no packages") };
    packages
        .retain(|package| manifest(package).components().rev().nth(2).is_some_and(|part| part.as_os_str() == "crates"));
    assert!(packages.len() >= 8, "only {} crates", packages.len());
    packages
}

fn manifest(package: &Value) -> PathBuf {
    package["manifest_path"].as_str().unwrap().into()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

/// All together, each with the others as its dependencies. (That the packages compile is left to `cargo package` by hand: it
/// takes minutes.)
#[test]
fn the_crates_can_be_packaged() {
    // The directory of the running build may be locked.
    let directory = tempdir().unwrap();
    let target = directory.path().to_str().unwrap();
    let crates = crates();
    let mut arguments = vec!["package", "--offline", "--allow-dirty", "--no-verify", "--target-dir", target];
    arguments.extend(crates.iter().flat_map(|package| ["--package", name(package)]));
    cargo(&arguments);
    for package in &crates {
        let file = format!("package/{}-{}.crate", name(package), package["version"].as_str().unwrap());
        assert!(directory.path().join(&file).is_file(), "{file} is missing");
    }
}

#[test]
fn a_package_has_its_sources_and_a_readme_and_nothing_else() {
    for package in crates() {
        let name = name(&package);
        let directory = manifest(&package).parent().unwrap().to_owned();
        let listed = cargo(&["package", "--list", "--offline", "--allow-dirty", "--package", name]);
        let files: Vec<&str> = listed.lines().collect();
        for file in ["Cargo.toml", "README.md", "src/lib.rs"] {
            assert!(files.contains(&file), "{name} has no {file}: {files:?}");
        }
        let made_by_cargo = ["Cargo.lock", "Cargo.toml", "Cargo.toml.orig", "README.md", ".cargo_vcs_info.json"];
        for file in files.iter().filter(|file| !made_by_cargo.contains(file)) {
            assert!(file.starts_with("src/") || file.starts_with("examples/"), "{name} has {file}");
        }
        assert_eq!(
            files.iter().any(|file| file.starts_with("examples/")),
            directory.join("examples").is_dir(),
            "{name}"
        );
        for field in ["description", "license", "readme"] {
            assert!(package[field].is_string(), "{name} has no {field}");
        }
    }
}

/// A README says what the crate is for, what it guarantees and what not, and has an example that is compiled.
#[test]
fn each_readme_has_the_same_sections_and_an_example() {
    for package in crates() {
        let name = name(&package);
        let directory = manifest(&package).parent().unwrap().to_owned();
        let readme = std::fs::read_to_string(directory.join("README.md")).unwrap();
        assert!(readme.starts_with(&format!("# {name}\n")), "{name}");
        let has = |headings: [&str; 2]| headings.iter().any(|heading| readme.contains(&format!("\n## {heading}")));
        assert!(has(["Guarantees", "What it guarantees"]), "{name} says what it guarantees");
        assert!(has(["Non-guarantees", "What it does not"]), "{name} says what it does not");
        assert!(readme.contains("\n```rust"), "{name} has an example");
        let code = std::fs::read_to_string(directory.join("src/lib.rs")).unwrap();
        assert!(code.contains("include_str!(\"../README.md\")"), "the example of {name} is not compiled by a doctest");
    }
}
