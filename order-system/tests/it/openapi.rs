//! The committed OpenAPI and AsyncAPI documents (`docs/api/`) must be equal to those that the services serve.

use std::{collections::BTreeSet, env, fs, path::Path};

use serde_json::{Map, Value};
use shared_events::Service;

use crate::program;

/// If this variable is set, the documents are written instead of compared.
const UPDATE: &str = "UPDATE_OPENAPI";

#[tokio::test]
async fn the_committed_documents_are_those_that_the_services_serve() {
    let data_dir = tempfile::tempdir().unwrap();
    let system = program().start(data_dir.path(), &[]).unwrap();
    for (service, address) in Service::ALL.into_iter().zip(system.addresses) {
        compare(&format!("http://{address}/openapi.json"), &format!("{service}.json")).await;
        compare(&format!("http://{address}/asyncapi.json"), "asyncapi.json").await;
    }
    assert!(system.stop().unwrap().success());
}

async fn compare(url: &str, name: &str) {
    let served = reqwest::get(url).await.unwrap().error_for_status().unwrap();
    assert_eq!(served.headers()["content-type"], "application/json", "{url}");
    let served: Value = served.json().await.unwrap();
    assert_operations_have_unique_ids(&served);
    let (file, text) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api").join(name), format!("{served:#}\n"));
    if env::var_os(UPDATE).is_some() {
        fs::write(&file, &text).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let differs = committed.lines().zip(text.lines()).find(|(committed, served)| committed != served);
    assert!(
        committed == text,
        "{} differs from {url}, first at {differs:?}. If the change is intended, run this test with {UPDATE}=1 and \
         describe it in CHANGELOG.md",
        file.display()
    );
}

/// Generated clients name their methods by the ids.
fn assert_operations_have_unique_ids(document: &Value) {
    let mut seen = BTreeSet::new();
    let paths = document["paths"].as_object().into_iter().flat_map(Map::values);
    for operation in paths.filter_map(Value::as_object).flat_map(Map::values) {
        let id = operation["operationId"].as_str();
        assert!(id.is_none_or(|id| seen.insert(id)), "several operations have the id {id:?}");
    }
}
