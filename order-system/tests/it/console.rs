//! The console as part of the program, and as a command of its own.

use reqwest::{Client, StatusCode};

use crate::program;

async fn get(url: &str) -> (StatusCode, String) {
    let response = Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

#[tokio::test]
async fn the_program_serves_the_console_and_names_it_first() {
    let directory = tempfile::tempdir().unwrap();
    let system = program().start(directory.path(), &[]).unwrap();
    let console = system.console.unwrap();
    let first = system.welcome.lines().find(|line| line.contains("http://")).unwrap();
    assert!(first.trim().starts_with("console") && first.contains(&format!("http://{console}")), "{first}");
    let (status, page) = get(&format!("http://{console}/")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!page.contains("role=\"alert\""), "{page}");
    // The console's own token opens the admin endpoints for nobody else: they are off as without a console.
    for address in system.addresses {
        let (status, body) = get(&format!("http://{address}/admin/dead-letters")).await;
        assert!(status == StatusCode::NOT_FOUND && body.contains("the admin endpoints are off"), "{status} {body}");
    }
    assert!(system.stop().unwrap().success());
}

#[tokio::test]
async fn the_program_runs_without_a_console() {
    let directory = tempfile::tempdir().unwrap();
    let system = program().start(directory.path(), &["--no-console"]).unwrap();
    assert_eq!(system.console, None);
    assert!(!system.welcome.contains("console"), "{}", system.welcome);
}

#[tokio::test]
async fn with_an_admin_token_the_console_asks_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let system = program().start(directory.path(), &["--admin-token=the-operators-token"]).unwrap();
    let (_, page) = get(&format!("http://{}/", system.console.unwrap())).await;
    assert!(page.contains("Admin token") && !page.contains("the-operators-token"), "{page}");
}

#[test]
fn a_console_for_other_machines_needs_a_token() {
    let output = program().command().args(["console", "--console-listen=0.0.0.0:0"]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("order-system: ") && error.contains("--admin-token"), "{error}");
}
