//! The links of the documentation lead somewhere, and `docs/walkthrough.md` names functions that are there.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All pages, but for those of build directories.
fn pages() -> Vec<PathBuf> {
    let (mut pages, mut waiting) = (Vec::new(), vec![root()]);
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !["target", ".git", "data"].contains(&name.as_str()) {
                waiting.push(path);
            } else if name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// The text without blocks of code.
fn prose(page: &Path) -> String {
    let text = fs::read_to_string(page).unwrap();
    text.split("```").step_by(2).collect::<Vec<_>>().join("\n")
}

/// What the links of a page lead to, those to other sites left out.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:") && !target.contains(' '))
}

/// The anchor that GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|char| char.is_alphanumeric() || [' ', '-', '_'].contains(char));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for page in pages() {
        let text = prose(&page);
        for target in links(&text) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let there = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(there.exists(), "{} links to {target}, which is not there", page.display());
            if !heading.is_empty() && there.extension().is_some_and(|extension| extension == "md") {
                let headings = prose(&there);
                let mut headings = headings.lines().filter_map(|line| line.strip_prefix('#'));
                let found = headings.any(|line| anchor(line.trim_start_matches('#')) == heading);
                assert!(found, "{} links to {target}, which has no such heading", page.display());
            }
            followed += 1;
        }
    }
    assert!(followed > 100, "only {followed} links were found");
}

#[test]
fn the_walkthrough_names_functions_that_are_there() {
    let page = root().join("docs/walkthrough.md");
    let text = prose(&page);
    let mut found = 0;
    for rest in text.split("](../").skip(1) {
        let Some((file, words)) = rest.split_once(')') else { continue };
        let Some(words) = words.strip_prefix(", ").filter(|_| file.ends_with(".rs")) else { continue };
        let code = fs::read_to_string(root().join(file)).unwrap();
        // `one`, `two` and `three`: as far as nothing but a comma or an "and" stands between them.
        let mut parts = words.split('`').skip(1);
        while let (Some(word), between) = (parts.next(), parts.next()) {
            assert!(code.contains(&format!("fn {word}")), "{file} has no function {word}");
            found += 1;
            if !matches!(between.map(str::trim), Some("," | "and")) {
                break;
            }
        }
    }
    assert!(found >= 20, "only {found} functions were found");
}
