//! Rules about resources that refer to each other, and all rules together.

use serde_json::Value;

use super::{
    network,
    objects::{Objects, Workload, items, selects, title},
    pods,
    programs::Programs,
};

/// Returns what is wrong with the resources.
pub(super) fn check(objects: &Objects, programs: &Programs) -> Vec<String> {
    let mut wrong = pods::check(objects, programs);
    wrong.extend(network::check(objects));
    wrong.extend(objects.of_kind("Secret").map(|secret| format!("{}: the chart contains a secret", title(secret))));
    wrong.extend(objects.of_kind("Deployment").filter_map(|deployment| deployment_rules(deployment, objects)));
    wrong.extend(objects.of_kind("Service").filter_map(|service| service_rules(service, objects)));
    wrong.extend(objects.of_kind("PodDisruptionBudget").filter_map(|budget| budget_rules(budget, objects)));
    wrong.extend(objects.of_kind("ScaledObject").filter_map(|scaled| scaled_rules(scaled, objects)));
    wrong.extend(objects.of_kind("ServiceMonitor").filter_map(|monitor| monitor_rules(monitor, objects)));
    wrong.extend(objects.of_kind("PrometheusRule").filter_map(alert_rules));
    if objects.workloads().count() < 3 {
        wrong.push("not even the three services are there".to_owned());
    }
    wrong
}

fn selected<'a>(labels: &Value, objects: &'a Objects) -> Vec<Workload<'a>> {
    objects.workloads().filter(|workload| workload.is_selected_by(labels)).collect()
}

fn deployment_rules(deployment: &Value, objects: &Objects) -> Option<String> {
    let at = title(deployment);
    let spec = &deployment["spec"];
    if selected(&spec["selector"]["matchLabels"], objects).len() != 1 {
        return Some(format!("{at}: its selector does not select its own pods alone"));
    }
    let name = &deployment["metadata"]["name"];
    let scaled = objects.of_kind("ScaledObject").any(|scaled| scaled["spec"]["scaleTargetRef"]["name"] == *name);
    if scaled == spec.get("replicas").is_some() {
        return Some(format!("{at}: its replicas are set by nobody, or by the chart and KEDA"));
    }
    let single = spec["replicas"] == 1 && spec["strategy"]["type"] == "Recreate";
    let budgeted = objects
        .of_kind("PodDisruptionBudget")
        .any(|budget| selects(&budget["spec"]["selector"]["matchLabels"], &spec["template"]["metadata"]["labels"]));
    (!single && !budgeted).then(|| format!("{at}: no PodDisruptionBudget is for it"))
}

fn service_rules(service: &Value, objects: &Objects) -> Option<String> {
    let spec = &service["spec"];
    let workloads = selected(&spec["selector"], objects);
    let [workload] = workloads.as_slice() else {
        return Some(format!("{}: it selects {} workloads", title(service), workloads.len()));
    };
    let ports: Vec<&Value> = workload.containers().flat_map(|container| items(&container["ports"])).collect();
    let same = |port: &&Value| {
        let number = &port["port"];
        ports.iter().any(|own| port["targetPort"] == own["name"] && *number == own["containerPort"])
    };
    let wrong = items(&spec["ports"]).find(|port| !same(port))?;
    Some(format!("{}: {} has no port {wrong}", title(service), title(workload.object)))
}

fn budget_rules(budget: &Value, objects: &Objects) -> Option<String> {
    let labels = &budget["spec"]["selector"]["matchLabels"];
    // The pods of an operator's cluster have its name as a label.
    let broker = objects
        .of_kind("RabbitmqCluster")
        .any(|cluster| selects(labels, &serde_json::json!({ "app.kubernetes.io/name": cluster["metadata"]["name"] })));
    let count = selected(labels, objects).len();
    (count != 1 && !broker).then(|| format!("{}: it selects {count} workloads", title(budget)))
}

fn scaled_rules(scaled: &Value, objects: &Objects) -> Option<String> {
    let at = title(scaled);
    let target = &scaled["spec"]["scaleTargetRef"]["name"];
    let Some(deployment) = objects.named("Deployment", target) else {
        return Some(format!("{at}: there is no Deployment {target}"));
    };
    let component = &deployment["metadata"]["labels"]["app.kubernetes.io/component"];
    items(&scaled["spec"]["triggers"]).find_map(|trigger| {
        let authentication = &trigger["authenticationRef"]["name"];
        if objects.named("TriggerAuthentication", authentication).is_none() {
            return Some(format!("{at}: there is no TriggerAuthentication {authentication}"));
        }
        let queue = &trigger["metadata"]["queueName"];
        (queue != component).then(|| format!("{at}: it counts the queue {queue} for {component}"))
    })
}

