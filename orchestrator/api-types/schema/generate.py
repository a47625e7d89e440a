#!/usr/bin/env python3
"""Writes types.schema from the sources of two crates.

k8s-pb has the protobuf tags and the list markers of every type, k8s-openapi the exact JSON names.
Usage: generate.py DIR_OF_K8S_PB DIR_OF_K8S_OPENAPI > types.schema
The grammar of the output is documented in src/schema/mod.rs.
"""

import pathlib
import re
import sys

API_VERSION_DIR = "v1_35"
ROOTS = """
core.v1.Pod core.v1.Node core.v1.Service core.v1.Endpoints core.v1.Namespace core.v1.Event core.v1.ConfigMap
core.v1.Secret core.v1.Binding core.v1.PodTemplateSpec apps.v1.Deployment apps.v1.ReplicaSet
autoscaling.v1.HorizontalPodAutoscaler autoscaling.v1.Scale autoscaling.v2.HorizontalPodAutoscaler
coordination.v1.Lease discovery.v1.EndpointSlice policy.v1.Eviction meta.v1.DeleteOptions meta.v1.Status
authorization.v1.SelfSubjectAccessReview authorization.v1.SelfSubjectRulesReview authentication.v1.SelfSubjectReview
""".split()
SPECIAL = {
    "resource.Quantity": "quantity",
    "intstr.IntOrString": "int-or-string",
    "meta.v1.Time": "time",
    "meta.v1.MicroTime": "micro-time",
    "meta.v1.Duration": "duration",
    "meta.v1.FieldsV1": "raw-json",
    "runtime.RawExtension": "raw-json",
    "authentication.v1.ExtraValue": "raw-json",
}
SCALARS = {"string": "string", "bool": "bool", "int32": "int32", "int64": "int64", "double": "double", "bytes": "bytes"}


def short(parts):
    parts = [part for part in parts if part not in ("api", "apimachinery", "pkg", "apis", "util")]
    return ".".join(parts)


def json_names(root):
    names = {}
    for path in (root / "src" / API_VERSION_DIR).rglob("*.rs"):
        text = path.read_text()
        header = re.match(r"// Generated from definition io\.k8s\.([\w.\-]+)", text)
        if header:
            keys = re.findall(r'^\s+"([^"]+)" => Field::Key_', text, re.M)
            names[short(header.group(1).replace("-", "_").split(".")).lower()] = {key.lower(): key for key in keys}
    return names


def messages(root):
    found = {}
    for path in (root / "src").rglob("mod.rs"):
        module = path.relative_to(root / "src").parts[:-1]
        text = path.read_text()
        for match in re.finditer(r"pub struct (\w+) \{\n(.*?)^\}", text, re.M | re.S):
            head = text[: match.start()].rsplit("\n}\n", 1)[-1]
            if "::prost::Message" in head:
                found[short(module + (match.group(1),))] = (module, match.group(2), head)
    return found


def resolve(module, rust_type, known):
    path = list(module)
    parts = rust_type.split("::")
    while parts and parts[0] == "super":
        path.pop()
        parts.pop(0)
    full = short(tuple(path) + tuple(parts))
    if full not in known:
        sys.exit(f"unknown type {rust_type} in {'.'.join(module)}: {full}")
    return full


def innermost(rust):
    rust = re.sub(r"\s+", "", rust).rstrip(",")
    for wrapper in ("::core::option::Option", "::prost::alloc::vec::Vec", "::prost::alloc::boxed::Box"):
        while rust.startswith(wrapper + "<"):
            rust = rust[len(wrapper) + 1 : -1].rstrip(",")
    return rust


def camel(snake):
    head, *rest = snake.split("_")
    return head + "".join(word.capitalize() for word in rest)


def fields(name, known, names):
    module, body, _ = known[name]
    for match in re.finditer(r"((?:\s*///[^\n]*\n)*)\s*#\[prost\(([^\]]*)\)\]\s*pub (?:r#)?(\w+):([^;]*?),\n(?=\s*(?:///|#\[|$))", body + "\n", re.S):
        doc, attributes, ident, rust = match.groups()
        tag = re.search(r'tag = "(\d+)"', attributes).group(1)
        kind = attributes.split(",")[0].strip()
        by_map = re.match(r'btree_map = "(\w+)', kind)
        if by_map:
            value = re.search(r'btree_map = "\w+, (\w+)', attributes).group(1)
            if value == "message":
                inner = re.sub(r"\s+", "", rust).rstrip(",")
                inner = innermost(inner[inner.index(",") + 1 : -1].rstrip(","))
                value = resolve(module, inner, known)
            target, text = value, "{%s}"
        elif kind == "message":
            target = resolve(module, innermost(rust), known)
            text = "[%s]" if "repeated" in attributes else "%s"
        else:
            target = re.match(r"\w+", kind).group(0)
            text = "[%s]" if "repeated" in attributes else "%s"
        flags = []
        markers = dict(re.findall(r"^\s*/// \+(patchMergeKey|patchStrategy|listType|mapType|structType)=([\w,]+)", doc, re.M))
        strategy = markers.get("patchStrategy", "").split(",")
        if "merge" in strategy:
            flags.append("merge=" + markers.get("patchMergeKey", "") if "patchMergeKey" in markers else "merge")
        if "retainKeys" in strategy:
            flags.append("retain-keys")
        keys = re.findall(r"^\s*/// \+listMapKey=(\w+)", doc, re.M)
        if keys:
            flags.append("keys=" + ",".join(keys))
        elif markers.get("listType") == "set":
            flags.append("set")
        if "atomic" in (markers.get("mapType"), markers.get("structType")):
            flags.append("atomic")
        spelled = names.get(name.lower(), {}).get(ident.replace("_", ""))
        if spelled is None:
            if name.lower() in names and kind == "message":
                flags.append("inline")
            elif name.lower() in names:
                continue
            spelled = camel(ident)
        yield spelled, int(tag), target, text, flags


def main():
    known, names = messages(pathlib.Path(sys.argv[1])), json_names(pathlib.Path(sys.argv[2]))
    wanted, seen, lines = list(ROOTS), set(), {}
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        out = []
        for spelled, tag, target, text, flags in sorted(fields(name, known, names), key=lambda field: field[1]):
            if target in SCALARS:
                shown = SCALARS[target]
            elif target in SPECIAL:
                shown = SPECIAL[target]
            else:
                shown = target
                wanted.append(target)
            out.append(" ".join([spelled, str(tag), text % shown, *flags]))
        lines[name] = out
    print("# Generated by generate.py from k8s-pb 0.9.0 and k8s-openapi 0.29.0 (Kubernetes 1.35, Apache-2.0). Do not edit.")
    for name in sorted(lines):
        print(f"\n{name}")
        for line in lines[name]:
            print(line)


main()
