#!/usr/bin/env python3
"""Swell beside Debian's Prometheus and VictoriaMetrics: the same requests, the same machine, one run.

    cargo build --release -p swell -p swell-bench-compare
    benches/compare/compare.py --size small

Measures user and system CPU of each server for what it is sent until that is compact, its memory, its bytes on disk,
the CPU of query shapes, the CPU of a restart until the first answer, and what a kill -9 takes. Prints a table for each
workload and, with --json FILE, everything as JSON. Needs the Python standard library, and from Debian the packages
prometheus and victoria-metrics (a server that is not installed is left out, and said to be).
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import queries
import servers

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# Series, rows, step in seconds, share of the pods replaced in an hour.
WORKLOADS = {
    "small": {
        "10k": (1_000, 720, 30, 0.0),
        "100k": (5_000, 80, 15, 0.0),
        "1M": (20_000, 20, 15, 0.0),
        "churn": (5_000, 80, 15, 0.5),
    },
    "medium": {
        "10k": (10_000, 720, 30, 0.0),
        "100k": (30_000, 280, 15, 0.0),
        "1M": (200_000, 20, 15, 0.0),
        "churn": (30_000, 280, 15, 0.1),
    },
    "full": {
        "10k": (10_000, 2_880, 30, 0.0),
        "100k": (100_000, 280, 15, 0.0),
        "1M": (1_000_000, 20, 15, 0.0),
        "churn": (100_000, 280, 15, 0.1),
    },
}

# The newest versions, from the same page as the goals: seconds of CPU for a million samples, resident MiB,
# bytes per sample, of VictoriaMetrics and of Prometheus 3.
NEWEST = {
    "10k": {"cpu": (1.03, 3.65), "rss_mib": (193, 138), "bytes": (1.38, 2.53)},
    "100k": {"cpu": (1.99, 4.80), "rss_mib": (228, 315), "bytes": None},
    "1M": {"cpu": (3.2, 7.8), "rss_mib": (997, 2165), "bytes": (7.9, 9.4)},
}
# Prometheus 2.42 needs so many times the CPU of 3.5.
PROMETHEUS_2_BY_3 = 1.33
# Of VictoriaMetrics' figure.
GOALS = {
    "10k": {"cpu": 0.40, "rss": 0.2, "bytes": 0.85},
    "100k": {"cpu": 0.35, "rss": 0.4, "bytes": None},
    "1M": {"cpu": 0.30, "rss": 0.45, "bytes": 0.7},
}
QUERY_ROUNDS = 3


def run_push(args, *more):
    outcome = subprocess.run([args.push, *map(str, more)], capture_output=True, text=True)
    if outcome.returncode != 0:
        raise SystemExit(f"swell-push failed: {outcome.stderr}")
    return json.loads(outcome.stdout)


def make(args, folder, workload):
    series, rows, step_s, churn = workload
    # All of it is some hours old, so that one sample of now closes every window; what fits into one window of two
    # hours lies in one, as the index of each block is counted.
    end_s = int(time.time()) - 4 * 3600
    span_s = rows * step_s
    start_s = end_s // 7200 * 7200 + 60 if span_s <= 7000 else end_s - span_s
    start_ms = start_s * 1000
    return run_push(args, "make", "--out", folder, "--series", series, "--rows", rows, "--step-ms", step_s * 1000,
                    "--start-ms", start_ms, "--churn-per-hour", churn)


def ingest(args, server, requests, made):
    server.start()
    idle_cpu = server.cpu()
    sent = run_push(args, "send", "--from", requests, "--to", f"127.0.0.1:{server.port}", "--path", server.write_path)
    pushed_cpu = server.cpu() - idle_cpu
    server.settle()
    rss, peak = server.memory()
    if sent["acknowledged_samples"] != made["samples"]:
        print(f"  {server.name}: {sent['acknowledged_samples']} of {made['samples']} samples acknowledged: "
              f"{sent['refused']} {sent['first_refusal']!r}", flush=True)
    return {"acknowledged_samples": sent["acknowledged_samples"], "push_seconds": sent["seconds"],
            "push_cpu_s": pushed_cpu, "settled_cpu_s": server.cpu() - idle_cpu, "rss_bytes": rss, "peak_bytes": peak}


def ask(running, made):
    """CPU of each query shape by server, and whose answers are Prometheus'."""
    end_s = (made["start_ms"] + made["rows"] * made["step_ms"]) // 1000
    step_s = made["step_ms"] // 1000
    shapes = queries.shapes(end_s, step_s, made["rows"] * step_s)
    costs = {server.name: {name: [] for name in shapes} for server in running}
    answers = {server.name: {} for server in running}
    for _ in range(QUERY_ROUNDS):
        for name, shape in shapes.items():
            for server in running:
                cost, found = queries.measure(server, shape, time.monotonic)
                costs[server.name][name].append(cost)
                answers[server.name][name] = found
    result = {}
    for server in running:
        figures = {name: {"cpu_ms": 1000 * statistics.median(values)} for name, values in costs[server.name].items()}
        for name, figure in figures.items():
            found = answers[server.name][name]
            figure["series"] = len(found.get("list", found))
            if "error" in found:
                figure["error"] = found["error"]
            if "prometheus" in answers:
                figure["as_prometheus"] = queries.agreement(found, answers["prometheus"][name])
        result[server.name] = figures
    return result


