"""What the cells of a column show together: dates in both orders, decimal commas, long numbers, and odd words.

A kind notices single texts while it reads them, which costs nothing for other columns. Only the columns in which it
noticed something are read once more, to find the first row and the count.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sandbox.engine.reading.cell_facts import Fact
from sandbox.engine.table import FieldColumns, Table
from sandbox.engine.types import Kind, marks
from sandbox.engine.warning import KINDS, Level

_MEMO_MAX_TEXTS = 10_000
_BOTH_ORDERS = "Dates have day and month in both orders, but each cell shows which is which."

Facts = Mapping[str, Fact]


def warn_of_values(table: Table, mapped: Sequence[FieldColumns], *, is_edited: bool) -> None:
    """Add warnings of the file's cells in the columns of `mapped`; none is a loss if the rows are edited afterwards."""
    _warn_of_long_numbers(table, mapped)
    looks = [
        _Look(each.field.key, table.columns[each.field.key], each.kind)
        for each in mapped
        if each.kind.noticed and each.field.key in table.columns
    ]
    for at, row in table.numbered_rows() if looks else ():
        for look in looks:
            look.see(row, at)
    for look in looks:
        for code, fact, level, message in _told(look.facts):
            table.sheet.warnings.add(
                code, row=fact.row, count=fact.count, sample=fact.sample, field_key=look.key, message=message,
                level=Level.NOTE if is_edited else level,
            )  # fmt: skip


def _warn_of_long_numbers(table: Table, mapped: Sequence[FieldColumns]) -> None:
    long = table.sheet.long_numbers
    for key in (each.field.key for each in mapped):
        for place in table.columns.get(key, ()):
            for code, fact in long.told(place).items():
                table.sheet.warnings.add(code, row=fact.row, count=fact.count, sample=fact.sample, field_key=key)


@dataclass
class _Look:
    key: str
    places: Sequence[int]
    kind: Kind
    facts: defaultdict[str, Fact] = field(default_factory=lambda: defaultdict(Fact))
    memo: dict[str, frozenset[str]] = field(default_factory=dict)

    def see(self, row: Sequence[str], at: int) -> None:
        for place in self.places:
            text = row[place] if place < len(row) else ""
            found = self.memo.get(text)
            if found is None:
                found = frozenset(self.kind.notices(text))
                if len(self.memo) < _MEMO_MAX_TEXTS:
                    self.memo[text] = found
            for mark in found:
                self.facts[mark].add(at, text)


def _told(facts: Facts) -> list[tuple[str, Fact, Level | None, str | None]]:
    """Return the warnings of a column: code, what to tell, and level and message if they are not those of the code."""
    told: list[tuple[str, Fact, Level | None, str | None]] = [
        (code, fact, None, None) for code, fact in facts.items() if code in KINDS
    ]
    comma, group = facts.get(marks.DECIMAL_COMMA), facts.get(marks.GROUP)
    if comma and group:
        level = Level.NOTE if marks.DECIMAL_POINT in facts else None
        told.append(("decimal_commas", _beside(group, comma), level, None))
    if marks.FLOAT in facts and marks.NOT_FLOAT not in facts:
        told.append(("float_ids", facts[marks.FLOAT], None, None))
    day, month, guess = (facts.get(mark) for mark in (marks.DAY_FIRST, marks.MONTH_FIRST, marks.DATE_GUESS))
    if day and month and guess:
        fact = Fact(guess.count, guess.row, f"{guess.sample} beside {day.sample} and {month.sample}")
        told.append(("date_orders", fact, None, None))
    elif day and month:
        fewer, more = sorted((day, month), key=lambda fact: fact.count)
        told.append(("date_orders", _beside(fewer, more), Level.NOTE, _BOTH_ORDERS))
    return told


def _beside(fact: Fact, other: Fact) -> Fact:
    return Fact(fact.count, fact.row, f"{fact.sample} beside {other.sample}")
