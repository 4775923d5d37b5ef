//! Checks that no dependency of the contracts does I/O: whoever depends on them gets types, and no runtime, socket,
//! database or broker client.

use std::{collections::BTreeSet, process::Command};

/// Every crate that is compiled into a program which depends only on `shared-events` (without procedural macros, which
/// run in the compiler). If the test fails because of a new crate, check what that crate does before you add it here.
const ALLOWED: &[&str] = &[
    "shared-events",
    "saga-message",
    // JSON, and the dependencies of serde_json
    "serde",
    "serde_core",
    "serde_json",
    "itoa",
    "memchr",
    "zmij",
    // ids; getrandom (with cfg-if and libc) would generate new ones, which no code here does
    "uuid",
    "sha1_smol",
    "getrandom",
    "cfg-if",
    "libc",
    // the ids of messages with several events: a hash and its traits, which only compute
    "sha1",
    "block-buffer",
    "cpufeatures",
    "crypto-common",
    "digest",
    "hybrid-array",
    "typenum",
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

    // Otherwise the test would pass if it read nothing.
    assert!(found.contains("shared-events") && found.contains("serde_json"), "not a dependency tree: {tree}");
    let unknown: Vec<_> = found.iter().filter(|name| !ALLOWED.contains(name)).collect();
    assert!(unknown.is_empty(), "shared-events must do no I/O, and these crates are not known to do none: {unknown:?}");
}
