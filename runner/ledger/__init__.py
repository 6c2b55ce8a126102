"""The ledger: the durable account of what happened to each item."""
