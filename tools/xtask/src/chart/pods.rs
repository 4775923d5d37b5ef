//! Rules about pods: what they may do, what they are told, and how they are asked whether they work.

use serde_json::{Value, json};

use super::{
    objects::{Objects, Workload, items, title},
    programs::Programs,
};

/// The stages of a shutdown that may each take the drain timeout, and the seconds of the others.
const DRAIN_STAGES: u64 = 3;
const LAST_SECONDS: u64 = 4;

/// Returns what is wrong with the pods.
pub(super) fn check(objects: &Objects, programs: &Programs) -> Vec<String> {
    let mut wrong = Vec::new();
    for workload in objects.workloads() {
        let at = title(workload.object);
        wrong.extend(pod(workload).into_iter().map(|text| format!("{at}: {text}")));
        for container in workload.containers() {
            let found = privileges(container).into_iter().chain(settings(workload, container, programs));
            wrong.extend(found.map(|text| format!("{at}: {text}")));
        }
        if workload.object["kind"] == "Deployment" {
            let found = workload.containers().flat_map(probes).chain(shutdown(workload));
            wrong.extend(found.map(|text| format!("{at}: {text}")));
        }
    }
    wrong
}

fn pod(workload: Workload<'_>) -> Vec<String> {
    let spec = &workload.template["spec"];
    let security = &spec["securityContext"];
    let mut wrong = Vec::new();
    let mut must = |holds: bool, text: &str| {
        if !holds {
            wrong.push(text.to_owned())
        }
    };
    must(spec["automountServiceAccountToken"] == false, "its pods get the token of a service account");
    must(security["runAsNonRoot"] == true, "its pods may run as root");
    must(security["runAsUser"].as_u64().is_some_and(|user| user > 0), "its pods have no user");
    must(security["seccompProfile"]["type"] == "RuntimeDefault", "its pods have no seccomp profile");
    for namespace in ["hostNetwork", "hostPID", "hostIPC"] {
        must(spec[namespace].is_null(), namespace);
    }
    for volume in items(&spec["volumes"]) {
        let secret = volume.get("secret").is_some() || volume.get("projected").is_some();
        must(secret, &format!("the volume {} is no Secret", volume["name"]));
    }
    wrong
}

fn privileges(container: &Value) -> Vec<String> {
    let security = &container["securityContext"];
    let mut wrong = Vec::new();
    for (field, expected) in [
        ("allowPrivilegeEscalation", json!(false)),
        ("readOnlyRootFilesystem", json!(true)),
        ("runAsNonRoot", json!(true)),
        ("privileged", json!(false)),
        ("capabilities", json!({"drop": ["ALL"]})),
        ("seccompProfile", json!({"type": "RuntimeDefault"})),
    ] {
        if security[field] != expected {
            wrong.push(format!("the container's {field} is {}", security[field]));
        }
    }
    let image = container["image"].as_str().unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    if !name.contains([':', '@']) || name.ends_with(":latest") {
        wrong.push(format!("the image {image} has neither a tag nor a digest"));
    }
    if container["resources"]["limits"]["memory"].is_null() || container["resources"]["requests"]["memory"].is_null() {
        wrong.push("the container has no limit of memory, or requests none".to_owned());
    }
    wrong
}

fn settings(workload: Workload<'_>, container: &Value, programs: &Programs) -> Vec<String> {
    let mut wrong = Vec::new();
    let program = container["name"].as_str().unwrap_or_default();
    let mounts: Vec<&str> = items(&container["volumeMounts"]).filter_map(|mount| mount["mountPath"].as_str()).collect();
    let mut names = Vec::new();
    for variable in items(&container["env"]) {
        let name = variable["name"].as_str().unwrap_or_default();
        let value = variable["value"].as_str().unwrap_or_default();
        if !programs.knows(program, name) {
            wrong.push(format!("{program} knows no variable {name}"));
        }
        if names.contains(&name) {
            wrong.push(format!("{name} is set twice"));
        }
        names.push(name);
        let user = value.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map_or("", |(user, _)| user);
        let secret = ["TOKEN", "PASSWORD"].iter().any(|word| name.ends_with(word));
        if user.contains(':') || (secret && !value.is_empty()) {
            wrong.push(format!("{name} contains a secret"));
        }
        let directory = value.rsplit_once('/').map_or("", |(directory, _)| directory);
        let mounted = ["order", "inventory", "payment"].map(|name| directory.replace("{service}", name));
        if name.ends_with("_FILE") && !mounted.iter().all(|directory| mounts.contains(&directory.as_str())) {
            wrong.push(format!("{name} is {value}, where nothing is mounted"));
        }
    }
    for mount in items(&container["volumeMounts"]) {
        if !items(&workload.template["spec"]["volumes"]).any(|volume| volume["name"] == mount["name"]) {
            wrong.push(format!("there is no volume {}", mount["name"]));
        }
        if mount["readOnly"] != true {
            wrong.push(format!("the volume {} can be written", mount["name"]));
        }
    }
    wrong
}

/// The value of a container's variable.
pub(super) fn variable<'a>(container: &'a Value, names: &[&str]) -> Option<&'a str> {
    let named = |variable: &&Value| variable["name"].as_str().is_some_and(|name| names.contains(&name));
    items(&container["env"]).find(named)?["value"].as_str()
}

