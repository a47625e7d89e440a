#!/usr/bin/env python3
"""Whole-process figures of the release binary, on this machine: measure.py {demo,cold-start,idle,agent,all} [--runs N] [--binary FILE]

Prints one line per figure and, last, all of them as one JSON object. Nothing is judged here: goals stand in
benches/README.md. Needs only the Python standard library, and loopback.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def usage(pid):
    """CPU seconds and resident bytes of one process."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    with open(f"/proc/{pid}/statm") as file:
        resident = int(file.read().split()[1]) * PAGE
    return (int(fields[11]) + int(fields[12])) / TICKS, resident


class Server:
    """A server in a folder of its own, or where another one was."""

    def __init__(self, binary, *more, folder=None):
        self.folder = folder or tempfile.mkdtemp(prefix="swell-bench-")
        self.data = os.path.join(self.folder, "data")
        self.log_path = os.path.join(self.folder, "log")
        began = time.monotonic()
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(
                [binary, "server", "--data-dir", self.data, "--listen-http", "127.0.0.1:0",
                 "--listen-grpc", "127.0.0.1:0", "--listen-kube", "127.0.0.1:0", *more],
                stderr=log, stdout=subprocess.DEVNULL)
        self.url = self.wait_ready()
        self.ready_after = time.monotonic() - began

    def wait_ready(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with open(self.log_path) as log:
                found = re.search(r"(http://[0-9.]+:[0-9]+)\s", log.read())
            if found:
                with urllib.request.urlopen(found.group(1) + "/-/ready", timeout=5) as answer:
                    assert answer.status == 200
                return found.group(1)
            time.sleep(0.002)
        raise SystemExit("the server did not become ready")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)


def watch(pid, seconds):
    """CPU share of a core and resident MiB over a quiet stretch."""
    before, _ = usage(pid)
    began = time.monotonic()
    time.sleep(seconds)
    after, resident = usage(pid)
    return (after - before) / (time.monotonic() - began), resident / 2**20


def demo(binary, runs):
    found = []
    for run in range(runs):
        began = time.monotonic()
        outcome = subprocess.run([binary, "demo", "--exit", "--output", "json"], capture_output=True, text=True, timeout=180)
        wall = time.monotonic() - began
        lines = outcome.stdout.strip().splitlines()
        if not lines:
            raise SystemExit(f"run {run}: no summary\n{outcome.stderr[-2000:]}")
        summary = json.loads(lines[-1])
        summary["wall_s"] = wall
        summary["exit_status"] = outcome.returncode
        found.append(summary)
        print(f"  run {run + 1}: decision {summary['surge_to_decision_ms']} ms, first ready {summary['surge_to_first_ready_ms']} ms, "
              f"target {summary['surge_to_target_ms']} ms, failed {summary['failed_requests']} of {summary['requests']}, "
              f"exit {outcome.returncode}, {wall:.1f} s", flush=True)
    figures = {}
    for key in ["surge_to_decision_ms", "surge_to_first_ready_ms", "surge_to_target_ms"]:
        values = [summary[key] for summary in found if summary[key] is not None]
        figures[key] = {"p50": statistics.median(values), "p99": quantile(values, 0.99), "runs": len(values)}
    figures["wall_s_max"] = max(summary["wall_s"] for summary in found)
    figures["good_runs"] = sum(summary["exit_status"] == 0 for summary in found)
    figures["runs"] = runs
    figures["bytes_per_sample"] = statistics.median(summary["bytes_per_sample"] or 0 for summary in found)
    figures["failed_requests"] = sum(summary["failed_requests"] for summary in found)
    figures["requests"] = sum(summary["requests"] for summary in found)
    return figures


def cold_start(binary, runs):
    times = []
    for _ in range(runs):
        server = Server(binary, "--with-agent")
        times.append(server.ready_after * 1000)
        server.stop()
    return {"ready_ms": {"p50": statistics.median(times), "p99": quantile(times, 0.99), "runs": runs}}


def idle(binary, seconds):
    server = Server(binary, "--with-agent")
    time.sleep(15)
    cpu, resident = watch(server.process.pid, seconds)
    server.stop()
    return {"cpu_share": cpu, "resident_mib": resident, "seconds": seconds}


PODS = """apiVersion: apps/v1
kind: Deployment
metadata: {name: sleeper}
spec:
  replicas: 50
  selector: {matchLabels: {app: sleeper}}
  template:
    metadata: {labels: {app: sleeper}}
    spec:
      runtimeClassName: process
      terminationGracePeriodSeconds: 1
      containers: [{name: sleep, image: host, command: [sleep, '3600']}]
"""


def agent(binary, seconds):
    server = Server(binary)
    grpc = None
    # The agents' port stands in the process's own listing of sockets.
    for line in subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True).stdout.splitlines():
        if f"pid={server.process.pid}," in line:
            port = int(line.split()[3].rsplit(":", 1)[1])
            grpc = grpc or []
            grpc.append(port)
    token = os.path.join(server.folder, "token")
    with open(token, "w") as file:
        subprocess.run([binary, "token", "--data-dir", server.data], stdout=file, check=True)
    http = int(server.url.rsplit(":", 1)[1])
    kube = int(re.search(r"https://[0-9.]+:(\d+)", open(os.path.join(server.data, "kubeconfig")).read()).group(1))
    ports = [port for port in grpc if port not in (http, kube, 65001)]
    node = subprocess.Popen([binary, "agent", "--server", f"127.0.0.1:{ports[0]}", "--token-file", token,
                             "--data-dir", os.path.join(server.folder, "agent"), "--node-name", "bench"],
                            stderr=subprocess.DEVNULL)
    env = dict(os.environ, KUBECONFIG=os.path.join(server.data, "kubeconfig"))
    subprocess.run([binary, "apply", "-f", "-"], input=PODS, text=True, env=env, check=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        shown = subprocess.run([binary, "get", "deployment/sleeper", "-o", "json"], capture_output=True, text=True, env=env)
        if shown.returncode == 0 and json.loads(shown.stdout).get("status", {}).get("readyReplicas") == 50:
            break
        time.sleep(1)
    else:
        raise SystemExit("50 pods did not become ready")
    time.sleep(15)
    cpu, resident = watch(node.pid, seconds)
    server_cpu, server_resident = watch(server.process.pid, seconds)
    subprocess.run([binary, "delete", "deployment/sleeper"], env=env, check=True, stdout=subprocess.DEVNULL)
    time.sleep(5)
    node.terminate()
    node.wait(60)
    server.stop()
    return {"agent_cpu_share": cpu, "agent_resident_mib": resident, "pods": 50, "seconds": seconds,
            "server_cpu_share": server_cpu, "server_resident_mib": server_resident}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["demo", "cold-start", "idle", "agent", "all"])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--binary", default="target/release/swell")
    args = parser.parse_args()
    binary = os.path.abspath(args.binary)
    figures = {}
    for name, run in [("cold-start", lambda: cold_start(binary, args.runs)), ("idle", lambda: idle(binary, args.seconds)),
                      ("agent", lambda: agent(binary, args.seconds)), ("demo", lambda: demo(binary, args.runs))]:
        if args.what in (name, "all"):
            print(name, flush=True)
            figures[name] = run()
            for key, value in figures[name].items():
                print(f"  {key}: {value}", flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    sys.exit(main())
