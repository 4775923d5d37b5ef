//! The resources that the chart makes from one values file.

use serde_json::Value;

/// Resources of Kubernetes.
#[derive(Debug)]
pub(super) struct Objects(Vec<Value>);

/// A resource with pods.
#[derive(Debug, Clone, Copy)]
pub(super) struct Workload<'a> {
    /// The resource.
    pub object: &'a Value,
    /// The template of its pods.
    pub template: &'a Value,
}

impl Objects {
    pub(super) fn new(resources: Vec<Value>) -> Self {
        Self(resources)
    }

    pub(super) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    pub(super) fn named(&self, kind: &str, name: &Value) -> Option<&Value> {
        self.of_kind(kind).find(|object| object["metadata"]["name"] == *name)
    }

    /// The Deployments and CronJobs.
    pub(super) fn workloads(&self) -> impl Iterator<Item = Workload<'_>> {
        let deployments =
            self.of_kind("Deployment").map(|object| Workload { object, template: &object["spec"]["template"] });
        let jobs = self.of_kind("CronJob");
        deployments
            .chain(jobs.map(|object| Workload { object, template: &object["spec"]["jobTemplate"]["spec"]["template"] }))
    }
}

impl<'a> Workload<'a> {
    pub(super) fn containers(self) -> impl Iterator<Item = &'a Value> {
        let spec = &self.template["spec"];
        ["containers", "initContainers"].into_iter().flat_map(|list| items(&spec[list]))
    }

    pub(super) fn is_selected_by(self, labels: &Value) -> bool {
        selects(labels, &self.template["metadata"]["labels"])
    }
}

/// Returns whether all of the wanted labels are there. No labels select nothing here, because the chart wants no
/// selector for everything.
pub(super) fn selects(wanted: &Value, labels: &Value) -> bool {
    let wanted = wanted.as_object();
    wanted.is_some_and(|wanted| !wanted.is_empty() && wanted.iter().all(|(name, value)| labels[name] == *value))
}

/// The items of a list; none if it is no list.
pub(super) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The kind and the name of a resource.
pub(super) fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}
