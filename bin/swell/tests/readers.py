"""Reads an export and an Arrow stream with pyarrow, pandas and DuckDB, and compares them with the query API.

Usage: readers.py URL PARQUET_FOLDER ARROW_FILE QUERY_FILE START_SECONDS STEPS STEP_SECONDS

QUERY_FILE is what `swell query requests_total --output arrow` wrote.
"""
import json
import math
import struct
import sys
import urllib.parse
import urllib.request

import duckdb
import pandas
import pyarrow.dataset
import pyarrow.ipc

url, folder, arrow_file, query_file = sys.argv[1:5]
start, steps, step = map(int, sys.argv[5:8])
end = start + steps * step


def get(path, **params):
    query = urllib.parse.urlencode(params, doseq=True)
    return urllib.request.urlopen(f"{url}{path}?{query}", timeout=60)


def bits(value):
    return struct.pack("<d", value)


def from_api(metric):
    """Raw samples by instance, as a range selector gives them."""
    answer = json.load(get("/api/v1/query", query=f"{metric}[{end - start + 3600}s]", time=end))
    return {
        series["metric"]["instance"]: [(round(at * 1000), float(value)) for at, value in series["values"]]
        for series in answer["data"]["result"]
    }


def same(found, expected, what):
    assert found.keys() == expected.keys(), (what, found.keys(), expected.keys())
    for instance, samples in expected.items():
        others = found[instance]
        assert len(others) == len(samples), (what, instance, len(others), len(samples))
        for (at, value), (expected_at, expected_value) in zip(others, samples):
            both_nan = math.isnan(value) and math.isnan(expected_value)
            assert at == expected_at and (both_nan or bits(value) == bits(expected_value)), (what, at, value)


def by_instance(frame):
    frame = frame.sort_values("timestamp")
    return {
        instance: list(zip((part["timestamp"].astype("int64") // scale(part)).tolist(), part["value"].tolist()))
        for instance, part in frame.groupby("instance", observed=True)
    }


def scale(part):
    return {"s": 0, "ms": 1, "us": 1_000, "ns": 1_000_000}[part["timestamp"].dt.unit]


for metric in ["errors_total", "odd_values", "requests_total"]:
    expected = from_api(metric)
    assert len(expected) == 2 and all(len(samples) == steps for samples in expected.values()), expected.keys()

    stream = get("/api/swell/v1/arrow", **{"match[]": metric, "start": start, "end": end})
    assert stream.headers["Content-Type"] == "application/vnd.apache.arrow.stream"
    table = pyarrow.ipc.open_stream(stream).read_all()
    assert set(table.column_names) == {"metric", "code", "instance", "timestamp", "value"}, table.column_names
    same(by_instance(table.to_pandas()), expected, "arrow stream")

    everything = pyarrow.ipc.open_stream(arrow_file).read_all().to_pandas()
    same(by_instance(everything[everything["metric"] == metric]), expected, "arrow file")

    dataset = pyarrow.dataset.dataset(folder, partitioning="hive", exclude_invalid_files=True)
    table = dataset.to_table(filter=pyarrow.dataset.field("metric") == metric)
    same(by_instance(table.to_pandas()), expected, "pyarrow dataset")

    frame = pandas.read_parquet(folder, filters=[("metric", "==", metric)], partitioning="hive")
    same(by_instance(frame), expected, "pandas")

    rows = duckdb.sql(
        f"""SELECT instance, epoch_ms(timestamp) AS ms, value
            FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true)
            WHERE metric = '{metric}' ORDER BY ms"""
    ).fetchall()
    found = {}
    for instance, at, value in rows:
        found.setdefault(instance, []).append((at, value))
    same(found, expected, "DuckDB")

queried = pyarrow.ipc.open_stream(query_file).read_all().to_pandas()
assert set(queried["metric"]) == {"requests_total"}, set(queried["metric"])
same(by_instance(queried), from_api("requests_total"), "swell query")

# The range API, at the times of the steps: the last sample at or before each.
expected = from_api("requests_total")
answer = json.load(get("/api/v1/query_range", query="requests_total", start=start + step, end=end, step=step))
for series in answer["data"]["result"]:
    samples = expected[series["metric"]["instance"]]
    for at, value in series["values"]:
        last = max(sample for sample in samples if sample[0] <= round(at * 1000))
        assert float(value) == last[1], (series["metric"], at, value, last)
both = pyarrow.ipc.open_stream(get("/api/swell/v1/arrow", **{"match[]": ['{instance="a"}', "errors_total"]}))
rows = both.read_all()
assert rows.num_rows == 4 * steps, rows.num_rows
print("all readers agree")