def compare(args, name, workload, binaries):
    print(f"== {name}: {workload[0]} series, {workload[1]} rows each {workload[2]} s, "
          f"{workload[3]:.0%} of the pods replaced an hour", flush=True)
    folder = tempfile.mkdtemp(prefix="swell-compare-", dir=args.work)
    requests = os.path.join(folder, "requests")
    try:
        made = make(args, requests, workload)
        running = [servers.KINDS[kind](os.path.join(folder, kind), binary) for kind, binary in binaries.items()]
        figures = {}
        for server in running:
            figures[server.name] = ingest(args, server, requests, made)
            print(f"  {server.name}: pushed in {figures[server.name]['push_seconds']:.1f} s", flush=True)
        if not args.no_queries:
            for kind, costs in ask(running, made).items():
                figures[kind]["queries"] = costs
        if name in ("1M", "10k"):
            for server in running:
                server.kill()
                figures[server.name]["restart_cpu_s"] = server.start("/api/v1/query", {"query": "count(up)"})
                server.settle()
        for server in running:
            figure = figures[server.name]
            figure["compact_bytes"] = server.compact_bytes()
            figure["ingest_cpu_s"] = figure["settled_cpu_s"] + server.extra_cpu
            samples = max(1, figure["acknowledged_samples"])
            figure["cpu_s_per_m"] = figure["ingest_cpu_s"] * 1e6 / samples
            figure["bytes_per_sample"] = figure["compact_bytes"] / samples
            server.remove()
        return {"made": made, "figures": figures}
    finally:
        for server in locals().get("running", []):
            server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def kill_test(args, workload, binaries):
    """Acknowledged samples that are gone after a kill -9 in the middle of a push."""
    folder = tempfile.mkdtemp(prefix="swell-compare-", dir=args.work)
    requests = os.path.join(folder, "requests")
    lost = {}
    try:
        made = make(args, requests, workload)
        for kind, binary in binaries.items():
            server = servers.KINDS[kind](os.path.join(folder, kind), binary)
            server.start()
            push = subprocess.Popen([args.push, "send", "--from", requests, "--to", f"127.0.0.1:{server.port}",
                                     "--path", server.write_path, "--seconds-max", "600"],
                                    stdout=subprocess.PIPE, text=True)
            time.sleep(args.kill_after)
            server.kill()
            sent = json.loads(push.communicate()[0])
            server.start()
            end_s = (made["start_ms"] + made["rows"] * made["step_ms"]) // 1000
            span_s = made["rows"] * made["step_ms"] // 1000 + 60
            there = queries.count_samples(server, end_s, span_s)
            acknowledged = sent["acknowledged_samples"]
            lost[kind] = {"acknowledged_samples": acknowledged, "there": there,
                          "lost": max(0, acknowledged - there), "was_cut": sent["is_cut"]}
            print(f"  {kind}: {acknowledged} acknowledged, {lost[kind]['lost']} of them lost", flush=True)
            server.remove()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return lost


def table(rows):
    widths = [max(len(str(row[idx])) for row in rows) for idx in range(len(rows[0]))]
    for nr, row in enumerate(rows):
        print("| " + " | ".join(str(cell).ljust(width) for cell, width in zip(row, widths)) + " |")
        if nr == 0:
            print("| " + " | ".join("-" * width for width in widths) + " |")


def ratio(figure, base):
    return f"{figure / base:.2f}" if base else "-"


def report(name, outcome):
    figures = outcome["figures"]
    kinds = list(figures)
    rows = [["", *kinds, "swell / victoria", "swell / prometheus"]]

    def line(title, key, scale, form):
        values = {kind: figures[kind].get(key) for kind in kinds}
        cells = [form.format(values[kind] * scale) if values[kind] is not None else "-" for kind in kinds]
        swell = values.get("swell")
        ratios = [ratio(swell, values.get(other)) if swell is not None else "-" for other in ("victoria", "prometheus")]
        rows.append([title, *cells, *ratios])

    line("ingest CPU-s per M samples until compact", "cpu_s_per_m", 1, "{:.3f}")
    line("of which while pushing, CPU-s", "push_cpu_s", 1, "{:.2f}")
    line("push, seconds", "push_seconds", 1, "{:.1f}")
    line("resident MiB", "rss_bytes", 2**-20, "{:.0f}")
    line("peak MiB", "peak_bytes", 2**-20, "{:.0f}")
    line("bytes per sample, compact", "bytes_per_sample", 1, "{:.3f}")
    line("restart after kill -9, CPU-s to the first answer", "restart_cpu_s", 1, "{:.2f}")
    print()
    table(rows)
    place(name, figures)
    if all("queries" in figures[kind] for kind in kinds):
        rows = [["CPU ms per query", *kinds, "swell / best", "as prometheus"]]
        for shape in figures[kinds[0]]["queries"]:
            costs = {kind: figures[kind]["queries"][shape] for kind in kinds}
            others = [costs[kind]["cpu_ms"] for kind in kinds if kind != "swell" and "error" not in costs[kind]]
            swell = costs.get("swell", {}).get("cpu_ms")
            best = ratio(swell, min(others)) if swell is not None and others else "-"
            agree = ", ".join(f"{kind} {100 * costs[kind]['as_prometheus']:.4g} %" for kind in kinds
                              if kind != "prometheus" and "as_prometheus" in costs[kind])
            cells = ["error" if "error" in costs[kind] else f"{costs[kind]['cpu_ms']:.2f}" for kind in kinds]
            rows.append([f"{shape} ({costs[kinds[0]]['series']})", *cells, best, agree or "-"])
        print()
        table(rows)
    print(flush=True)


