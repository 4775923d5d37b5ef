//! One build of the dependencies serves the programs and the tools. Cargo compiles a crate again for each set of
//! features, and with it everything that depends on it, so one feature can cost minutes.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

/// The features of each dependency in a build of these packages. One that is also compiled for build scripts has
/// several sets.
fn features(packages: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--prefix", "none", "--edges", "normal,build", "--format", "{p}|{f}"])
        .args(packages)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut features = BTreeMap::<String, BTreeSet<String>>::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line = line.trim_end_matches(" (*)");
        if let Some((package, of_package)) = line.split_once('|') {
            features.entry(package.to_owned()).or_default().insert(of_package.to_owned());
        }
    }
    features
}

#[test]
fn the_tools_compile_the_dependencies_as_the_programs_do() {
    let (programs, all) = (features(&["--package", "order-system"]), features(&["--workspace"]));
    assert!(programs.len() > 100, "only {} packages were read", programs.len());
    // Of several sets that a package is compiled with, `cargo tree` may omit one; so not all of the first need be
    // found.
    let different: Vec<_> =
        programs.iter().filter(|(package, of_programs)| !all[*package].is_subset(of_programs)).collect();
    assert!(different.is_empty(), "turn the same features on in order-system/Cargo.toml: {different:#?}");
}
