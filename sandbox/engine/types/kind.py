"""A kind: what every field type is to the engine, a parser of texts with an output and a display form."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.engine.messages import TYPE_MESSAGES

MEMO_MAX_CELLS = 32_000
_SAMPLE_CELLS = 5


class CellError(Exception):
    """A cell's text is not a value of its field's type: `rule` is the broken rule, the text is the sentence to show."""

    def __init__(self, rule: str, **parts: object) -> None:
        super().__init__(TYPE_MESSAGES[rule].format(**parts))
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Invalid:
    """Takes the place of a value in a column if the cell's text is not one."""

    rule: str
    message: str


class Kind(ABC):
    """A field's type with its options; one instance serves one column of one import.

    A value is canonical: hashable, and equal for equal cells. `to_output` and `to_display` convert it for the result
    and for a person; None means the value itself, for display as text. `is_texty` says that values are texts, which the
    validator `length` needs; `learns` that `prepare` must see the whole column first; and `output_is_costly` that
    outputs are worth caching. A text that `as_is` matches as a whole is its own value. `noticed` has the marks of the
    texts that were read so far; `may_have_plus` False guarantees that no text has a plus sign.
    """

    empty: Any = None
    is_texty = True
    learns = False
    output_is_costly = True
    may_have_plus = True
    as_is: re.Pattern[str] | None = None
    to_output: Callable[[Any], Any] | None = None
    to_display: Callable[[Any], str] | None = None

    def __init__(self) -> None:
        self.noticed: set[str] = set()

    @abstractmethod
    def parse(self, text: str) -> Any:
        """Return the value of a text that is not empty and has no blanks at its ends. Raises CellError."""

    def prepare(self, texts: Sequence[str]) -> None:  # noqa: B027 - most types learn nothing
        """See cells of the column before any is parsed; only dates learn from it."""

    def column(self, texts: Sequence[str], memo: "CellMemo") -> Sequence[Any]:
        """Return the value of each text: parsed, `empty`, or Invalid."""
        is_value = self.as_is.fullmatch if self.as_is else None
        if is_value is None or not any(map(is_value, texts[:_SAMPLE_CELLS])):
            return list(map(memo.__getitem__, texts))
        return [text if is_value(text) else memo[text] for text in texts]

    def notices(self, text: str) -> set[str]:
        """Return the marks of one text; some kinds notice more here than while they read a column."""
        so_far, self.noticed = self.noticed, set()
        try:
            if stripped := text.strip():
                self.parse(stripped)
        except CellError:
            pass
        found, self.noticed = self.noticed, so_far
        return found

    def output(self, value: Any) -> Any:
        return value if self.to_output is None else self.to_output(value)

    def display(self, value: Any) -> str:
        if value is None:
            return ""
        return str(value) if self.to_display is None else self.to_display(value)


class CellMemo(dict[str, Any]):
    """The values of the texts that a column contained, up to a limit; `saw_invalid` is true once one was Invalid.

    `message` is the sentence for every invalid cell; `messages` are sentences for single rules.
    """

    def __init__(self, kind: Kind, *, message: str | None = None, messages: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.kind = kind
        self._parse = kind.parse
        self._message = message
        self._messages = messages or {}
        self.saw_invalid = False

    def __missing__(self, text: str) -> Any:
        stripped = text.strip()
        try:
            value = self._parse(stripped) if stripped else self.kind.empty
        except CellError as error:
            self.saw_invalid = True
            return Invalid(error.rule, self._message or self._messages.get(error.rule) or str(error))
        if len(self) < MEMO_MAX_CELLS:
            self[text] = value
        return value


Options = Mapping[str, Any]
