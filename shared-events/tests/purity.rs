//! Nothing that does I/O stands below the contracts: whoever depends on them gets types, and no runtime, socket,
//! database or broker client.

use std::{collections::BTreeSet, process::Command};

/// Every crate that is compiled into a program which depends on `shared-events` only (procedural macros, which run in
/// the compiler, are left out). A crate that is not here fails the test: look at what it does before you add it.
const ALLOWED: &[&str] = &[
    "shared-events",
    "saga-message",
    // JSON, and what serde_json stands on
    "serde",
    "serde_core",
    "serde_json",
    "itoa",
    "memchr",
    "zmij",
    // ids; getrandom (with cfg-if and libc) is the generator of new ones, which no code here calls
    "uuid",
    "sha1_smol",
    "getrandom",
    "cfg-if",
    "libc",
    // times
    "time",
    "time-core",
    "deranged",
    "num-conv",
    "powerfmt",
    // currencies
    "iso_currency",
    "iso_country",
    "lazy_static",
    // errors
    "thiserror",
];

#[test]
fn no_io_crate_is_in_the_dependency_tree() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--package", "shared-events", "--edges", "normal,no-proc-macro"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("names of crates are UTF-8");
    let found: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();

    // So that the test cannot pass by reading nothing.
    assert!(found.contains("shared-events") && found.contains("serde_json"), "not a dependency tree: {tree}");
    let unknown: Vec<_> = found.iter().filter(|name| !ALLOWED.contains(name)).collect();
    assert!(unknown.is_empty(), "shared-events must do no I/O, and these crates are not known to do none: {unknown:?}");
}
