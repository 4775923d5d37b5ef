//! The committed OpenAPI documents (`docs/api/`) must be equal to those that the services serve.

use std::{env, fs, path::Path};

use serde_json::Value;
use shared_events::Service;

use crate::program;

/// If this variable is set, the documents are written instead of compared.
const UPDATE: &str = "UPDATE_OPENAPI";

#[tokio::test]
async fn the_committed_documents_are_those_that_the_services_serve() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api");
    let data_dir = tempfile::tempdir().unwrap();
    let system = program().start(data_dir.path(), &[]).unwrap();
    for (service, address) in Service::ALL.into_iter().zip(system.addresses) {
        let served = reqwest::get(format!("http://{address}/openapi.json")).await.unwrap();
        let served: Value = served.error_for_status().unwrap().json().await.unwrap();
        let (file, text) = (directory.join(format!("{service}.json")), format!("{served:#}\n"));
        if env::var_os(UPDATE).is_some() {
            fs::write(&file, &text).unwrap();
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        let differs = committed.lines().zip(text.lines()).find(|(committed, served)| committed != served);
        assert!(
            committed == text,
            "{} differs from what the service serves, first at {differs:?}. If the change is intended, run this test \
             with {UPDATE}=1 and describe it in CHANGELOG.md",
            file.display()
        );
    }
    assert!(system.stop().unwrap().success());
}
