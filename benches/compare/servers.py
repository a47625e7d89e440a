"""The servers that are compared, each started, settled and measured in its own way."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

TICKS = os.sysconf("SC_CLK_TCK")
READY_DEADLINE_S = 120
SETTLE_DEADLINE_S = 300
# Below this share of a core a server counts as idle.
IDLE_SHARE = 0.04


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def folder_bytes(path):
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            total += os.lstat(os.path.join(folder, name)).st_size
    return total


class Server:
    """One server in a folder of its own, listening on loopback."""

    name = ""
    write_path = "/api/v1/write"
    query_prefix = ""

    def __init__(self, folder, binary):
        self.folder = folder
        self.binary = binary
        self.data = os.path.join(folder, "data")
        self.log_path = os.path.join(folder, "log")
        self.process = None
        self.port = None
        self.client = None
        # CPU of helper processes that belong to what is measured.
        self.extra_cpu = 0.0
        os.makedirs(folder, exist_ok=True)

    def command(self):
        raise NotImplementedError

    def start(self, path="/api/v1/labels", params=None):
        """Starts it and waits until it answers a query; gives the CPU seconds this took."""
        self.port = free_port()
        self.client = None
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        deadline = time.monotonic() + READY_DEADLINE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended with {self.process.returncode}; its log is {self.log_path}")
            try:
                status, _ = self.get(path, params)
                if status == 200 and self.is_ready():
                    return self.cpu()
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.005)
        raise SystemExit(f"{self.name} did not become ready; its log is {self.log_path}")

    def is_ready(self):
        """Whether the answers are whole, of a server that answers before."""
        return True

    def request(self, method, path, timeout=300):
        for attempt in range(2):
            if self.client is None:
                self.client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
            try:
                self.client.request(method, path)
                answer = self.client.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                self.client.close()
                self.client = None
                if attempt == 1:
                    raise
        raise AssertionError("two attempts return or raise")

    def get(self, path, params=None):
        query = "?" + urllib.parse.urlencode(params) if params else ""
        return self.request("GET", self.query_prefix + path + query)

    def cpu(self):
        """User and system seconds of the process."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self):
        """Resident and peak bytes."""
        found = {}
        with open(f"/proc/{self.process.pid}/status") as file:
            for line in file:
                if line.startswith(("VmRSS", "VmHWM")):
                    found[line[:5]] = int(line.split()[1]) * 1024
        return found["VmRSS"], found["VmHWM"]

    def wait_idle(self, quiet_s=2.0):
        deadline = time.monotonic() + SETTLE_DEADLINE_S
        quiet_since, before, at = None, self.cpu(), time.monotonic()
        while time.monotonic() < deadline:
            time.sleep(0.25)
            now, cpu = time.monotonic(), self.cpu()
            is_quiet = cpu - before <= IDLE_SHARE * (now - at)
            before, at = cpu, now
            quiet_since = (quiet_since or now) if is_quiet else None
            if quiet_since and now - quiet_since >= quiet_s:
                return
        print(f"  {self.name}: not idle after {SETTLE_DEADLINE_S} s", flush=True)

    def settle(self):
        """Waits until what was pushed is as compact as the server makes it by itself."""
        self.wait_idle()

    def compact_bytes(self):
        """Makes the data compact by force, and gives its bytes on disk. Its CPU counts as ingest. Last step."""
        raise NotImplementedError

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.kill()

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Swell(Server):
    name = "swell"

    def is_ready(self):
        # It answers from blocks while it still reads its log.
        return self.get("/-/ready")[0] == 200

    def command(self):
        # Only HTTP ingest and query: no agent, no Kubernetes-style API, no samples of its own.
        config = os.path.join(self.folder, "swell.yaml")
        with open(config, "w") as file:
            file.write("swell: {self_metrics: false}\n")
        return [self.binary, "server", "--config", config, "--data-dir", self.data, "--listen-http", f"127.0.0.1:{self.port}",
                "--listen-grpc", "off", "--listen-kube", "off", "--web.enable-remote-write-receiver"]

    def settle(self):
        # Upkeep looks every 15 seconds.
        time.sleep(16)
        self.wait_idle()

    def compact_bytes(self):
        # Windows are written once something is much newer than them.
        self.push_one(int(time.time() * 1000))
        before = self.cpu()
        self.process.send_signal(signal.SIGTERM)
        # What a process used in the end is told to its parent.
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.extra_cpu += max(0.0, usage.ru_utime + usage.ru_stime - before)
        child = subprocess.Popen([self.binary, "tsdb", "compact", "--data-dir", self.data],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        errors = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise SystemExit(f"swell tsdb compact failed: {errors.decode(errors='replace')}")
        self.extra_cpu += usage.ru_utime + usage.ru_stime
        return folder_bytes(os.path.join(self.data, "tsdb", "blocks"))


    def push_one(self, at_ms):
        """One sample by remote write."""
        def field(tag, content):
            return bytes([tag, len(content)]) + content

        label = field(0x0A, b"__name__") + field(0x12, b"compare_end")
        time_bytes = bytearray()
        while at_ms >= 0x80:
            time_bytes.append(at_ms & 0x7F | 0x80)
            at_ms >>= 7
        time_bytes.append(at_ms)
        sample = bytes([0x09]) + bytes(8) + bytes([0x10]) + bytes(time_bytes)
        request = field(0x0A, field(0x0A, label) + field(0x12, sample))
        # A snappy block of one literal.
        body = bytes([len(request), (len(request) - 1) << 2]) + request
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        client.request("POST", self.write_path, body)
        status = client.getresponse().status
        client.close()
        if status != 204:
            raise SystemExit(f"{self.name} answered {status} to one sample")


class Prometheus(Server):
    name = "prometheus"

    def command(self):
        config = os.path.join(self.folder, "prometheus.yml")
        with open(config, "w") as file:
            file.write("global: {}\n")
        return [self.binary, f"--config.file={config}", f"--storage.tsdb.path={self.data}",
                f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-remote-write-receiver",
                "--web.enable-admin-api", "--storage.tsdb.retention.time=100y", "--log.level=warn"]

    def compact_bytes(self):
        # What is still in memory becomes a block of the snapshot, the others are linked into it.
        before = self.cpu()
        status, body = self.request("POST", "/api/v1/admin/tsdb/snapshot")
        if status != 200:
            raise SystemExit(f"prometheus made no snapshot: {body[:300]!r}")
        self.extra_cpu += self.cpu() - before
        name = json.loads(body)["data"]["name"]
        return folder_bytes(os.path.join(self.data, "snapshots", name))


class Victoria(Server):
    name = "victoria"

    def command(self):
        return [self.binary, f"-storageDataPath={self.data}", f"-httpListenAddr=127.0.0.1:{self.port}",
                "-retentionPeriod=100y", "-search.latencyOffset=0s", "-search.maxUniqueTimeseries=10000000",
                "-search.maxSeries=10000000", "-loggerLevel=ERROR"]

    def get(self, path, params=None):
        # Answers from its cache would not be work.
        return super().get(path, {**(params or {}), "nocache": "1"})

    def settle(self):
        self.request("GET", "/internal/force_flush")
        self.wait_idle()

    def compact_bytes(self):
        before = self.cpu()
        self.request("GET", "/internal/force_merge")
        self.wait_idle()
        self.request("GET", "/internal/force_flush")
        self.wait_idle()
        self.extra_cpu += self.cpu() - before
        total = folder_bytes(self.data)
        return total - folder_bytes(os.path.join(self.data, "cache"))


KINDS = {kind.name: kind for kind in [Swell, Prometheus, Victoria]}
# How the packages call their binaries.
PACKAGED = {"prometheus": ["prometheus"], "victoria": ["victoria-metrics", "victoria-metrics-prod"]}


def version(name, binary):
    """What it says of itself, or what the package is called that it came in."""
    package = ["dpkg-query", "-W", "-f=${Version}", os.path.basename(binary)]
    command = [binary, "version"] if name == "swell" else package
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=30)
    found = re.search(r"\d+\.\d+\.\d+\S*", outcome.stdout)
    return found.group(0) if outcome.returncode == 0 and found else "unknown"