fn probes(container: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let port = variable(container, &["LISTEN", "CONSOLE_LISTEN"]).and_then(|address| address.rsplit(':').next());
    let ports: Vec<&Value> = items(&container["ports"]).collect();
    let listens = ports.iter().any(|known| {
        known["name"] == "http" && known["containerPort"].as_u64().map(|known| known.to_string()).as_deref() == port
    });
    if !listens {
        wrong.push(format!("it listens on {port:?}, and its ports are {ports:?}"));
    }
    let service = container["name"] != "console";
    for (probe, paths) in [
        ("startupProbe", &["/health"][..]),
        ("livenessProbe", &["/health"]),
        ("readinessProbe", if service { &["/health/ready", "/health"] } else { &["/health"] }),
    ] {
        let request = &container[probe]["httpGet"];
        if !paths.iter().any(|path| request["path"] == *path) || request["port"] != "http" {
            wrong.push(format!("the {probe} is {request}"));
        }
    }
    wrong
}

fn shutdown(workload: Workload<'_>) -> Option<String> {
    let grace = workload.template["spec"]["terminationGracePeriodSeconds"].as_u64()?;
    let container = workload.containers().next()?;
    let Some(sleep) = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64() else {
        return Some("it refuses requests before it is taken out of its Service: no preStop".to_owned());
    };
    let drain = variable(container, &["DRAIN_TIMEOUT"]).unwrap_or("0s").strip_suffix('s')?.parse::<u64>().ok()?;
    let needed = sleep + DRAIN_STAGES * drain + if drain == 0 { 2 } else { LAST_SECONDS };
    (grace < needed).then(|| format!("its grace period of {grace} s is shorter than its shutdown of {needed} s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Deployment about which nothing is wrong.
    fn deployment() -> Value {
        json!({"kind": "Deployment", "metadata": {"name": "x"}, "spec": {"template": {"spec": {
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
            "terminationGracePeriodSeconds": 33,
            "volumes": [{"name": "admin", "secret": {"secretName": "s"}}],
            "containers": [{
                "name": "order",
                "image": "order:1",
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
                    "privileged": false, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}
                },
                "resources": {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi"}},
                "ports": [{"name": "http", "containerPort": 8001}],
                "env": [
                    {"name": "LISTEN", "value": "0.0.0.0:8001"},
                    {"name": "DRAIN_TIMEOUT", "value": "8s"},
                    {"name": "DATABASE_URL", "value": "postgres://order@db/order"},
                    {"name": "ADMIN_TOKEN_FILE", "value": "/run/secrets/admin/token"}
                ],
                "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
                "startupProbe": {"httpGet": {"path": "/health", "port": "http"}},
                "livenessProbe": {"httpGet": {"path": "/health", "port": "http"}},
                "readinessProbe": {"httpGet": {"path": "/health/ready", "port": "http"}},
                "volumeMounts": [{"name": "admin", "mountPath": "/run/secrets/admin", "readOnly": true}]
            }]
        }}}})
    }

    fn wrong(deployment: Value) -> Vec<String> {
        let variables = ["LISTEN", "DRAIN_TIMEOUT", "DATABASE_URL", "ADMIN_TOKEN_FILE", "ADMIN_TOKEN"];
        check(&Objects::new(vec![deployment]), &Programs::of("order", variables))
    }

    #[test]
    fn each_rule_notices_its_violation() {
        assert_eq!(wrong(deployment()), Vec::<String>::new());
        let container = "/spec/template/spec/containers/0";
        let pod = "/spec/template/spec";
        for (pointer, value, expected) in [
            (format!("{pod}/automountServiceAccountToken"), json!(true), "token of a service account"),
            (format!("{pod}/securityContext/runAsUser"), json!(0), "no user"),
            (format!("{pod}/volumes/0"), json!({"name": "admin", "hostPath": {"path": "/"}}), "is no Secret"),
            (format!("{pod}/volumes/0/name"), json!("other"), "there is no volume"),
            (format!("{pod}/terminationGracePeriodSeconds"), json!(32), "shorter than its shutdown of 33 s"),
            (format!("{container}/securityContext/capabilities"), json!({"drop": ["NET_RAW"]}), "capabilities"),
            (format!("{container}/securityContext/readOnlyRootFilesystem"), json!(false), "readOnlyRootFilesystem"),
            (format!("{container}/securityContext/seccompProfile"), json!(null), "seccompProfile"),
            (format!("{container}/image"), json!("registry:5000/order"), "neither a tag nor a digest"),
            (format!("{container}/resources/limits"), json!({}), "no limit of memory"),
            (format!("{container}/env/1/name"), json!("DRAIN_TIME"), "order knows no variable DRAIN_TIME"),
            (format!("{container}/env/1/name"), json!("LISTEN"), "LISTEN is set twice"),
            (format!("{container}/env/2/value"), json!("postgres://a:b@db/order"), "DATABASE_URL contains a secret"),
            (format!("{container}/env/3"), json!({"name": "ADMIN_TOKEN", "value": "x"}), "ADMIN_TOKEN contains a"),
            (format!("{container}/env/3/value"), json!("/run/token"), "where nothing is mounted"),
            (format!("{container}/env/0/value"), json!("0.0.0.0:8002"), "it listens on Some(\"8002\")"),
            (format!("{container}/startupProbe"), json!(null), "the startupProbe is null"),
            (format!("{container}/readinessProbe/httpGet/path"), json!("/ready"), "the readinessProbe is"),
            (format!("{container}/lifecycle"), json!({}), "no preStop"),
            (format!("{container}/volumeMounts/0/readOnly"), json!(false), "can be written"),
        ] {
            let mut broken = deployment();
            *broken.pointer_mut(&pointer).unwrap() = value;
            let wrong = wrong(broken);
            assert!(wrong.iter().any(|text| text.contains(expected)), "{pointer}: {wrong:?}");
        }
    }
}
