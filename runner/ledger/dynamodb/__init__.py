"""The ledger in one DynamoDB table, which several machines and functions share.

Owns the keys and attributes of the table, the calls to it, and the clock that its users agree on. Needs the `aws`
extra: only modules that open a table import it.

- row: an item of DynamoDB, in the form of the API
- token: a random value, attribute `w`, that identifies the write that last changed a row
- sort key, place: `sk`, the bytes of a source, or its beginning and a hash
- group: states that share a partition of the index `by_state`
- claim: a transaction that gives an item a tag, on the condition that the tag's row did not change
"""
