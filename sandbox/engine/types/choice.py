"""The types select, multi-select, and checkbox."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sandbox.engine.types import marks
from sandbox.engine.types.kind import CellError, Kind, Options

_FALSE_TEXTS = frozenset(("", "0", "off", "n", "no", "false", "disabled"))
_TRUE = "1 1.0 y yes true t on enabled x \u2713 \u2714 \u2611 checked ja oui si s\xed sim tak ano"
_TRUE_TEXTS = frozenset(_TRUE.split())
"""Usual words for yes; every other word that is not one for no is also true, but a warning tells of it."""

_SEPARATORS = re.compile(r"[\s_-]+")

Option = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Choice:
    label: str
    value: Any
    others: tuple[str, ...]
    exact_only: bool

    @classmethod
    def of(cls, option: Option) -> Self:
        label = str(option.get("label", option.get("value", "")))
        others = tuple(map(str, option.get("alternateMatches") or ()))
        return cls(label, option.get("value", label), others, bool(option.get("exactMatchOnly")))


class Choices:
    """The options of a field by the texts that name them: label, value, alternate names; then without case and blanks.

    A label wins over another option's value, and a value over another option's alternate names. `exactMatchOnly` of an
    option or of the whole field allows only exact texts.
    """

    def __init__(self, options: Iterable[Option], *, exact_only: bool) -> None:
        self._exact: dict[str, Any] = {}
        self._plain: dict[str, Any] = {}
        self._labels: dict[Any, str] = {}
        known = [_Choice.of(option) for option in options]
        for choice in known:
            self._labels.setdefault(_hashable(choice.value), choice.label)
        for choice, name in _named(known):
            self._exact.setdefault(name.strip(), choice.value)
            if not (exact_only or choice.exact_only):
                self._plain.setdefault(_plain(name), choice.value)

    def value(self, text: str) -> Any:
        """Return the value of the option that `text` names. Raises KeyError if there is none."""
        return self._exact[text] if text in self._exact else self._plain[_plain(text)]

    def label(self, value: Any) -> str:
        return self._labels.get(_hashable(value), _text(value))


class SelectKind(Kind):
    """One of the options, or any text with `allowCustom`."""

    is_texty = False

    def __init__(self, options: Options | None, *, choices: Sequence[Option]) -> None:
        super().__init__()
        given = options or {}
        self._custom = bool(given.get("allowCustom"))
        self.choices = Choices(choices, exact_only=bool(given.get("exactMatchOnly")))
        self.to_display = self.choices.label

    def parse(self, text: str) -> Any:
        try:
            return self.choices.value(text)
        except KeyError:
            if self._custom:
                return text
            raise CellError("select") from None


class MultiSelectKind(SelectKind):
    """Several of the options, separated by `delimiter`; empty parts and repeated options are dropped."""

    empty = ()
    output_is_costly = False

    def __init__(self, options: Options | None, *, choices: Sequence[Option]) -> None:
        super().__init__(options, choices=choices)
        given = options or {}
        self._delimiter = str(given.get("delimiter") or ",")
        self._trim = given.get("trimValues") is not False
        self.to_output = list
        self.to_display = lambda values: f"{self._delimiter} ".join(map(self.choices.label, values))

    def parse(self, text: str) -> tuple[Any, ...]:
        parts = text.split(self._delimiter)
        if self._trim:
            parts = [part.strip() for part in parts]
        values = [self._part(part) for part in parts if part.strip()]
        kept = {_hashable(value): value for value in values}
        if len(kept) < len(values):
            self.noticed.add(marks.OPTION_REPEATED)
        return tuple(kept.values())

    def _part(self, part: str) -> Any:
        if not self._trim and part != part.strip():
            raise CellError("select")
        return super().parse(part)


class CheckboxKind(Kind):
    """True unless the text is one of the known ways to say no."""

    empty = False
    is_texty = False

    def __init__(self, _options: Options | None) -> None:
        super().__init__()
        self.to_display = lambda value: "true" if value else "false"

    def parse(self, text: str) -> bool:
        word = text.lower()
        if word in _FALSE_TEXTS:
            return False
        if word not in _TRUE_TEXTS:
            self.noticed.add(marks.CHECKBOX_WORD)
        return True


def _named(choices: Sequence[_Choice]) -> Iterator[tuple[_Choice, str]]:
    yield from ((choice, choice.label) for choice in choices)
    yield from ((choice, _text(choice.value)) for choice in choices)
    yield from ((choice, name) for choice in choices for name in choice.others)


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", name).casefold())


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
