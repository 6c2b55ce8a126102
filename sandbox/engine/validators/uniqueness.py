"""The validators unique, unique_case_insensitive, and unique_with: which values repeat anywhere in the data."""

from array import array
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from sandbox.engine.batch import Batch, Part
from sandbox.engine.types import Invalid
from sandbox.engine.validators.rule import Broken

_SIEVE_SLOTS = 1 << 23

Key = Hashable | None


class Repeats:
    """The keys that occur more than once; None is not a key.

    Keys of data in memory are `count`ed at once. With `sieved`, a first pass over the data `sift`s them: it keeps a
    hash of eight bytes per key. Only if hashes repeat, a second pass counts the keys that share one.
    """

    def __init__(self, *, sieved: bool) -> None:
        self._hashes = array("q") if sieved else None
        self._suspects: set[int] | None = None
        self._seen: set[Key] = set()
        self.keys: set[Key] = set()

    @property
    def may_repeat(self) -> bool:
        return self._suspects is None or bool(self._suspects)

    def sift(self, keys: Iterable[Key]) -> None:
        assert self._hashes is not None
        self._hashes.extend([hash(key) for key in keys if key is not None])

    def count(self, keys: Iterable[Key]) -> None:
        suspects, seen, repeated = self._suspects, self._seen, self.keys
        for key in keys:
            if key is None or (suspects is not None and hash(key) not in suspects):
                continue
            if key in seen:
                repeated.add(key)
            else:
                seen.add(key)

    def settle(self) -> None:
        """End a pass over the data."""
        if self._hashes is not None:
            self._suspects = _recurring(self._hashes)
            self._hashes = None
        else:
            self._seen = set()


def _recurring(hashes: "array[int]") -> set[int]:
    """Return the hashes that occur more than once; a small counter per slot filters most before any set is made."""
    mask = _SIEVE_SLOTS - 1
    slots = bytearray(_SIEVE_SLOTS)
    crowded = bytearray(_SIEVE_SLOTS)
    for each in hashes:
        slot = each & mask
        crowded[slot] = slots[slot]
        slots[slot] = 1
    del slots
    seen: set[int] = set()
    found: set[int] = set()
    for each in hashes:
        if crowded[each & mask]:
            (found if each in seen else seen).add(each)
    return found


class Uniqueness:
    """One such validator: of one field, or of the fields that share a `unique_with` key."""

    def __init__(self, field_keys: list[str], *, ignores_case: bool, together: bool, sieved: bool) -> None:
        self.field_keys = field_keys
        self._fold = _folded if ignores_case else _hashable
        self._together = together
        self._repeats = Repeats(sieved=sieved)

    def sift(self, batch: Batch) -> None:
        self._repeats.sift(self._all_keys(batch))

    def count(self, batch: Batch) -> None:
        self._repeats.count(self._all_keys(batch))

    def settle(self) -> None:
        self._repeats.settle()

    @property
    def may_repeat(self) -> bool:
        return self._repeats.may_repeat

    def broken(self) -> Broken:
        """Return the rule: it returns the rows whose value, or combination of values, repeats."""

        def rows(part: Part, batch: Batch) -> list[int]:
            repeated = self._repeats.keys
            if not repeated:
                return []
            keys = self._joint_keys(batch) if self._together else self._part_keys(part)
            return [row for row, key in enumerate(keys) if key is not None and key in repeated]

        return rows

    def _all_keys(self, batch: Batch) -> Iterator[Key]:
        if self._together:
            yield from self._joint_keys(batch)
            return
        for key in self.field_keys:
            for part in batch.parts(key):
                yield from self._part_keys(part)

    def _part_keys(self, part: Part) -> list[Key]:
        fold, empty = self._fold, part.is_empty
        if not part.has_invalid and True not in empty:
            return [fold(value) for value in part.values]
        return [
            None if blank or type(value) is Invalid else fold(value)
            for value, blank in zip(part.values, empty, strict=True)
        ]

    def _joint_keys(self, batch: Batch) -> list[Key]:
        parts = [part for key in self.field_keys for part in batch.parts(key)]
        columns = [self._part_keys(part) for part in parts]
        flawed = [row for part in parts if part.has_invalid for row, v in enumerate(part.values) if type(v) is Invalid]
        keys: list[Key] = [key if any(each is not None for each in key) else None for key in zip(*columns, strict=True)]
        for row in flawed:
            keys[row] = None
        return keys


def _hashable(value: Any) -> Key:
    if isinstance(value, str):
        return value
    try:
        hash(value)
    except TypeError:
        return repr(value)
    key: Key = value
    return key


def _folded(value: Any) -> Key:
    return value.lower() if isinstance(value, str) else _hashable(value)
