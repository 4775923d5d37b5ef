//! Comments and documents fit on 120 columns. `rustfmt` sees to the code.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

use std::{
    fs,
    path::{Path, PathBuf},
};

const COLUMNS: usize = 120;

/// Every file of this kind in the checkout.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "data" {
                directories.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files
}

/// The lines of `file` that are too long, and that `is_prose` says could be wrapped.
fn too_long(file: &Path, mut is_prose: impl FnMut(&str) -> bool) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let long = |(_, line): &(usize, &str)| is_prose(line) && line.chars().count() > COLUMNS;
    let lines = text.lines().enumerate().filter(long);
    lines.map(|(index, line)| format!("{}:{}: {line}", file.display(), index + 1)).collect()
}

#[test]
fn comments_fit() {
    let files = files("rs");
    assert!(files.len() > 200, "only {} files were read", files.len());
    let long: Vec<_> =
        files.iter().flat_map(|file| too_long(file, |line| line.trim_start().starts_with("//"))).collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn documents_fit() {
    let files = files("md");
    assert!(files.len() > 30, "only {} files were read", files.len());
    let long = files.iter().flat_map(|file| {
        let mut is_code = false;
        too_long(file, move |line| {
            let fence = line.trim_start().starts_with("```");
            is_code ^= fence;
            // A row of a table cannot be wrapped.
            !is_code && !fence && !line.starts_with('|')
        })
    });
    let long: Vec<_> = long.collect();
    assert!(long.is_empty(), "{long:#?}");
}
