#!/usr/bin/env bash
# Installs what tests of the archive use from PyPI into a virtual environment: an emulator of S3, and readers of
# Parquet and Arrow that are not ours. Prints the path of its Python.
# Usage: bash tsdb/archive/tests/python-tools.sh [DIR]   (default: target/python-tools; SWELL_PYTHON_TOOLS names another)
set -euo pipefail
cd "$(dirname "$0")/../../.."
dir="${1:-${SWELL_PYTHON_TOOLS:-target/python-tools}}"
packages=("moto[server]>=5" "pyarrow>=20" "pandas>=2" "duckdb>=1.2")
if ! "$dir/bin/python" -c 'import moto.server, pyarrow.dataset, pandas, duckdb' 2>/dev/null; then
    python3 -m venv "$dir" || { echo "python3 with its venv module is needed (Debian: python3-venv)" >&2; exit 1; }
    "$dir/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}" >&2
fi
echo "$dir/bin/python"
