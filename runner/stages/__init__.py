"""What is done to one item, from its source to its result. A run and the functions of a stack share these stages.

May import config, quota, dromo, ledger, sources, sinks, aws, and the root modules; not local, cloud, check, or cli.

- *discover*: turn what a source lists into items of a batch.
- *submit*: create an import and upload the data; the create's intent and the bind are in the ledger first.
- *intent*: the record, made before a create is sent, that it may take effect.
- *bind*: the record of the import that belongs to an item, made before data is sent.
- *lost create*: a JSON create whose response was lost, so that its outcome is unknown.
- *orphan*: an import with an item's tag that no item owns; *adopt*: bind it to that item.
- *held schema*: one whose items stay queued because it is missing or a create with it has an unknown outcome.
- *track*: list open imports and move their items.
- *collect*: save the result of a successful import.
- *transition*: the change of an item's state, in the ledger first.
"""
