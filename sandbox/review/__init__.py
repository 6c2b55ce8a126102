"""The pages behind a review URL, where a person corrects and finishes an import.

Owns the pages, the decisions, and the draft that they show. Imports the engine's data types and the sandbox's imports
and storage; only `routes` imports the server's context.

Terms:
    decisions: what people decided in one review, in a SQLite file; the engine applies them as corrections.
    draft: what the last run found, in a SQLite file that pages read.
    check: a run that applies the decisions and writes a new draft.
    submission: a run that also ends the import if no error is left.
    step: a page of the review: header row, columns, or values.
"""
