"""Lints the chart, renders it with each of its values files, and checks the result against the schemas.

Usage: render.py CHART SCHEMAS OUTPUT. Writes OUTPUT/<values file>.json with the rendered resources. Prints what is
wrong, and exits with 1 then. Needs the packages that python.rs names.
"""

import contextlib
import json
import os
import pathlib
import sys

import helm_python
import jsonschema
import kubernetes_validate
import yaml

# The oldest version that Chart.yaml allows, and the newest whose schemas there are.
KUBERNETES = ["1.30", "1.37"]
WARNING = 2

chart_path, schemas, output = (pathlib.Path(argument) for argument in sys.argv[1:])
values_path = chart_path / "ci"
wrong = []


def finding(where, what):
    wrong.append(f"{where}: {what}")


@contextlib.contextmanager
def quiet():
    """Sends what the library itself prints, as about each symbolic link, into a file."""
    kept = os.dup(2)
    with open(output / "helm.log", "a") as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def rendered(values):
    """All resources that the chart makes, after its schema and its templates have accepted the values."""
    with quiet(), helm_python.Chart.load(chart_path) as chart:
        chart.validate_schema(values)
        files = chart.render(values, name="shop", namespace="test")
    notes = [text for path, text in files.items() if path.endswith("NOTES.txt")]
    if not any("curl" in text for text in notes):
        raise ValueError("the notes do not say what to try")
    return [
        {**resource, "x-file": path.rsplit("/", 1)[-1]}
        for path, text in sorted(files.items())
        if not path.endswith("NOTES.txt")
        for resource in yaml.safe_load_all(text)
        if resource
    ]


def by_kubernetes(resource, version):
    """Returns False if Kubernetes has no such resource."""
    try:
        kubernetes_validate.validate(resource, version, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return False
    return True


def by_operator(resource):
    group, version = resource["apiVersion"].split("/")
    file = schemas / f"{resource['kind'].lower()}-{group.split('.')[0]}-{version}.json"
    if not file.is_file():
        raise ValueError(f"no schema of {resource['apiVersion']} {resource['kind']}: see {schemas}/README.md")
    jsonschema.validate(resource, json.loads(file.read_text()), jsonschema.Draft202012Validator)


def check(resource):
    resource = {key: value for key, value in resource.items() if key != "x-file"}
    for version in KUBERNETES:
        if not by_kubernetes(resource, version):
            by_operator(resource)


def accepted(file):
    values = yaml.safe_load(file.read_text())
    name = file.name
    with quiet():
        report = helm_python.lint(chart_path, values, strict=True, kube_version=f"v{KUBERNETES[0]}.0")
    for message in report["messages"]:
        if message["severity"] >= WARNING:
            finding(name, f"helm lint: {message['path']}: {message['error']}")
    try:
        resources = rendered(values)
    except (helm_python.HelmError, ValueError, yaml.YAMLError) as error:
        finding(name, error)
        return 0
    for resource in resources:
        try:
            check(resource)
        except (jsonschema.ValidationError, ValueError) as error:
            place = ".".join(str(part) for part in getattr(error, "path", []))
            text = getattr(error, "message", str(error))
            finding(name, f"{resource['kind']} {resource['metadata']['name']}: {place}: {text}")
    (output / f"{file.stem}.json").write_text(json.dumps(resources))
    return len(resources)


def merged(base, change):
    if isinstance(base, dict) and isinstance(change, dict):
        return {key: merged(base.get(key), change.get(key)) if key in change else base[key] for key in {**base, **change}}
    return change


def refused(base, case):
    try:
        rendered(merged(base, case["values"]))
    except helm_python.HelmError as error:
        if case["message"] not in str(error):
            finding("refused.yaml", f"{case['name']}: the message does not contain {case['message']!r}: {error}")
    else:
        finding("refused.yaml", f"{case['name']} is accepted")


def main():
    files = sorted(file for file in values_path.glob("*.yaml") if file.name != "refused.yaml")
    counts = {file.name: accepted(file) for file in files}
    base = yaml.safe_load((values_path / "external.yaml").read_text())
    cases = yaml.safe_load((values_path / "refused.yaml").read_text())
    for case in [{"name": "the defaults alone", "message": "set order.database.url", "values": None}, *cases]:
        refused({} if case["values"] is None else base, {**case, "values": case["values"] or {}})
    for name, count in counts.items():
        print(f"    {name}: {count} resources, valid for Kubernetes {' and '.join(KUBERNETES)}")
    print(f"    {len(cases) + 1} wrong values are refused")
    for text in wrong:
        print(f"    WRONG: {text}")
    return 1 if wrong else 0


sys.exit(main())
