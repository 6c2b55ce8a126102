-- Versions 1 to 3 did not know how many rows the vendor read: what their results lack is unknown.

ALTER TABLE items ADD COLUMN rows_in INTEGER;
ALTER TABLE items ADD COLUMN left_out_reasons TEXT;

CREATE TABLE row_tallies (
  batch INTEGER NOT NULL,
  name TEXT NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (batch, name)
) WITHOUT ROWID;

INSERT INTO row_tallies
  SELECT batch, 'row_count', sum(coalesce(row_count, 0)) FROM items WHERE state = 'collected' GROUP BY batch;
INSERT INTO row_tallies
  SELECT batch, 'empty_count', count(*) FROM items WHERE state = 'collected' AND row_count = 0 GROUP BY batch;
