"""How numbers are written: the formats of the vendor's number library, checked against what it prints."""

import pytest

from sandbox.engine.types import CellMemo, make_kind
from sandbox.engine.types.number_format import format_number
from tests.support.engine import cells


@pytest.mark.parametrize(
    ("spec", "value", "text"),
    [
        ({"mantissa": 0}, -2.5, "-2"),
        ({"mantissa": 0}, 2.5, "3"),
        ({"mantissa": 0}, -0.5, "0"),
        ({"mantissa": 2}, -0.004, "0.00"),
        ({"mantissa": 1, "forceSign": True}, 0.004, "0.0"),
        ({"mantissa": 1, "forceSign": True}, 0.06, "+0.1"),
        ({"mantissa": 2, "negative": "parenthesis"}, -0.001, "0.00"),
        ({"mantissa": 2, "negative": "parenthesis"}, -1.005, "(1.00)"),
        ({"output": "percent"}, 0.28782, "28.782%"),
        ({"output": "percent", "mantissa": 1}, 12.3456, "1234.6%"),
        ({"output": "percent", "prefixSymbol": True, "spaceSeparated": True}, 0.5, "% 50"),
        ({"output": "currency"}, 1234.567, "$ 1.235 k"),
        ({"output": "currency"}, 0.5, "$ 0.500"),
        ({"output": "currency", "mantissa": 2}, -5, "-$5.00"),
        ({"output": "currency", "currencyPosition": "infix", "mantissa": 2}, 1.5, "1$50"),
        ({"output": "currency", "average": True}, 1500, "$2k"),
        ({"average": True}, -2_500_000_000_000, "-2t"),
        ({"average": True, "mantissa": 2, "trimMantissa": True}, 1500, "1.5k"),
        ({"forceAverage": "thousand"}, -90, "0k"),
        ({"totalLength": 4}, 123_456, "123.5k"),
        ({"totalLength": 3, "optionalMantissa": True}, 1000, "1.00k"),
        ({"totalLength": 2, "characteristic": 4}, 2.5, "2.5"),
        ({"output": "ordinal"}, 113, "113th"),
        ({"output": "ordinal"}, 22, "22nd"),
        ({"output": "ordinal"}, 1.005, "1.005th"),
        ({"output": "byte", "base": "binary", "mantissa": 1}, 1536, "1.5KiB"),
        ({"output": "time"}, 3661, "1:01:01"),
        ({"characteristic": 4}, 7, "0007"),
        ({"exponential": True, "mantissa": 2}, 12345, "1.23e+4"),
        ({"optionalCharacteristic": True, "mantissa": 2}, 0.5, ".50"),
    ],
)
def test_a_number_is_written_by_its_format(spec, value, text):
    assert format_number(value, spec) == text


@pytest.mark.parametrize(
    ("preset", "text"),
    [("plain", "1234567.123"), ("default", "1,234,567.123"), ("percent", "123456712.3%"), ("percent_0", "123456712%")],
)
def test_a_preset_groups_thousands_only_if_the_vendors_does(preset, text):
    kind = make_kind({"key": "a", "type": ["number", preset]})
    (value,) = kind.column(["1234567.123"], CellMemo(kind))
    assert kind.display(value) == text


@pytest.mark.parametrize(
    ("spec", "text", "value"),
    [
        ({"output": "percent", "prefixSymbol": True}, "%50", 0.5),
        ({"output": "percent", "negative": "parenthesis"}, "(50)%", -0.5),
        ({"prefix": "~", "postfix": " kg"}, "~5 kg", 5),
        ({"output": "currency", "currencySymbol": "¥"}, "¥ 5", 5),
    ],
)
def test_a_format_s_own_way_of_writing_is_read(spec, text, value):
    assert cells(["number", {"displayFormat": spec}], text) == [value]


@pytest.mark.parametrize("text", ["9007199254740993", "-9007199254740993", "1234567890123456789"])
def test_a_whole_number_beyond_2_53_stays_whole(text):
    (value,) = cells("number", text)
    assert isinstance(value, int)
    assert float(value) == float(text)
