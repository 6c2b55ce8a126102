"""The manifest, the final account of a batch: JSON lines, a table, and a summary; and its report for people.

Imports the root nouns, `aws.s3`, `sources`, `sinks`, `problems`, and the protocol of the ledger. The same ledger always
gives the same manifest.

- line: one item's fields, in a fixed order; new fields are appended.
- table: the same lines as CSV for people, with no cell that a spreadsheet runs as a formula.
- summary: the batch's counts by state, its counters, and how it ended.
- report: one HTML page, and lists of the files that failed or wait for a review, from the same pass over the items.
"""

from runner.manifest.csv import csv
from runner.manifest.jsonl import FIELDS, jsonl, line, shown_name
from runner.manifest.report import REPORT_HTML, Report
from runner.manifest.row_summary import RowSummary
from runner.manifest.write import (
    MANIFEST_CSV,
    MANIFEST_JSONL,
    SUMMARY_JSON,
    summary,
    summary_text,
    write_manifest,
    write_report,
)

__all__ = [
    "FIELDS",
    "MANIFEST_CSV",
    "MANIFEST_JSONL",
    "REPORT_HTML",
    "SUMMARY_JSON",
    "Report",
    "RowSummary",
    "csv",
    "jsonl",
    "line",
    "shown_name",
    "summary",
    "summary_text",
    "write_manifest",
    "write_report",
]
