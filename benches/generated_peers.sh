#!/usr/bin/env bash
# What Prometheus and VictoriaMetrics (Debian's packages) need for the generated set, in bytes per sample:
#   benches/generated_peers.sh [SERIES [HOURS]]      default: 2000 24
# Prometheus: blocks of promtool. VictoriaMetrics: imported, flushed, merged into one part.
set -euo pipefail
cd "$(dirname "$0")/.."
series=${1:-2000} hours=${2:-24}
work=$(mktemp -d)
trap '[ -z "${pid:-}" ] || kill "$pid"; rm -rf "$work"' EXIT
cargo run --quiet --release -p swell-bench-micro --example generated_text -- "$series" "$hours" >"$work/set.txt"
samples=$(($(wc -l <"$work/set.txt") - 1))
echo "$samples samples"

bytes_of() { find "$@" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'; }
per_sample() { awk -v what="$1" -v bytes="$2" -v samples="$samples" 'BEGIN { printf "%s: %.3f bytes per sample\n", what, bytes / samples }'; }

promtool tsdb create-blocks-from openmetrics "$work/set.txt" "$work/prometheus" >"$work/promtool.log" 2>&1 ||
    { tail -n 5 "$work/promtool.log" >&2; exit 1; }
per_sample "Prometheus, chunks" "$(bytes_of "$work"/prometheus/*/chunks)"
per_sample "Prometheus, index" "$(bytes_of "$work"/prometheus/*/index)"

victoria-metrics -storageDataPath="$work/vm" -httpListenAddr=127.0.0.1:28428 -retentionPeriod=100y -search.latencyOffset=0s >"$work/vm.log" 2>&1 &
pid=$!
until curl -fsS http://127.0.0.1:28428/health >/dev/null 2>&1; do
    kill -0 "$pid" || { tail -n 5 "$work/vm.log" >&2; exit 1; }
done
# Its parser wants milliseconds where OpenMetrics has seconds.
sed -e '/^#/d' -e 's/\.\([0-9]\{3\}\)$/\1/' "$work/set.txt" |
    curl -fsS -X POST -T - http://127.0.0.1:28428/api/v1/import/prometheus
curl -fsS http://127.0.0.1:28428/internal/force_flush
curl -fsS http://127.0.0.1:28428/internal/force_merge
# The answer comes at once; the merge is done when the parts no longer change.
last="" now=$(bytes_of "$work/vm/data")
while [ "$last" != "$now" ]; do last=$now; sleep 3; now=$(bytes_of "$work/vm/data"); done
rows=$(curl -fsS http://127.0.0.1:28428/metrics | awk '/^vm_rows\{type="storage/ { sum += $2 } END { print sum + 0 }')
[ "$rows" -ge "$samples" ] || echo "VictoriaMetrics tells of $rows rows only" >&2
per_sample "VictoriaMetrics, data" "$now"
per_sample "VictoriaMetrics, index" "$(bytes_of "$work/vm/indexdb")"
