"""Writes the recorded set in the plain form that the example `real_set` reads: real_set.py FOLDER_OF_THE_SET OUT.

OUT/series.tsv:  a line for each series: its number, then name and value of each label, separated by tabs.
OUT/samples.bin: for each sample 4 bytes series number, 8 bytes milliseconds, 8 bytes float, sorted by time, then series.
"""

import json
import os
import sys

import numpy
import pyarrow.parquet

SAMPLE = numpy.dtype([("series", "<i4"), ("at_ms", "<i8"), ("value", "<f8")])


def main() -> None:
    source, out = sys.argv[1:3]
    series = pyarrow.parquet.read_table(os.path.join(source, "series.parquet"))
    with open(os.path.join(out, "series.tsv"), "w", encoding="utf-8", newline="\n") as file:
        for nr, text in zip(series["series_id"].to_pylist(), series["labels"].to_pylist()):
            labels = json.loads(text) if isinstance(text, str) else dict(text)
            parts = [part for name in sorted(labels) for part in (name, labels[name])]
            if any("\t" in part or "\n" in part for part in parts):
                sys.exit(f"series {nr} has a tab or line feed in a label")
            file.write("\t".join([str(nr), *parts]) + "\n")
    samples = pyarrow.parquet.read_table(os.path.join(source, "samples_1s.parquet"))
    rows = numpy.empty(samples.num_rows, dtype=SAMPLE)
    for field, column in (("series", "series_id"), ("at_ms", "ts_ms"), ("value", "value")):
        rows[field] = samples[column].to_numpy()
    # By name: a float's bits pass through untouched.
    order = numpy.lexsort((rows["series"], rows["at_ms"]))
    unfinished = os.path.join(out, "samples.bin.tmp")
    rows[order].tofile(unfinished)
    os.replace(unfinished, os.path.join(out, "samples.bin"))


main()
