"""The quota of creates: who may send the next one, and when.

Owns the pacer and the stores of its slots: in memory, in an SQLite file for one machine, and in the ledger's table for
all users of it. Imports `runner.ledger` for its databases, `runner.dromo` for round
trips, and `runner.config` for rates.

- quota: at most `count` creates in any `per_s` seconds
- slot: one of the `count` creates that may be sent; busy until its create was answered, plus `per_s`, plus a guard
- permit: the right to send one create now
- hold: the instant before which nobody creates, because the vendor asked for it
- guard: additional seconds, for clocks that differ and for ways that are shorter than those seen
- quota key: a hash of base url and license key; users with the same key share slots
"""
