"""A random schema, and files for it of many kinds, harmless and hostile; everything follows from one seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from runner.config.routes import Route
from runner.packing.rules import BEHAVIORS
from tests.packing.hostile import KINDS, Kind

ENDPOINT = "0a1b2c3d"
BASE32 = "abcdefghijklmnopqrstuvwxyz234567"

Cell = Callable[[random.Random], str]


def text(rng: random.Random) -> str:
    return rng.choice(
        [
            "Ada",
            "Zoë",
            " blank ",
            "",
            "x" * 40,
            "Jürgen Groß",
            "O'Hara",
            "a\nb",
            'say "hi"',
            "漢字",
            "1",
            "007",
            "a,b",
            "a;b",
            "a\tb",
            "a|b",
            "=1+1",
            "TRUE",
            "null",
            "\u2028",
            "\u200b",
            "🙂",
            "{}",
            "$unmapped",
            '"$unmapped":{"0":"x"}',
            "\\",
            'end\\"',
            "k3f5x2ab7q2mc.1",
            "e\u0301",
            "1.0",
            "1e5",
            "+5",
            "\x85",
        ]
    )


def words(rng: random.Random) -> str:
    return " ".join(rng.choice(["red", "green", "blue", "one", "two"]) for _ in range(rng.randint(1, 4)))


def number(rng: random.Random) -> str:
    return rng.choice(
        [
            "1",
            "2.50",
            "-3",
            "1,234",
            "1,234.5",
            "",
            "x",
            "12%",
            "$5",
            "(7)",
            "1.234,5",
            "9007199254740993",
            "1e3",
            "0.1",
            "-0",
            "00012",
            "1k",
            " 4 ",
            "99999999999999999999999",
            "1.0",
        ]
    )


def iso_date(rng: random.Random) -> str:
    return f"{rng.randint(1900, 2100)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def day_first(rng: random.Random) -> str:
    return f"{rng.randint(13, 31)}/{rng.choice([1, 3, 5, 7, 8, 10, 12])}/{rng.randint(1990, 2030)}"


def month_first(rng: random.Random) -> str:
    return f"{rng.choice([1, 3, 5, 7, 8, 10, 12])}/{rng.randint(13, 31)}/{rng.randint(1990, 2030)}"


def any_date(rng: random.Random) -> str:
    return rng.choice(
        [
            iso_date(rng),
            iso_date(rng),
            "",
            "27 Mar 2024",
            "March 3, 2020",
            "2024-02-30",
            "nothing",
            "5/5/2024",
            "20240304",
            f"{iso_date(rng)} 10:30",
        ]
    )


def choice(rng: random.Random) -> str:
    return rng.choice(["Red", "red", "R", "green", "GREEN", "", "purple", "Red, green"])


def yes_or_no(rng: random.Random) -> str:
    return rng.choice(["yes", "no", "", "0", "1", "TRUE", "off", "maybe"])


def email(rng: random.Random) -> str:
    return rng.choice(["a@example.com", "b@example.org", "", "not an email", "C@EXAMPLE.com", " d@example.com "])


def odd(rng: random.Random) -> str:
    return rng.choice(
        ["12345", "123-45-6789", "US", "USA", "CA", "us-ca", "example.com", "https://example.com/a b", "", "?"]
    )


OPTIONS = [
    {"label": "Red", "value": 1, "alternateMatches": ["R"]},
    {"label": "Green", "value": "green"},
    {"label": "One", "value": True},
]
TYPES: tuple[tuple[Any, Cell], ...] = (
    ("string", text),
    ("string", words),
    ("number", number),
    (["number", {"preset": "usd"}], number),
    (["number", {"round": -1}], number),
    (["number", {"round": 1, "min": 0, "outputFormat": {"mantissa": 2}}], number),
    ("date", any_date),
    (["date", {"autofix": False}], any_date),
    (["date", {"locale": "de-DE", "outputFormat": "dd.MM.yyyy"}], any_date),
    (["datetime", {"withSeconds": True}], any_date),
    ("time", odd),
    ("select", choice),
    ("multi-select", choice),
    (["select", {"allowCustom": True}], choice),
    ("checkbox", yes_or_no),
    ("email", email),
    ("country", odd),
    ("ssn", odd),
    ("us-zip-code", odd),
    ("us-state-territory", odd),
    ("domain", odd),
    ("uuid", odd),
    (["phone-number", {"country": "US"}], odd),
)
LABELS = (
    "Customer",
    "Ship City",
    "Amount Due",
    "Birthday",
    "Colour",
    "Contact Mail",
    "Zone",
    "Agreed?",
    "Größe",
    "Note, long",
)
EXTRAS = ("Remarks", "zzz", "Old key 7", "Spalte", "x;y", "col_9", 'The "best"')


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of the world: its bytes, and what made them."""

    tag: str
    raw: bytes
    kind: Kind
    source: str


