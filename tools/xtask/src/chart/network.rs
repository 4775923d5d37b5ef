//! Rules about network policies: nobody is let in or out who does not belong.

use serde_json::Value;

use super::objects::{Objects, items, selects, title};

/// Returns what is wrong with the network policies. Without any, there is nothing to check.
pub(super) fn check(objects: &Objects) -> Vec<String> {
    let mut wrong = Vec::new();
    let policies: Vec<&Value> = objects.of_kind("NetworkPolicy").collect();
    for policy in &policies {
        let at = title(policy);
        let mut must = |holds: bool, text: String| {
            if !holds {
                wrong.push(format!("{at}: {text}"))
            }
        };
        must(!is_everything(&policy["spec"]["podSelector"]), "it selects all pods".to_owned());
        for (list, peers) in [("ingress", "from"), ("egress", "to")] {
            for rule in items(&policy["spec"][list]) {
                must(items(&rule["ports"]).next().is_some(), format!("a rule of {list} is for all ports"));
                must(items(&rule[peers]).next().is_some(), format!("a rule of {list} is for everybody"));
                for peer in items(&rule[peers]) {
                    must(!is_everybody(peer), format!("a rule of {list} is for {peer}"));
                }
            }
        }
        let databases = items(&policy["spec"]["egress"]).filter(|rule| has_port(rule, 5432)).count();
        let audits = policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "verify";
        must(databases <= 1 || audits, format!("its pods reach {databases} databases"));
    }
    if !policies.is_empty() {
        for workload in objects.workloads() {
            let confined = policies.iter().any(|policy| {
                let spec = &policy["spec"];
                let both = ["Ingress", "Egress"].iter().all(|kind| items(&spec["policyTypes"]).any(|own| own == kind));
                both && workload.is_selected_by(&spec["podSelector"]["matchLabels"])
            });
            if !confined {
                wrong.push(format!("{}: no network policy confines it in both directions", title(workload.object)));
            }
        }
    }
    wrong.extend(own_database(objects));
    wrong
}

/// With clusters of the operator, the labels say whose database a service reaches.
fn own_database(objects: &Objects) -> Vec<String> {
    let mut wrong = Vec::new();
    for cluster in objects.of_kind("Cluster") {
        let labels = serde_json::json!({ "cnpg.io/cluster": cluster["metadata"]["name"] });
        let owner = &cluster["metadata"]["labels"]["app.kubernetes.io/component"];
        for policy in objects.of_kind("NetworkPolicy") {
            let reaches = items(&policy["spec"]["egress"])
                .flat_map(|rule| items(&rule["to"]))
                .any(|peer| selects(&peer["podSelector"]["matchLabels"], &labels));
            let component = &policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"];
            if reaches && component != owner && component != "verify" {
                wrong.push(format!("{}: it reaches the database of {owner}", title(policy)));
            }
        }
    }
    wrong
}

fn has_port(rule: &Value, port: u64) -> bool {
    items(&rule["ports"]).any(|own| own["port"] == port)
}

/// An empty peer, or one with a selector that selects everything, or all addresses.
fn is_everybody(peer: &Value) -> bool {
    let selectors = ["podSelector", "namespaceSelector"].map(|name| peer.get(name));
    let all_selected = selectors.iter().flatten().any(|selector| is_everything(selector));
    let block = peer["ipBlock"]["cidr"].as_str();
    let nothing = selectors.iter().all(Option::is_none) && block.is_none();
    nothing || all_selected || block.is_some_and(|cidr| cidr.ends_with("/0"))
}

fn is_everything(selector: &Value) -> bool {
    let labels = selector["matchLabels"].as_object().is_some_and(|labels| !labels.is_empty());
    let expressions = items(&selector["matchExpressions"]).next().is_some();
    !labels && !expressions
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects() -> Vec<Value> {
        let labels = json!({"app.kubernetes.io/component": "order"});
        let database = |name: &str| {
            json!({"kind": "Cluster", "metadata": {
                "name": format!("{name}-db"), "labels": {"app.kubernetes.io/component": name},
            }})
        };
        let policy = json!({"kind": "NetworkPolicy", "metadata": {"name": "order"}, "spec": {
            "podSelector": {"matchLabels": labels},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"ports": [{"port": "http"}], "from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}],
            "egress": [
                {"ports": [{"port": 5432}], "to": [{"podSelector": {"matchLabels": {"cnpg.io/cluster": "order-db"}}}]},
                {"ports": [{"port": 5672}], "to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}]},
            ],
        }});
        let template = json!({"metadata": {"labels": labels}});
        let deployment = json!({"kind": "Deployment", "metadata": {"name": "order"}, "spec": {"template": template}});
        vec![policy, deployment, database("order"), database("payment")]
    }

    #[test]
    fn each_rule_notices_its_violation() {
        assert_eq!(check(&Objects::new(objects())), Vec::<String>::new());
        for (pointer, value, expected) in [
            ("/spec/podSelector", json!({}), "it selects all pods"),
            ("/spec/podSelector/matchLabels", json!({"other": "pods"}), "no network policy confines it"),
            ("/spec/policyTypes", json!(["Ingress"]), "no network policy confines it"),
            ("/spec/ingress/0", json!({}), "a rule of ingress is for everybody"),
            ("/spec/ingress/0/ports", json!([]), "for all ports"),
            ("/spec/ingress/0/from/0", json!({}), "a rule of ingress is for {}"),
            ("/spec/ingress/0/from/0", json!({"podSelector": {}}), "a rule of ingress is for"),
            ("/spec/ingress/0/from/0", json!({"namespaceSelector": {"matchLabels": {}}}), "a rule of ingress is for"),
            ("/spec/egress/1/to/0/ipBlock/cidr", json!("0.0.0.0/0"), "a rule of egress is for"),
            ("/spec/egress/1/to/0/ipBlock/cidr", json!("::/0"), "a rule of egress is for"),
            ("/spec/egress/1/ports/0/port", json!(5432), "its pods reach 2 databases"),
            (
                "/spec/egress/0/to/0/podSelector/matchLabels",
                json!({"cnpg.io/cluster": "payment-db"}),
                "it reaches the database of \"payment\"",
            ),
        ] {
            let mut broken = objects();
            *broken[0].pointer_mut(pointer).unwrap() = value;
            let wrong = check(&Objects::new(broken));
            assert!(wrong.iter().any(|text| text.contains(expected)), "{pointer}: {wrong:?}");
        }
    }
}
