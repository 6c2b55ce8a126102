-- The findings of one run of the engine, written at once and then only read.
-- rows.n counts the rows from 0 without gaps, so that a page of them is a range; rows.row is the engine's index.
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE rows (n INTEGER PRIMARY KEY, row INTEGER NOT NULL, texts TEXT NOT NULL, messages TEXT NOT NULL);
-- A list is all rows with errors (kind 'errors'), those of a field ('field'), or those with one message ('message').
CREATE TABLE lists (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  field TEXT NOT NULL,
  message TEXT NOT NULL,
  level TEXT NOT NULL,
  row_count INTEGER NOT NULL
);
CREATE TABLE listed (list INTEGER, place INTEGER, n INTEGER NOT NULL, PRIMARY KEY (list, place)) WITHOUT ROWID;
-- Every cell with an error, once; and those cells counted by their texts.
CREATE TABLE wrong (field TEXT, text TEXT, row INTEGER, part INTEGER, PRIMARY KEY (field, text, row, part)) WITHOUT ROWID;
CREATE TABLE wrong_texts (
  field TEXT,
  place INTEGER,
  text TEXT NOT NULL,
  cell_count INTEGER NOT NULL,
  PRIMARY KEY (field, place)
) WITHOUT ROWID;
