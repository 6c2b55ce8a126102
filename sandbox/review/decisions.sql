-- What people decided in one review. revision counts the changes and never decreases; structure is the revision at
-- which the header or the columns last changed.
CREATE TABLE IF NOT EXISTS state (
  revision INTEGER NOT NULL,
  structure INTEGER NOT NULL,
  header_row INTEGER,
  columns TEXT
);
INSERT INTO state SELECT 0, 0, NULL, NULL WHERE NOT EXISTS (SELECT 1 FROM state);
-- text NULL: the correction was undone; shown is what a person last saw in the cell.
CREATE TABLE IF NOT EXISTS cells (
  row INTEGER,
  field TEXT,
  part INTEGER,
  text TEXT,
  shown TEXT NOT NULL,
  revision INTEGER NOT NULL,
  PRIMARY KEY (row, field, part)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS cells_by_revision ON cells (revision);
CREATE TABLE IF NOT EXISTS dropped (row INTEGER PRIMARY KEY, is_dropped INTEGER NOT NULL, revision INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS dropped_by_revision ON dropped (revision);
-- How to undo: the state before each change.
CREATE TABLE IF NOT EXISTS changes (id INTEGER PRIMARY KEY, label TEXT NOT NULL, header_row INTEGER, columns TEXT, is_structure INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS cells_before (
  change INTEGER,
  row INTEGER,
  field TEXT,
  part INTEGER,
  text TEXT,
  shown TEXT NOT NULL,
  PRIMARY KEY (change, row, field, part)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dropped_before (change INTEGER, row INTEGER, is_dropped INTEGER NOT NULL, PRIMARY KEY (change, row)) WITHOUT ROWID;
