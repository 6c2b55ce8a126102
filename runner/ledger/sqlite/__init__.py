"""The ledger in one SQLite file: for one process at a time, while others can read.

Owns the schema, its migrations, the lock file, and the translation of SQLite's errors. `runner.quota` uses the database
for its own file.

- lock file: `LEDGER.lock`, locked by the one process that writes
- reserve: `LEDGER.ballast`, space that is freed when the disk is full, so that answers in flight are recorded
- tally: how many items of a batch are in a state
- just listed: an item of which nothing is known but what the listing shows
"""