fn monitor_rules(monitor: &Value, objects: &Objects) -> Option<String> {
    let labels = &monitor["spec"]["selector"]["matchLabels"];
    let services: Vec<&Value> =
        objects.of_kind("Service").filter(|service| selects(labels, &service["metadata"]["labels"])).collect();
    let [service] = services.as_slice() else {
        return Some(format!("{}: it selects {} services", title(monitor), services.len()));
    };
    let has = |endpoint: &&Value| items(&service["spec"]["ports"]).any(|port| port["name"] == endpoint["port"]);
    let wrong = items(&monitor["spec"]["endpoints"]).find(|endpoint| !has(endpoint))?;
    Some(format!("{}: {} has no port {}", title(monitor), title(service), wrong["port"]))
}

/// The file of the alerts is checked elsewhere; here, that it has arrived, with the addresses of the installation.
fn alert_rules(rules: &Value) -> Option<String> {
    let alerts: Vec<&Value> = items(&rules["spec"]["groups"]).flat_map(|group| items(&group["rules"])).collect();
    let development = |alert: &&&Value| alert["annotations"].to_string().contains("127.0.0.1");
    let wrong = alerts.len() < 15 || alerts.iter().any(|alert| development(&alert));
    wrong.then(|| format!("{}: alerts are missing, or name an address of development", title(rules)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn alerts_arrive_with_the_addresses_of_the_installation() {
        let rules = |count, console: &str| {
            let alert = json!({"alert": "ServiceDown", "annotations": {"console": console}});
            json!({"kind": "PrometheusRule", "spec": {"groups": [{"rules": vec![alert; count]}]}})
        };
        assert_eq!(alert_rules(&rules(20, "https://console.example.com/")), None);
        assert!(alert_rules(&rules(20, "http://127.0.0.1:8000/")).is_some());
        assert!(alert_rules(&rules(0, "")).is_some());
    }

    fn objects() -> Vec<Value> {
        let labels = json!({"app.kubernetes.io/component": "order"});
        let named = |kind: &str, name: &str, spec: Value| json!({"kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec});
        vec![
            named(
                "Deployment",
                "order",
                json!({"selector": {"matchLabels": labels}, "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8001}]}]},
                }}),
            ),
            named(
                "Service",
                "order",
                json!({"selector": labels, "ports": [{"name": "http", "port": 8001, "targetPort": "http"}]}),
            ),
            named("PodDisruptionBudget", "order", json!({"selector": {"matchLabels": labels}})),
            named(
                "ScaledObject",
                "order",
                json!({"scaleTargetRef": {"name": "order"}, "triggers": [
                    {"metadata": {"queueName": "order"}, "authenticationRef": {"name": "broker"}},
                ]}),
            ),
            named("TriggerAuthentication", "broker", json!({})),
            named(
                "ServiceMonitor",
                "order",
                json!({"selector": {"matchLabels": labels}, "endpoints": [{"port": "http"}]}),
            ),
        ]
    }

    /// What is wrong besides the pods, of which these have no details.
    fn wrong(objects: Vec<Value>) -> Vec<String> {
        let pods = pods::check(&Objects::new(objects.clone()), &Programs::default());
        let mut wrong = check(&Objects::new(objects), &Programs::default());
        wrong.retain(|text| !pods.contains(text) && !text.starts_with("not even"));
        wrong
    }

    #[test]
    fn each_rule_notices_its_violation() {
        assert_eq!(wrong(objects()), Vec::<String>::new());
        let other = json!({"app.kubernetes.io/component": "other"});
        for (object, pointer, value, expected) in [
            (0, "/spec/selector/matchLabels", other.clone(), "does not select its own pods"),
            (0, "/spec", json!({"replicas": 2, "selector": {"matchLabels": {}}}), "does not select its own pods"),
            (1, "/spec/selector", other.clone(), "it selects 0 workloads"),
            (1, "/spec/ports/0/port", json!(80), "Deployment order has no port"),
            (2, "/spec/selector/matchLabels", other.clone(), "PodDisruptionBudget order: it selects 0 workloads"),
            (2, "/spec/selector/matchLabels", other.clone(), "no PodDisruptionBudget is for it"),
            (3, "/spec/scaleTargetRef/name", json!("orders"), "there is no Deployment \"orders\""),
            (3, "/spec/scaleTargetRef/name", json!("orders"), "its replicas are set by nobody"),
            (3, "/spec/triggers/0/metadata/queueName", json!("payment"), "it counts the queue \"payment\""),
            (3, "/spec/triggers/0/authenticationRef/name", json!("x"), "there is no TriggerAuthentication \"x\""),
            (5, "/spec/selector/matchLabels", other, "it selects 0 services"),
            (5, "/spec/endpoints/0/port", json!("metrics"), "Service order has no port \"metrics\""),
            (4, "/kind", json!("Secret"), "the chart contains a secret"),
        ] {
            let mut broken = objects();
            *broken[object].pointer_mut(pointer).unwrap() = value;
            let wrong = wrong(broken);
            assert!(wrong.iter().any(|text| text.contains(expected)), "{object}{pointer}: {wrong:?}");
        }
    }
}
