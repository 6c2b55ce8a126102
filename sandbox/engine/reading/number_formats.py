"""Number formats of a workbook that show leading zeros, which the value of a cell does not have."""

import re
from collections.abc import Mapping
from contextlib import suppress
from xml.parsers import expat

STYLES_PART = "xl/styles.xml"
_NOT_DIGITS = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')
"""Parts of a format that show no digit: quoted and escaped texts, spaces, fillers, colors, and conditions."""

_PADDED = re.compile(r"[^0#?]*(0[^#?.,EeGgYyMmDdHhSs]*)")


def shown_digits(code: str) -> int:
    """Return how many digits before the decimal point a format code always shows; 1 if it pads with no zeros."""
    positive = _NOT_DIGITS.sub("", code.split(";", maxsplit=1)[0]).partition(".")[0]
    padded = _PADDED.fullmatch(positive)
    return max(1, padded[1].count("0")) if padded else 1


def padded_styles(xml: bytes) -> Mapping[str, int]:
    """Return the digits that cells with a style always show, by the style's index, of styles that pad with zeros.

    Of XML that is damaged, those before the damage.
    """
    codes: dict[str, int] = {}
    found: dict[str, int] = {}
    inside: list[str] = []

    def start(name: str, attributes: Mapping[str, str]) -> None:
        kind = name.rpartition(":")[2]
        if kind == "numFmt":
            codes[attributes.get("numFmtId", "")] = shown_digits(attributes.get("formatCode", ""))
        elif kind == "xf" and inside and inside[-1] == "cellXfs":
            found[str(len(found))] = codes.get(attributes.get("numFmtId", ""), 1)
        if kind != "xf":
            inside.append(kind)

    def end(name: str) -> None:
        if name.rpartition(":")[2] != "xf":
            inside.pop()

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    with suppress(expat.ExpatError, ValueError):
        parser.Parse(xml, True)  # noqa: FBT003 - the parser's own argument
    return {style: digits for style, digits in found.items() if digits > 1}
