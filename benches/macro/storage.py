#!/usr/bin/env python3
"""The storage of the release binary, from outside: storage.py {start,storm,all} [--binary FILE] [--runs N] [--seconds N]

start  a million samples are sent, the server is killed, and the time of the next start is taken, with its checkpoint and without
storm  samples are offered at a fixed rate, alone and beside many clients that ask heavy queries one after another

Prints one line per figure and, last, all of them as one JSON object. Needs only the Python standard library, and loopback.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import statistics
import struct
import sys
import time
import urllib.parse

from measure import Server, quantile

SERIES = 1000
HEAVY = "max(max_over_time((pushed%2B0)[10m:1s]))"


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(nr, content):
    return varint(nr << 3 | 2) + varint(len(content)) + content


LABELS = [b"".join(field(1, field(1, name) + field(2, value)) for name, value in
                   [(b"__name__", b"pushed"), (b"nr", str(nr).encode())]) for nr in range(SERIES)]


def write_request(rows):
    """A message of remote write: a sample of every series for each (milliseconds, value), packed by snappy as it stands."""
    samples = b"".join(field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(at_ms)) for at_ms, value in rows)
    message = b"".join(field(1, labels + samples) for labels in LABELS)
    packed = bytearray(varint(len(message)))
    for start in range(0, len(message), 1 << 16):
        part = message[start:start + (1 << 16)]
        packed += b"\xf4" + struct.pack("<H", len(part) - 1) + part
    return bytes(packed)


def connect(server):
    address = urllib.parse.urlsplit(server.url)
    return http.client.HTTPConnection(address.hostname, address.port, timeout=60)


def send(connection, body):
    connection.request("POST", "/api/v1/write", body)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != 204:
        raise SystemExit(f"{answer.status}: {said.decode(errors='replace')}")


def start(binary, runs):
    rows = 1000
    figures = {}
    for name in ["checkpoint", "log_alone"]:
        times = []
        for _ in range(runs):
            server = Server(binary)
            connection = connect(server)
            first_ms = int(time.time() * 1000) - rows * 1000
            for begin in range(0, rows, 20):
                send(connection, write_request([(first_ms + row * 1000, row * 0.5) for row in range(begin, begin + 20)]))
            # As after an hour of work: the looks for a due checkpoint come each five seconds.
            time.sleep(6)
            server.process.kill()
            server.process.wait()
            checkpoint = os.path.join(server.data, "tsdb", "checkpoint")
            if name == "log_alone" and os.path.exists(checkpoint):
                os.remove(checkpoint)
            began = time.monotonic()
            os.remove(server.log_path)
            again = Server(binary, folder=server.folder)
            while True:
                connection = connect(again)
                connection.request("GET", "/api/v1/query?query=sum(count_over_time(pushed[1h]))")
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 200:
                    break
            times.append((time.monotonic() - began) * 1000)
            count = json.loads(body)["data"]["result"][0]["value"][1]
            if int(count) != SERIES * rows:
                raise SystemExit(f"{count} of {SERIES * rows} samples are there")
            again.stop()
        figures[name + "_ms"] = {"p50": statistics.median(times), "max": max(times), "runs": runs}
    return figures


def offer(url, seconds, interval_s, results):
    """Offers a row of all series each interval; tells how many were stored in time, and what each took."""
    server = argparse.Namespace(url=url)
    connection = connect(server)
    began, took, sent = time.monotonic(), [], 0
    while time.monotonic() - began < seconds:
        planned = began + sent * interval_s
        time.sleep(max(0.0, planned - time.monotonic()))
        body = write_request([(int(time.time() * 1000), float(sent))])
        asked = time.monotonic()
        send(connection, body)
        took.append((time.monotonic() - asked) * 1000)
        sent += 1
    results.put((sent * SERIES / (time.monotonic() - began), quantile(took, 0.5), quantile(took, 0.99)))


def ask(url, seconds, clients, results):
    """Clients that ask the heavy query one after another, and one that asks for health each 100 ms."""
    import threading
    counts, health, over = {}, [], time.monotonic() + seconds
    lock = threading.Lock()

    def client():
        while time.monotonic() < over:
            connection = connect(argparse.Namespace(url=url))
            connection.request("GET", "/api/v1/query?query=" + HEAVY)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            with lock:
                counts[answer.status] = counts.get(answer.status, 0) + 1

    def watch():
        while time.monotonic() < over:
            asked = time.monotonic()
            connection = connect(argparse.Namespace(url=url))
            connection.request("GET", "/-/healthy")
            assert connection.getresponse().status == 200
            connection.close()
            health.append((time.monotonic() - asked) * 1000)
            time.sleep(0.1)

    threads = [threading.Thread(target=client) for _ in range(clients)] + [threading.Thread(target=watch)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    results.put((counts, quantile(health, 0.99)))


def storm(binary, seconds, clients=200, interval_s=0.1):
    server = Server(binary)
    figures = {"offered_per_s": SERIES / interval_s, "clients": clients, "seconds": seconds}
    for name, with_clients in [("alone", False), ("in_the_storm", True)]:
        offered, asked = multiprocessing.Queue(), multiprocessing.Queue()
        workers = [multiprocessing.Process(target=offer, args=(server.url, seconds, interval_s, offered))]
        if with_clients:
            workers.append(multiprocessing.Process(target=ask, args=(server.url, seconds, clients, asked)))
        [worker.start() for worker in workers]
        rate, p50, p99 = offered.get()
        figures[name] = {"stored_per_s": round(rate), "push_p50_ms": p50, "push_p99_ms": p99}
        if with_clients:
            counts, health = asked.get()
            figures[name].update(answers=counts, health_p99_ms=health)
        [worker.join() for worker in workers]
    figures["kept"] = figures["in_the_storm"]["stored_per_s"] / figures["alone"]["stored_per_s"]
    server.stop()
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["start", "storm", "all"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--binary", default="target/release/swell")
    args = parser.parse_args()
    binary = os.path.abspath(args.binary)
    figures = {}
    for name, run in [("start", lambda: start(binary, args.runs)), ("storm", lambda: storm(binary, args.seconds))]:
        if args.what in (name, "all"):
            print(name, flush=True)
            figures[name] = run()
            for key, value in figures[name].items():
                print(f"  {key}: {value}", flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    sys.exit(main())
