"""Packing: many small files of one schema in one import, and the result of that import for each file.

Owns what may be packed, how, and how a result is split; has no ledger, no network, and no event loop. May import the
root nouns, sources, sinks, config, and problems. Packing is off by default.

Terms:
    pack: one import that carries many small files.
    member: a file in a pack; it keeps its own tag, rows, errors, and result.
    marker: a cell that says which row of which member a row is, such as `k3f5x2ab7q2mc.17`.
    refusal: why a file travels alone: a code and a sentence.
    alone: in an import of its own, as without packing.
"""