@dataclass
class World:
    """A route, its saved schema if it has one, and files: a share of any kind, and the others of the usual one."""

    seed: int
    usual_kind: Kind = KINDS[0]
    mixed_share: float = 0.7
    file_count: int = 24
    rng: random.Random = field(init=False)
    cells: dict[str, Cell] = field(init=False, default_factory=dict)
    header: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.behavior = self.rng.choice(BEHAVIORS)
        self.keeps_unmapped = self.rng.random() < 0.5
        self.is_inline = self.rng.random() < 0.5
        self.fields = self._fields()
        self.settings: dict[str, Any] = {"invalidDataBehavior": self.behavior}
        if self.keeps_unmapped or self.rng.random() < 0.3:
            self.settings["passThroughUnmappedColumns"] = self.keeps_unmapped
        self.files = [self._file(number) for number in range(self.file_count)]

    @property
    def schema(self) -> dict[str, Any]:
        """The schema that the import of a single file runs with."""
        return {"fields": self.fields, "settings": self.settings, "hooks": {}}

    @property
    def saved(self) -> dict[str, Any] | None:
        return None if self.is_inline else {"id": "s1", "name": "Saved", **self.schema}

    @property
    def route(self) -> Route:
        if self.is_inline:
            return Route(name="all", fields=tuple(self.fields), settings=self.settings)
        return Route(name="all", schema_id="s1")

    def _fields(self) -> list[dict[str, Any]]:
        rng = self.rng
        labels = rng.sample(LABELS, rng.randint(1, 6))
        made = [self._field(at, label) for at, label in enumerate(labels)]
        names = []
        for each in made:
            if not each.get("hidden"):
                name = rng.choice([each["label"], each["label"], each["key"], *each.get("alternateMatches", ())])
                self.cells[name] = self._made[each["key"]]
                names.append(name)
        if not names:
            made[0].pop("hidden")
            self.cells[made[0]["label"]] = self._made[made[0]["key"]]
            names.append(made[0]["label"])
        extras = rng.sample(EXTRAS, rng.choice([0, 0, 1, 2]))
        self.cells.update(dict.fromkeys(extras, text))
        self.header = names + extras
        rng.shuffle(self.header)
        return made

    _made: dict[str, Cell] = field(init=False, default_factory=dict)

    def _field(self, at: int, label: str) -> dict[str, Any]:
        rng = self.rng
        kind, cell = rng.choice(TYPES)
        key = f"f{at}_{rng.choice(['a', 'b'])}"
        self._made[key] = cell
        made: dict[str, Any] = {"key": key, "label": label, "type": kind}
        name = kind if isinstance(kind, str) else kind[0]
        if name in ("select", "multi-select"):
            made["selectOptions"] = OPTIONS
        if rng.random() < 0.3:
            made["alternateMatches"] = [f"{label} alt", f"{label} (old)"]
        if rng.random() < 0.1:
            made["hidden"] = True
        if name == "string" and rng.random() < 0.2:
            made["manyToOne"] = True
        validators = self._validators(name, many="manyToOne" in made)
        if validators:
            made["validators"] = validators
        return made

    def _validators(self, name: str, *, many: bool) -> list[dict[str, Any]]:
        rng = self.rng
        found: list[dict[str, Any]] = []
        if rng.random() < 0.25:
            found.append({"validate": "required", "level": rng.choice(["error", "error", "warning"])})
        if name in ("string", "email") and rng.random() < 0.3:
            found.append({"validate": "length", "max": 12})
        if name == "string" and rng.random() < 0.2:
            found.append({"validate": "regex_match", "regex": "^[^x]*$", "errorMessage": "no x"})
        if name in ("string", "number") and not many and rng.random() < 0.25:
            found.append(rng.choice([{"validate": "unique"}, {"validate": "unique_case_insensitive"}]
                                    if name == "string" else [{"validate": "unique"}]))  # fmt: skip
        if name == "string" and not many and rng.random() < 0.15:
            found.append({"validate": "unique_with", "uniqueKey": "together"})
        if rng.random() < 0.1:
            found.append({"validate": "require_with", "fields": ["f0_a", "f1_b"]})
        return found

    def _file(self, number: int) -> File:
        rng = self.rng
        tag = "".join(rng.choice(BASE32) for _ in range(13))
        kind = rng.choice(KINDS) if rng.random() < self.mixed_share else self.usual_kind
        count = rng.choice([1, 2, 3, 5, 8])
        dates = rng.choice([any_date, any_date, any_date, iso_date, day_first, month_first])
        rows = [[self._cell(name, dates, number, row) for name in self.header] for row in range(count)]
        rows = [row if any(map(str.strip, row)) else ["x", *row[1:]] for row in rows]
        return File(tag=tag, raw=kind.make(self.header, rows, rng), kind=kind, source=f"file-{number}.csv")

    def _cell(self, name: str, dates: Cell, number: int, row: int) -> str:
        cell = self.cells[name]
        if cell is any_date:
            return dates(self.rng)
        if cell in (text, words) and self.rng.random() < 0.6:
            return f"{cell(self.rng)} {number}-{row}"
        if cell is number and self.rng.random() < 0.5:
            return str(number * 100 + row)
        return cell(self.rng)
