"""The import engine: turns a file or JSON rows and a schema into an outcome.

Owns the meaning of schemas: header detection, column matching, types, validators, and results. It knows no HTTP and
imports only `sandbox.hooks` from the rest of the sandbox.

Terms:
    sheet: a file's rows of text cells, however they were read (`reading`).
    table: a sheet with its header found and its columns matched to fields.
    kind: a field's type with its options: reads a text as a value, and writes the value (`types`).
    rule: a validator of one field (`validators`).
    part: one column of the file in a field; only a manyToOne field has several.
    finding: one message at one cell; an error makes the row invalid, a remark does not.
    corrections: what a person decided in a review; the next run applies them.
    draft: what a review shows of a run: its layout and every row with its messages.
"""

from sandbox.engine.outcome import Outcome
from sandbox.engine.problems import schema_problems
from sandbox.engine.run import run_import

__all__ = ["Outcome", "run_import", "schema_problems"]
