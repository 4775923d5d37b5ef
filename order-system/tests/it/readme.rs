//! Runs the README's commands as they are written there.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use testkit::process::{Program, cargo};

/// Returns the commands of the README's `sh` blocks, each in one line.
fn commands(readme: &str) -> Vec<String> {
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).output().unwrap();
    assert!(!output.stdout.is_empty(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_commands_do_what_the_readme_says() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let (typed, curl): (Vec<String>, Vec<String>) =
        commands(&readme).into_iter().partition(|command| command.starts_with("cargo"));
    // `cargo xtask test` is what runs this test.
    assert_eq!(typed, ["cargo run --release", "cargo xtask test", "cargo xtask bench"]);

    let directory = tempfile::tempdir().unwrap();
    let system = Program::cargo_run_release().unwrap().start(directory.path(), &[]).unwrap();
    let here = |command: &str| {
        let [order, inventory, payment] = system.addresses.map(|address| address.to_string());
        command
            .replace("127.0.0.1:8001", &order)
            .replace("127.0.0.1:8002", &inventory)
            .replace("127.0.0.1:8003", &payment)
    };
    let expected: [&[&str]; 8] = [
        &[r#""item_sku":"SKU-ABC","quantity":10,"reserved":0"#],
        &[r#""order_id":1"#, r#""status":"CONFIRMED","payment_status":"SUCCEEDED","item_sku":"SKU-ABC","quantity":2"#],
        &[r#""order_id":2,"status":"FAILED","payment_status":"FAILED""#, "payment declined"],
        &[r#""quantity":8,"reserved":0"#],
        &[r#""order_id":3,"status":"FAILED","payment_status":"NOT_ATTEMPTED""#, "insufficient stock"],
        &[r#""order_id":1,"status":"REQUESTED","amount":100,"currency":"USD""#],
        &["OrderCreated", "StockReserved", "PaymentFailed", "StockReleased", "OrderFailed"],
        &[],
    ];
    assert_eq!(curl.len(), expected.len(), "{curl:#?}");
    for (command, expected) in curl.iter().zip(expected) {
        if expected.is_empty() {
            // The stream sends nothing until an order changes; checking its content type is enough here.
            let head =
                shell(&here(&command.replace("curl -sN", "curl -sN -D -")).replace("--max-time 3", "--max-time 1"));
            assert!(head.contains("text/event-stream"), "{head}");
            continue;
        }
        let answer = shell(&here(command));
        for part in expected {
            assert!(answer.contains(part), "{command}\n{answer}\nlacks {part}");
        }
    }
    let welcome = system.welcome.clone();
    for command in welcome.lines().map(str::trim).filter(|line| line.starts_with("curl")) {
        assert!(shell(command).contains("SKU-ABC"), "{command}");
    }
    assert!(system.stop().unwrap().success());
    let verify =
        cargo(&["run", "--quiet", "--release", "--", "verify", "--data-dir"]).arg(directory.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&verify.stdout).starts_with("clean: 4 orders"), "{verify:?}");
}

#[test]
fn the_benchmark_prints_its_table() {
    let directory = tempfile::tempdir().unwrap();
    let small = ["--time=300ms", "--warm-up=100ms", "--connections=4", "--skus=10", "--backlog=1s", "--history=2000"];
    let json = directory.path().join("results.json");
    let mut bench = cargo(&["xtask", "bench"]);
    bench.args(small).arg("--json").arg(&json).arg("--data-dir").arg(directory.path().join("data"));
    let bench = bench.output().unwrap();
    let table = String::from_utf8_lossy(&bench.stdout);
    assert!(bench.status.success(), "{table}{}", String::from_utf8_lossy(&bench.stderr));
    for word in
        ["the baseline", "orders/s", "p99 ms", "uniform, 10 SKUs", "one hot SKU", "30% declined", "two replicas"]
    {
        assert!(table.contains(word), "{word} is missing in {table}");
    }
    let figures: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert!(figures["in_one_process"].is_object() && figures["on_servers"].is_object(), "{figures}");
}
