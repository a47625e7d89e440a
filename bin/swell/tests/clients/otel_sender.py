"""Measures a few things with OpenTelemetry's SDK and exports them twice.

Usage: otel_sender.py http|grpc ADDRESS cumulative|delta SERVICE_NAME
Prints one line: whether both exports were taken.
"""

import sys

from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

protocol, address, temporality, service = sys.argv[1:]
wanted = AggregationTemporality[temporality.upper()]
preferred = {Counter: wanted, Histogram: wanted}
if protocol == "http":
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(
        endpoint=f"http://{address}/api/v1/otlp/v1/metrics",
        compression=Compression.Gzip,
        preferred_temporality=preferred,
        timeout=20,
    )
else:
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(
        endpoint=f"http://{address}",
        insecure=True,
        compression=Compression.Gzip,
        preferred_temporality=preferred,
        timeout=20,
    )

results = []
export = exporter.export


def remembering(*args, **kwargs):
    result = export(*args, **kwargs)
    results.append(result)
    return result


exporter.export = remembering
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"), export_timeout_millis=20000)
provider = MeterProvider(
    metric_readers=[reader],
    resource=Resource.create(
        {"service.namespace": "web", "service.name": service, "service.instance.id": "i-1", "deployment.environment": "test"}
    ),
    views=[View(instrument_name="app.size", aggregation=ExponentialBucketHistogramAggregation())],
)
meter = provider.get_meter("sender", "1.0")
orders = meter.create_counter("app.orders", unit="{order}", description="Orders taken")
queue = meter.create_up_down_counter("app.queue")
load = meter.create_gauge("app.load", unit="1")
duration = meter.create_histogram(
    "app.duration", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1]
)
size = meter.create_histogram("app.size", unit="By")
for _ in range(2):
    orders.add(3, {"payment.kind": "card"})
    queue.add(-1)
    load.set(0.25)
    duration.record(0.5)
    size.record(1000)
    provider.force_flush(20000)
taken = len(results) == 2 and all(result is MetricExportResult.SUCCESS for result in results)
print("taken" if taken else "not taken", flush=True)
