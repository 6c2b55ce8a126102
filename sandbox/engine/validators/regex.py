"""The validators regex_match and regex_exclude: JavaScript's own regular expressions with a time limit."""

from collections.abc import Sequence
from typing import Any

import orjson

from sandbox.engine.batch import Batch, Part
from sandbox.engine.errors import EngineError
from sandbox.engine.libraries import library
from sandbox.engine.validators.rule import Broken, Definition

TIME_LIMIT_S = 2.0
MEMORY_LIMIT_BYTES = 256 << 20
_FLAGS = {"ignoreCase": "i", "dotAll": "s", "multiline": "m", "unicode": "u"}
_TESTER = """(pattern, flags) => {
  const expression = new RegExp(pattern, flags);
  return (texts) => JSON.parse(texts).map((text) => expression.test(text) ? "1" : "0").join("");
}"""
_MEMO_MAX_CELLS = 10_000


class RegexTimeoutError(EngineError):
    """A pattern took too long for some thousand cells."""


class JsRegex:
    """A compiled pattern. Raises ValueError with JavaScript's reason if it does not compile."""

    def __init__(self, pattern: str, flags: str = "", *, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._pattern = pattern
        self._quickjs = library("quickjs", package="quickjs-ng", purpose="runs regular expressions")
        self._context: Any = self._quickjs.Context()
        self._context.set_memory_limit(MEMORY_LIMIT_BYTES)
        self._context.set_time_limit(time_limit_s)
        try:
            self._test = self._context.eval(_TESTER)(pattern, flags)
        except self._quickjs.JSException as error:
            raise ValueError(str(error).splitlines()[0]) from None
        self._memo: dict[str, bool] = {}

    def test(self, texts: Sequence[str]) -> list[bool]:
        """Return whether each text has a match. Raises RegexTimeoutError."""
        unknown = [text for text in dict.fromkeys(texts) if text not in self._memo]
        found = dict(zip(unknown, self._tested(unknown), strict=True)) if unknown else {}
        known = self._memo | found if found and self._memo else found or self._memo
        answers = [known[text] for text in texts]
        if len(self._memo) + len(found) <= _MEMO_MAX_CELLS:
            self._memo.update(found)
        return answers

    def _tested(self, texts: list[str]) -> list[bool]:
        try:
            document = orjson.dumps(texts).decode()
        except TypeError:
            document = orjson.dumps([text.encode("utf-8", "replace").decode() for text in texts]).decode()
        try:
            return [mark == "1" for mark in self._test(document)]
        except self._quickjs.JSException:
            raise RegexTimeoutError(f"The regular expression {self._pattern[:80]} takes too long.") from None


def flags_of(definition: Definition) -> str:
    """Return JavaScript's flags for a validator's `regexOptions`."""
    options = definition.get("regexOptions") or {}
    return "".join(flag for name, flag in _FLAGS.items() if options.get(name))


def regex_match(definition: Definition) -> Broken:
    return _regex(definition, wanted=True)


def regex_exclude(definition: Definition) -> Broken:
    return _regex(definition, wanted=False)


def _regex(definition: Definition, *, wanted: bool) -> Broken:
    try:
        expression = JsRegex(str(definition.get("regex", "")), flags_of(definition))
    except ValueError as error:
        raise EngineError(f"The regular expression of a validator does not compile: {error}") from None

    def broken(part: Part, _batch: Batch) -> list[int]:
        rows = [row for row, empty in enumerate(part.is_empty) if not empty]
        answers = expression.test([part.displayed[row] for row in rows])
        return [row for row, answer in zip(rows, answers, strict=True) if answer is not wanted]

    return broken
