#!/usr/bin/env bash
# Installs senders that are not ours from PyPI into a virtual environment, for the tests that send with them:
# OpenTelemetry's SDK with its OTLP exporters, and Prometheus' client. Prints the path of its Python.
# Usage: bash bin/swell/tests/clients/otel-sdk.sh [DIR]   (default: target/otel-sdk; SWELL_OTEL_SDK names another)
set -euo pipefail
cd "$(dirname "$0")/../../../.."
dir="${1:-${SWELL_OTEL_SDK:-target/otel-sdk}}"
packages=("opentelemetry-sdk>=1.30" "opentelemetry-exporter-otlp-proto-http>=1.30" "opentelemetry-exporter-otlp-proto-grpc>=1.30"
    "prometheus-client>=0.20")
if ! "$dir/bin/python" -c 'import opentelemetry.exporter.otlp.proto.grpc, opentelemetry.exporter.otlp.proto.http, prometheus_client' 2>/dev/null; then
    python3 -m venv "$dir" || { echo "python3 with its venv module is needed (Debian: python3-venv)" >&2; exit 1; }
    "$dir/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}" >&2
fi
echo "$dir/bin/python"
