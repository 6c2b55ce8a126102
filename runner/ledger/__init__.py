"""The ledger: the durable account of what happened to each item of each batch.

Owns the stores, the rules they share, and the leases in a shared store. A store decides nothing: every write is
conditional on what the caller has read. Imports only the root modules and `runner.aws`.

- batch, item: one bulk run; one input file or JSON document of it (`runner.models`)
- revision: how often an item was written; a write names the revision that it expects
- bind: to give an item an import id, which must never have belonged to any item
- release: to take the import from an item; its id can never be bound again
- tag: the mark in `original_filename`; of the items with the same tag, one at most is held
- version key: what identifies the listed version of a file across batches
- orphan: an import with one of our tags that no item owns
- reconciled: the instant up to which the ledger knows the vendor's imports
- move: a transaction that adds items or changes the state of one
- lease: who works on an item or a batch, and until when
"""
