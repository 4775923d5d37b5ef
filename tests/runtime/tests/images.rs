//! Images of others are named by their full version, the same one everywhere: a start does not depend on the day.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use regex_lite::Regex;

/// The files that name images, and how.
const FILES: [(&str, &str); 6] = [
    ("docker-compose.yml", r#"(?m)^\s*image: "?([^\s"]+)"#),
    ("deploy/helm/order-system/values.yaml", r#"(?m)^\s*image: "?([^\s"{]+)"#),
    ("Dockerfile", r"(?m)^FROM (\S+)"),
    ("tools/stack-test/src/measure.rs", r#"size\("([^"{]+)"\)"#),
    ("tools/stack-test/src/confined.rs", r#"IMAGE: &str = "([^"]+)""#),
    ("README.md", r"docker (?:run|pull) [^\n]*?([a-z./]+:[\w.-]+)"),
];
/// Those without which this test would have read the wrong thing.
const KNOWN: [&str; 8] =
    ["postgres", "rabbitmq", "haproxy", "prom/prometheus", "grafana/grafana", "jaegertracing/jaeger", "rust", "debian"];

/// For each repository the tags, and with each tag a file that has it.
fn images() -> BTreeMap<String, BTreeMap<String, &'static str>> {
    let mut images: BTreeMap<String, BTreeMap<String, &str>> = BTreeMap::new();
    for (file, pattern) in FILES {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)).unwrap();
        let stages: BTreeSet<&str> = text.lines().filter_map(|line| line.split(" AS ").nth(1)).collect();
        for found in Regex::new(pattern).unwrap().captures_iter(&text) {
            let image = &found[1];
            // Our own, and the stages of a build.
            if image.starts_with("order-system/") || stages.contains(image) {
                continue;
            }
            let (repository, tag) = image.split_once(':').unwrap_or((image, "latest"));
            images.entry(repository.to_owned()).or_default().insert(tag.to_owned(), file);
        }
    }
    images
}

/// Returns whether a tag names one release: a full version, or a day.
fn is_full(repository: &str, tag: &str) -> bool {
    let (tag, digest) = tag.split_once('@').unwrap_or((tag, ""));
    // PostgreSQL's releases have two numbers; Debian's images are named after the day.
    let release = match repository {
        "postgres" => r"^\d+\.\d+(-[a-z0-9.]+)*$",
        "debian" => r"^[a-z]+-\d{8}(-slim)?$",
        _ => r"^v?\d+\.\d+\.\d+(-[a-z0-9.]+)*$",
    };
    let digest = digest.is_empty() || Regex::new("^sha256:[0-9a-f]{64}$").unwrap().is_match(digest);
    digest && Regex::new(release).unwrap().is_match(tag)
}

#[test]
fn images_are_pinned_by_their_version() {
    let images = images();
    for known in KNOWN {
        assert!(images.contains_key(known), "no image of {known} among {images:?}");
    }
    for (repository, tags) in images {
        for (tag, file) in &tags {
            assert!(is_full(&repository, tag), "{file}: {repository}:{tag} is not one release");
        }
        assert_eq!(tags.len(), 1, "{repository} has several versions: {tags:?}");
    }
}

#[test]
fn a_tag_that_moves_is_found() {
    for (repository, tag, full) in [
        ("postgres", "17", false),
        ("postgres", "17.9", true),
        ("postgres", "17.9-trixie", true),
        ("postgres", "latest", false),
        ("rabbitmq", "4-management", false),
        ("rabbitmq", "4.3-management", false),
        ("rabbitmq", "4.3.2-management", true),
        ("debian", "trixie-slim", false),
        ("debian", "trixie-20260202-slim", true),
        ("rust", "1.95-slim-trixie", false),
        ("rust", "1.95.0-slim-trixie", true),
        ("rust", "1.95.0-slim-trixie@sha256:12", false),
    ] {
        assert_eq!(is_full(repository, tag), full, "{repository}:{tag}");
    }
}
