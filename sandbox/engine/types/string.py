"""The type string: the text exactly as it was entered."""

from typing import Any

from sandbox.engine.types.kind import CellMemo, Kind, Options


class StringKind(Kind):
    """Any text."""

    empty = ""

    def __init__(self, _options: Options | None) -> None:
        super().__init__()

    def parse(self, text: str) -> str:
        return text

    def column(self, texts: list[str], _memo: CellMemo) -> list[Any]:
        return texts
