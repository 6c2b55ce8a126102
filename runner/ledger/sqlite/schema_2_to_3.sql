-- Versions 1 and 2 did not know which file an item is of: its rows have no file key.

ALTER TABLE items ADD COLUMN file_key TEXT NOT NULL DEFAULT '';
ALTER TABLE items ADD COLUMN earlier_batch_id TEXT;
ALTER TABLE items ADD COLUMN earlier_import_id TEXT;
ALTER TABLE items ADD COLUMN earlier_state TEXT;

CREATE INDEX items_by_file ON items (file_key)
  WHERE file_key <> '' AND state NOT IN ('queued', 'rejected', 'skipped') AND error_code IS NOT 'failed_before';
CREATE INDEX items_held_back ON items (batch, source) WHERE state = 'skipped' AND earlier_state <> 'collected';
