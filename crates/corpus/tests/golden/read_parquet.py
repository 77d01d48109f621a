"""Reads manifest.parquet with pyarrow and compares it with the lines of manifest.jsonl, value by value.

Run where the bytes of our Parquet change: pip install pyarrow; python read_parquet.py [FILE.parquet]
With another file, its manifest of the same name is compared. Last run with pyarrow 26.0.1.
"""

import json
import pathlib
import sys

import pyarrow.parquet

here = pathlib.Path(__file__).parent
path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "manifest.parquet"
beside = path.with_suffix(".jsonl")
lines = [json.loads(line) for line in (beside if beside.exists() else here / "manifest.jsonl").open(encoding="utf-8")]
file = pyarrow.parquet.ParquetFile(path)
table = file.read()
assert table.num_rows == len(lines), (table.num_rows, len(lines))
kinds = {field.name: str(field.type) for field in table.schema}
for row, line in zip(table.to_pylist(), lines):
    assert set(line) <= set(row), set(line) - set(row)
    for key, value in row.items():
        if "json" in kinds[key] and value is not None:
            value = json.loads(value)
        assert value == line.get(key), (line["id"], key, value, line.get(key))
print(f"{table.num_rows} rows in {file.num_row_groups} row groups, {len(kinds)} columns: all as in the manifest")
