-- The ledger's tables, schema version 5.
-- Instants (`*_at`, `at`) are whole milliseconds since 1970 UTC. A source is a BLOB, the bytes of its name, so that any
-- file name fits and sources sort by them. Other text that is not valid Unicode is a BLOB in its TEXT column.

CREATE TABLE batches (
  number INTEGER PRIMARY KEY,
  batch_id TEXT NOT NULL UNIQUE,
  source_uri TEXT NOT NULL,
  account TEXT NOT NULL,
  out TEXT NOT NULL,
  config TEXT NOT NULL,
  state TEXT NOT NULL,
  listed INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  finished_at INTEGER,
  exit_code INTEGER,
  reason TEXT
);

CREATE TABLE counters (
  batch INTEGER NOT NULL,
  name TEXT NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (batch, name)
) WITHOUT ROWID;

CREATE TABLE items (
  batch INTEGER NOT NULL,
  source BLOB NOT NULL,
  kind TEXT NOT NULL,
  rank INTEGER NOT NULL,
  size_bytes INTEGER,
  file_key TEXT NOT NULL DEFAULT '',
  version TEXT NOT NULL,
  version_key TEXT NOT NULL,
  binding TEXT NOT NULL,
  schema_id TEXT,
  state TEXT NOT NULL,
  revision INTEGER NOT NULL,
  fingerprint TEXT,
  tag TEXT,
  original_filename TEXT,
  status TEXT,
  attempts INTEGER NOT NULL,
  import_id TEXT,
  review_url TEXT,
  error_code TEXT,
  error_message TEXT,
  row_count INTEGER,
  result TEXT,
  result_sha256 TEXT,
  intent_at INTEGER,
  created_at INTEGER,
  uploaded_at INTEGER,
  finished_at INTEGER,
  earlier_batch_id TEXT,
  earlier_import_id TEXT,
  earlier_state TEXT,
  rows_in INTEGER,
  left_out_reasons TEXT,
  pack TEXT,
  pack_row INTEGER,
  pack_rows INTEGER,
  pack_import_id TEXT,
  added_at INTEGER NOT NULL,
  added_state TEXT NOT NULL,
  added_attempts INTEGER NOT NULL,
  added_import_id TEXT,
  PRIMARY KEY (batch, source)
) WITHOUT ROWID;

CREATE INDEX items_by_state ON items (batch, state, rank, source);
CREATE INDEX items_by_tag ON items (tag) WHERE tag IS NOT NULL;
CREATE INDEX items_held ON items (version_key)
  WHERE state IN ('collected', 'created', 'creating', 'needs_review', 'packed', 'processing', 'succeeded', 'uncertain');
CREATE INDEX items_by_file ON items (file_key)
  WHERE file_key <> '' AND state NOT IN ('queued', 'rejected', 'skipped') AND error_code IS NOT 'failed_before';
CREATE INDEX items_by_pack ON items (batch, pack, pack_row) WHERE pack IS NOT NULL;
CREATE INDEX items_held_back ON items (batch, source) WHERE state = 'skipped' AND earlier_state <> 'collected';

-- How many items of a batch are in a state, kept by every write: a count of a million rows would stall the runner.
CREATE TABLE tallies (
  batch INTEGER NOT NULL,
  state TEXT NOT NULL,
  items INTEGER NOT NULL,
  PRIMARY KEY (batch, state)
) WITHOUT ROWID;

-- The rows of the results of a batch, kept in the same way.
CREATE TABLE row_tallies (
  batch INTEGER NOT NULL,
  name TEXT NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (batch, name)
) WITHOUT ROWID;

-- Every import that ever belonged to an item. Rows are never deleted: an import id is bound once.
CREATE TABLE imports (
  import_id TEXT PRIMARY KEY,
  batch INTEGER NOT NULL,
  source BLOB NOT NULL,
  bound_at INTEGER NOT NULL,
  released_at INTEGER
) WITHOUT ROWID;

-- The instant up to which the imports of an endpoint are known, and the tagged imports that had no owner when seen.
CREATE TABLE reconciled (
  endpoint TEXT PRIMARY KEY,
  at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE orphans (
  import_id TEXT PRIMARY KEY,
  tag TEXT NOT NULL,
  status TEXT NOT NULL,
  schema_id TEXT,
  original_filename TEXT NOT NULL,
  created_at INTEGER
) WITHOUT ROWID;

CREATE INDEX orphans_by_tag ON orphans (tag);

-- One row for each move of an item; how it was added is in the item's own row.
CREATE TABLE history (
  batch INTEGER NOT NULL,
  source BLOB NOT NULL,
  revision INTEGER NOT NULL,
  at INTEGER NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  import_id TEXT,
  PRIMARY KEY (batch, source, revision)
) WITHOUT ROWID;
