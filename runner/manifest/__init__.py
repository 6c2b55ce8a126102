"""The manifest, the final account of a batch: JSON lines, a table, and a summary.

Imports the root nouns, `sinks`, `problems`, and the ledger's protocol. The same ledger always gives the same manifest.

- line: one item's fields, in a fixed order; new fields are appended.
- table: the same lines as CSV for people, with no cell that a spreadsheet runs as a formula.
- summary: the batch's counts by state, its counters, and how it ended.
"""

from runner.manifest.csv import csv
from runner.manifest.jsonl import FIELDS, jsonl, line, shown_name
from runner.manifest.row_summary import RowSummary
from runner.manifest.write import MANIFEST_CSV, MANIFEST_JSONL, SUMMARY_JSON, summary, write_manifest

__all__ = [
    "FIELDS",
    "MANIFEST_CSV",
    "MANIFEST_JSONL",
    "SUMMARY_JSON",
    "RowSummary",
    "csv",
    "jsonl",
    "line",
    "shown_name",
    "summary",
    "write_manifest",
]
