"""Query shapes of the performance page, over the generated series, and how their answers are compared."""

import json
import math

# Repeats of one query until so much CPU is used: the system counts it in hundredths.
CPU_MIN_S = 0.15
REPEATS_MAX = 400
WALL_MAX_S = 4.0
TOLERANCE = 1e-9


def shapes(end_s, step_s, span_s):
    """Name, path, parameters. `span_s` is how long the data reaches back."""
    hour = min(3600, span_s)
    window = f"{max(60, 4 * step_s)}s"

    def instant(expr):
        return "/api/v1/query", {"query": expr, "time": end_s}

    def over(expr, seconds, step=None):
        seconds = int(min(seconds, span_s))
        step = step or max(15, seconds // 240)
        return "/api/v1/query_range", {"query": expr, "start": end_s - seconds, "end": end_s, "step": step}

    all_shapes = {
        "autoscale_gauge": instant('avg(container_memory_working_set_bytes{pod=~"app-003-.*"})'),
        "autoscale_rate": instant(f'sum(rate(http_requests_total{{job="app-003"}}[{window}]))'),
        "panel_one_series_1h": over('process_resident_memory_bytes{instance="10.0.0.5:8080"}', hour),
        "sum_by_instant": instant("sum by (job) (process_resident_memory_bytes)"),
        "sum_by_buckets_instant": instant("sum by (le) (http_request_duration_seconds_bucket)"),
        "rate_1h": over(f'sum by (job) (rate(http_requests_total{{namespace="team-1"}}[{window}]))', hour),
        "topk_rates": instant(f"topk(5, sum by (pod) (rate(http_requests_total[{window}])))"),
        "quantile_1h": over("histogram_quantile(0.9, sum by (le, job) (rate(http_request_duration_seconds_bucket"
                            f'{{namespace="team-2"}}[{window}])))', hour),
        "quantile_instant": instant("histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket"
                                    f"[{window}])))"),
        "error_ratio_1h": over(f'sum(rate(http_requests_total{{code="500",namespace="team-3"}}[{window}])) / '
                               f'sum(rate(http_requests_total{{namespace="team-3"}}[{window}]))', hour),
        "regex_high_cardinality": instant('count(process_open_fds{pod=~"app-0.*-.*[0-4]a.*"})'),
        "avg_1h": instant("sum(avg_over_time(node_load1[1h]))"),
        "join": instant("sum by (namespace) (container_memory_working_set_bytes * on (namespace, pod) "
                        'group_left () (kube_pod_status_phase{phase="Running"}))'),
        "count_by_name": instant('count by (__name__) ({__name__=~".+"})'),
        "alert_threshold": instant("process_open_fds > 30"),
        "label_values": ("/api/v1/label/pod/values", {"start": end_s - span_s, "end": end_s}),
    }
    # TSBS: the greatest of each minute of eight hosts over an hour; the mean of each hour of all over half a day.
    eight = "|".join(f"node-{nr:04}:9100" for nr in range(8))
    all_shapes["single_groupby"] = over(f'max by (instance) (max_over_time(node_load1{{instance=~"{eight}"}}[1m]))', hour, 60)
    if span_s >= 43_200:
        all_shapes["double_groupby"] = over("avg by (instance) (avg_over_time(node_load1[1h]))", 43_200, 3600)
    if span_s >= 86_000:
        all_shapes["avg_24h"] = instant("sum(avg_over_time(node_load1[24h]))")
        all_shapes["range_24h"] = over('avg by (job) (go_goroutines{namespace="team-4"})', 86_400)
    return all_shapes


def measure(server, shape, clock):
    """CPU seconds of one query, and its answer."""
    path, params = shape
    status, body = server.get(path, params)
    before, began, runs = server.cpu(), clock(), 0
    while runs < REPEATS_MAX:
        server.get(path, params)
        runs += 1
        if runs >= 3 and (server.cpu() - before >= CPU_MIN_S or clock() - began >= WALL_MAX_S):
            break
    return (server.cpu() - before) / runs, answer(status, body)


def answer(status, body):
    """An answer in a form that can be compared: series by labels, or a list."""
    if status != 200:
        return {"error": f"{status}: {body[:200].decode(errors='replace')}"}
    data = json.loads(body)["data"]
    if isinstance(data, list):
        return {"list": sorted(data)}
    series = {}
    for one in data["result"]:
        labels = json.dumps(one["metric"], sort_keys=True)
        points = one.get("values") or [one["value"]]
        series[labels] = [(float(at), float(value)) for at, value in points]
    return series


def count_samples(server, end_s, span_s):
    """All samples of the span, metric by metric: their series may differ in the name alone."""
    status, body = server.get("/api/v1/label/__name__/values", {"start": end_s - span_s, "end": end_s})
    names = answer(status, body).get("list")
    if names is None:
        raise SystemExit(f"{server.name} names no metrics: {status} {body[:200]!r}")
    total = 0
    for name in names:
        expr = f'sum(count_over_time({{__name__="{name}"}}[{span_s}s]))'
        found = answer(*server.get("/api/v1/query", {"query": expr, "time": end_s}))
        if "error" in found:
            raise SystemExit(f"{server.name} does not count {name}: {found['error']}")
        total += sum(int(points[0][1]) for points in found.values())
    return total


def agreement(a, b):
    """Share of the points of either answer that the other one has too. Debian's Prometheus counts a sample at the very
    start of a range, Prometheus 3 does not: where a target is scraped in step with the query, a few points differ."""
    equal, total = 0, 0
    for key in a.keys() | b.keys():
        left, right = a.get(key, []), b.get(key, [])
        if key in ("error", "list"):
            equal, total = equal + (left == right), total + 1
            continue
        there = {round(at, 3): (at, value) for at, value in right}
        found = [there.get(round(at, 3)) for at, _ in left]
        hits = sum(1 for point, other in zip(left, found) if other and near(point, other))
        equal, total = equal + hits, total + len(left) + len(right) - sum(1 for other in found if other)
    return equal / total if total else 1.0


def near(a, b):
    is_close = math.isclose(a[1], b[1], rel_tol=TOLERANCE, abs_tol=1e-12) or (math.isnan(a[1]) and math.isnan(b[1]))
    return abs(a[0] - b[0]) < 0.0005 and is_close