def place(name, figures):
    """Where Swell stands against the newest versions: Debian's Prometheus is the yardstick between the two runs."""
    if name not in NEWEST or "swell" not in figures or "prometheus" not in figures:
        return
    newest, goal = NEWEST[name], GOALS[name]
    swell, old = figures["swell"], figures["prometheus"]
    victoria_cpu = old["cpu_s_per_m"] / PROMETHEUS_2_BY_3 * newest["cpu"][0] / newest["cpu"][1]
    rows = [["placed against the newest VictoriaMetrics", "it needs", "swell", "ratio", "goal"],
            ["ingest CPU-s per M samples", f"{victoria_cpu:.3f}", f"{swell['cpu_s_per_m']:.3f}",
             ratio(swell["cpu_s_per_m"], victoria_cpu), goal["cpu"]],
            ["resident MiB", newest["rss_mib"][0], f"{swell['rss_bytes'] / 2**20:.0f}",
             ratio(swell["rss_bytes"] / 2**20, newest["rss_mib"][0]), goal["rss"]]]
    if newest["bytes"]:
        victoria_bytes = old["bytes_per_sample"] * newest["bytes"][0] / newest["bytes"][1]
        rows.append(["bytes per sample", f"{victoria_bytes:.3f}", f"{swell['bytes_per_sample']:.3f}",
                     ratio(swell["bytes_per_sample"], victoria_bytes), goal["bytes"]])
    print()
    table(rows)


def find_binaries(args):
    binaries = {}
    for kind in args.servers.split(","):
        if kind not in servers.KINDS:
            raise SystemExit(f"no server is called {kind!r}: {', '.join(servers.KINDS)} are")
        if kind == "swell":
            binaries[kind] = args.swell
            continue
        found = next(filter(None, map(shutil.which, servers.PACKAGED[kind])), None)
        if found:
            binaries[kind] = found
        else:
            print(f"{kind} is not installed and left out: apt-get install {servers.PACKAGED[kind][0]}", flush=True)
    for path in [args.push, *binaries.values()]:
        if not os.access(path, os.X_OK):
            raise SystemExit(f"{path} is not there: cargo build --release -p swell -p swell-bench-compare")
    return binaries


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=WORKLOADS, default="small")
    parser.add_argument("--workloads", default="10k,100k,1M,churn,kill")
    parser.add_argument("--servers", default="swell,prometheus,victoria")
    parser.add_argument("--no-queries", action="store_true", help="measure ingest only")
    parser.add_argument("--kill-after", type=float, default=3.0, help="seconds of pushing before the kill -9")
    parser.add_argument("--swell", default=os.path.join(ROOT, "target/release/swell"))
    parser.add_argument("--push", default=os.path.join(ROOT, "target/release/swell-push"))
    parser.add_argument("--work", default=None, help="folder for requests and data; a fast disk with room")
    parser.add_argument("--json", default=None, help="file for all figures")
    args = parser.parse_args()
    binaries = find_binaries(args)
    versions = {kind: servers.version(kind, binary) for kind, binary in binaries.items()}
    print(f"{platform.machine()}, {os.cpu_count()} cores; {versions}", flush=True)
    everything = {"size": args.size, "cores": os.cpu_count(), "versions": versions, "workloads": {}}
    began = time.monotonic()
    for name in args.workloads.split(","):
        if name == "kill":
            print("== kill -9 in the middle of a push", flush=True)
            everything["kill"] = kill_test(args, WORKLOADS[args.size]["10k"], binaries)
            continue
        if name not in WORKLOADS[args.size]:
            raise SystemExit(f"no workload is called {name!r}: {', '.join(WORKLOADS[args.size])} and kill are")
        outcome = compare(args, name, WORKLOADS[args.size][name], binaries)
        everything["workloads"][name] = outcome
        report(name, outcome)
    everything["seconds"] = time.monotonic() - began
    print(f"{everything['seconds']:.0f} s in all")
    if args.json:
        with open(args.json, "w") as file:
            json.dump(everything, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
