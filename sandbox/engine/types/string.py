"""The type string: the text exactly as it was entered."""

from collections.abc import Sequence
from typing import Any

from sandbox.engine.types.kind import CellMemo, Kind, Options


class StringKind(Kind):
    """Any text."""

    empty = ""

    def __init__(self, _options: Options | None) -> None:
        super().__init__()

    def parse(self, text: str) -> str:
        return text

    def column(self, texts: Sequence[str], memo: CellMemo) -> Sequence[Any]:  # noqa: ARG002 - nothing is parsed
        return texts
