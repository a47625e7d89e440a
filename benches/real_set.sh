#!/usr/bin/env bash
# Stores the recorded set (series.parquet, samples_1s.parquet) and tells what it takes:
#   benches/real_set.sh FOLDER_OF_THE_SET [NTH_SCRAPE]...      default: 1 15
# Needs python3 with venv, and PyPI for pyarrow and numpy, once.
set -euo pipefail
if [ $# -lt 1 ] || [ ! -f "$1/samples_1s.parquet" ] || [ ! -f "$1/series.parquet" ]; then
    echo "usage: benches/real_set.sh FOLDER [NTH_SCRAPE]...: FOLDER holds series.parquet and samples_1s.parquet" >&2
    exit 2
fi
set_folder=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
work=${CARGO_TARGET_DIR:-target}/real-set
mkdir -p "$work"
if [ ! -x "$work/venv/bin/python" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow numpy
fi
if [ ! -f "$work/samples.bin" ] || [ "$set_folder/samples_1s.parquet" -nt "$work/samples.bin" ]; then
    "$work/venv/bin/python" benches/real_set.py "$set_folder" "$work"
fi
[ $# -gt 0 ] || set -- 1 15
for nth in "$@"; do
    echo "== every ${nth}th scrape"
    cargo run --quiet --release -p swell-bench-micro --example real_set -- "$work/series.tsv" "$work/samples.bin" "$nth"
done
