"""The manifest: the deterministic final account of a batch, as JSON lines, as a table and as a summary."""

from runner.manifest.csv import csv
from runner.manifest.jsonl import FIELDS, jsonl, line, shown_name
from runner.manifest.write import MANIFEST_CSV, MANIFEST_JSONL, SUMMARY_JSON, summary, write_manifest

__all__ = [
    "FIELDS",
    "MANIFEST_CSV",
    "MANIFEST_JSONL",
    "SUMMARY_JSON",
    "csv",
    "jsonl",
    "line",
    "shown_name",
    "summary",
    "write_manifest",
]
