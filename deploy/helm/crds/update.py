"""Makes the schemas of this directory from the CustomResourceDefinitions that the operators publish.

    python3 deploy/helm/crds/update.py scaledobjects.yaml rabbitmqclusters.yaml …

Needs PyYAML. Descriptions and extensions (`x-kubernetes-…`) are left out, and unknown properties are refused, which the
API server only warns about or drops. Of RabbitmqCluster's `override`, only what the chart uses is kept, because it
contains the whole schema of a StatefulSet.
"""

import json
import pathlib
import sys

import yaml

HERE = pathlib.Path(__file__).parent
POD = ["override", "statefulSet", "spec", "template", "spec"]
USED = {
    "RabbitmqCluster": [
        POD + ["containers", "name"],
        POD + ["containers", "volumeMounts"],
        POD + ["volumes", "name"],
        POD + ["volumes", "secret"],
    ]
}


def strict(node):
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {}
    for key, value in node.items():
        if key.startswith("x-") or (key == "description" and isinstance(value, str)):
            continue
        # Names of properties are not keywords.
        kept[key] = {name: strict(item) for name, item in value.items()} if key == "properties" else strict(value)
    if isinstance(kept.get("pattern"), str) and "(?i)" in kept["pattern"]:
        # Python wants it at the beginning.
        kept["pattern"] = "(?i)" + kept["pattern"].replace("(?i)", "")
    if "properties" in kept and not node.get("x-kubernetes-preserve-unknown-fields"):
        kept["additionalProperties"] = False
    return kept


def keep_only(node, paths):
    """Removes all properties that are on none of the paths; what is below the end of a path stays."""
    if any(not path for path in paths):
        return
    node = node.get("items", node)
    for name in list(node["properties"]):
        below = [path[1:] for path in paths if path[0] == name]
        if below:
            keep_only(node["properties"][name], below)
        else:
            del node["properties"][name]
    node.pop("required", None)


def text(value, indent=0):
    line = json.dumps(value)
    pad = " " * indent
    if len(pad) + len(line) <= 120 or not isinstance(value, (dict, list)):
        return line
    if isinstance(value, dict):
        items = [f"{pad} {json.dumps(key)}: {text(item, indent + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{pad}}}"
    return "[\n" + ",\n".join(f"{pad} {text(item, indent + 1)}" for item in value) + f"\n{pad}]"


for name in sys.argv[1:]:
    definition = yaml.safe_load(pathlib.Path(name).read_text())["spec"]
    kind = definition["names"]["kind"]
    for version in definition["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        override = schema["properties"].get("spec", {}).get("properties", {}).get("override")
        if kind in USED:
            keep_only(override, [path[1:] for path in USED[kind]])
        file = HERE / f"{kind.lower()}-{definition['group'].split('.')[0]}-{version['name']}.json"
        file.write_text(text(strict(schema)) + "\n")
        print(file)
