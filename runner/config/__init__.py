"""What the user asked for: settings and their origin, routes, and what a run is asked to do.

Imports the root nouns, `sources`, and the ledger's location. Only `settings` reads the environment.

- setting: a value with an origin: flag, environment, `.env`, bulkhead.toml, or default.
- route: a glob and the schema, settings, and hooks of the items that match it.
- binding: the digest of what a route sends; it is part of an item's identity.
- run spec: the source, routes, and output of a run; a batch keeps it so that it can be resumed.
"""
