-- Versions 1 to 4 did not send several files in one import.

ALTER TABLE items ADD COLUMN pack TEXT;
ALTER TABLE items ADD COLUMN pack_row INTEGER;
ALTER TABLE items ADD COLUMN pack_rows INTEGER;
ALTER TABLE items ADD COLUMN pack_import_id TEXT;

CREATE INDEX items_by_pack ON items (batch, pack, pack_row) WHERE pack IS NOT NULL;
DROP INDEX items_held;
CREATE INDEX items_held ON items (version_key)
  WHERE state IN ('collected', 'created', 'creating', 'needs_review', 'packed', 'processing', 'succeeded', 'uncertain');
