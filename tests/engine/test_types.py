"""Rules of the field types beyond the table of vectors."""

import pytest

from sandbox.engine.types.number_format import format_number
from tests.support.engine import Fault, cells, run

OPTIONS = [{"label": "Red", "value": "r", "alternateMatches": ["rouge"]}, {"label": "Blue", "value": 2}]


def test_blanks_around_a_text_stay_in_a_string_and_go_elsewhere():
    assert cells("string", " a ", "  ") == [" a ", "  "]
    assert cells("uuid", " 9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d ") == ["9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"]


@pytest.mark.parametrize("type_", ["number", "date", "datetime", "time", "email", "country", "ssn", "domain", "url",
                                   "us-state-territory", "us-zip-code", "uuid", "phone-number", "select"])  # fmt: skip
def test_an_empty_cell_is_null_and_no_error(type_):
    assert cells(type_, "", "   ") == [None, None]


def test_halves_are_rounded_away_from_zero_before_bounds_are_checked():
    assert cells(["number", {"round": 0}], "0.5", "-0.5", "1.5", "2.5") == [1, -1, 2, 3]
    assert cells(["number", {"round": 0, "max": 10}], "10.4", "10.5") == [10, "max"]
    assert cells(["number", {"round": 2}], "1.005", "2.675", "$1,234.565") == [1.01, 2.68, 1234.57]


def test_whole_numbers_beyond_2_to_the_53_are_kept_with_a_warning():
    outcome = run("n\n9007199254740993\n", {"key": "n", "label": "n", "type": "number"})
    assert outcome.rows == [{"n": 9007199254740992}]
    assert len(outcome.metadata["warnings"]) == 1


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (1234567.891, {"thousandSeparated": True, "mantissa": 1}, "1,234,567.9"),
        (0.5, {"output": "percent", "mantissa": 1, "spaceSeparated": True}, "50.0 %"),
        (1500, {"average": True, "mantissa": 1}, "1.5k"),
        (2_340_000, {"average": True, "mantissa": 2, "spaceSeparated": True}, "2.34 m"),
        (1_234_567, {"forceAverage": "thousand", "mantissa": 0}, "1235k"),
        (12345, {"totalLength": 3}, "12.3k"),
        (5, {"forceSign": True}, "+5"),
        (-5, {"negative": "parenthesis"}, "(5)"),
        (5, {"characteristic": 3}, "005"),
        (0.5, {"optionalCharacteristic": True}, ".5"),
        (5, {"mantissa": 2, "optionalMantissa": True}, "5"),
        (5.10, {"mantissa": 3, "trimMantissa": True}, "5.1"),
        (1234, {"exponential": True, "mantissa": 2}, "1.23e+3"),
        (23, {"output": "ordinal"}, "23rd"),
        (11, {"output": "ordinal"}, "11th"),
        (3725, {"output": "time"}, "1:02:05"),
        (2048, {"output": "byte", "base": "binary"}, "2KiB"),
        (2000, {"output": "byte", "base": "decimal", "spaceSeparated": True}, "2 KB"),
        (12.5, {"output": "currency", "currencySymbol": "€", "currencyPosition": "postfix", "mantissa": 2}, "12.50€"),
        (12.5, {"output": "currency", "currencySymbol": "€", "currencyPosition": "infix", "mantissa": 2}, "12€50"),
        (5, {"prefix": "~", "postfix": " kg"}, "~5 kg"),
    ],
)
def test_a_number_is_written_by_its_format(value, spec, text):
    assert format_number(value, spec) == text
    assert cells(["number", {"outputFormat": spec}], str(value)) == [text]


@pytest.mark.parametrize(
    "preset", ["usd", "usd_accounting", "gbp", "eur", "percent_2", "decimal_2", "integer", "default"]
)
def test_a_preset_reads_back_what_it_displays(preset):
    from sandbox.engine.types import make_kind

    kind = make_kind({"key": "a", "type": ["number", preset]})
    for value in (0, 1, -1, 1234.5, -9876543.21, 0.07):
        (read,) = cells(["number", preset], str(value))
        assert cells(["number", preset], kind.display(read)) == [read]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("27 Mar 2024", "2024-03-27"),
        ("27th of March 2024", "2024-03-27"),
        ("Wednesday, March 27, 2024", "2024-03-27"),
        ("2024-W13-3", "2024-03-27"),
        ("2024-087", "2024-03-27"),
        ("27-Mar-24", "2024-03-27"),
        ("2024.3.7", "2024-03-07"),
        ("2024-03-27 10:30:00+02:00", "2024-03-27"),
        ("2024-03", Fault("date")),
        ("tomorrow", Fault("date")),
        ("1/2", Fault("date")),
        ("0000-01-01", Fault("date")),
        ("2024-366", "2024-12-31"),
        ("2023-366", Fault("date")),
    ],
)
def test_a_date_is_read_however_it_is_written(text, value):
    assert cells("date", text) == [value]


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("de-DE", "27. März 2024"),
        ("fr-FR", "27 mars 2024"),
        ("es-ES", "27 de marzo de 2024"),
        ("ja-JP", "2024年3月27日"),
        ("hu-HU", "2024. 03. 27."),
        ("ar-SY", "٢٧/٣/٢٠٢٤"),
        ("th-TH", "27/3/2567"),
        ("en-GB", "27/03/2024"),
    ],
)
def test_a_locale_s_dates_are_read(locale, text):
    assert cells(["date", {"locale": locale}], text) == ["2024-03-27"]


def test_a_column_of_datetimes_has_one_order_too():
    assert cells("datetime", "03/04/2024 10:00", "27/03/2024 11:00") == ["2024-04-03T10:00", "2024-03-27T11:00"]


def test_a_display_format_decides_the_order_and_is_read():
    assert cells(["date", {"displayFormat": "dd/MM/yyyy"}], "03/04/2024") == ["2024-04-03"]
    assert cells(["date", {"displayFormat": "yyMMdd"}], "240327") == ["2024-03-27"]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("yyyy-MM-dd'T'HH:mm:ss", "2024-03-07T15:20:05"),
        ("d.M.yy", "7.3.24"),
        ("EEEE, MMMM d, yyyy", "Thursday, March 7, 2024"),
        ("EEE MMM dd", "Thu Mar 07"),
        ("h:mm a", "3:20 PM"),
        ("hh 'o''clock'", "03 oclock"),
        ("D", "3/7/2024"),
        ("DD", "Mar 7, 2024"),
        ("DDD", "March 7, 2024"),
        ("DDDD", "Thursday, March 7, 2024"),
        ("f", "3/7/2024, 3:20 PM"),
        ("F", "3/7/2024, 3:20:05 PM"),
        ("T", "15:20"),
        ("TT", "15:20:05"),
        ("kkkk-'W'WW", "2024-W10"),
        ("ooo q", "067 1"),
        ("X", "1709824805"),
        ("ZZ z", "+00:00 UTC"),
        ("[ISO]", "2024-03-07T15:20:05"),
    ],
)
def test_a_moment_is_written_by_tokens(form, text):
    assert cells(["datetime", {"outputFormat": form, "withSeconds": True}], "2024-03-07T15:20:05") == [text]


def test_a_select_accepts_label_value_and_other_names_and_returns_the_value():
    assert cells("select", "Red", "r", "ROUGE", "2", "blu", selectOptions=OPTIONS) == ["r", "r", "r", 2, "select"]


def test_exact_match_only_holds_for_the_field_or_for_one_option():
    assert cells(["select", {"exactMatchOnly": True}], "red", selectOptions=OPTIONS) == ["select"]
    one = [{"label": "Red", "value": "r", "exactMatchOnly": True}, {"label": "Blue", "value": "b"}]
    assert cells("select", "red", "blue", "Red", selectOptions=one) == ["select", "b", "r"]


def test_an_option_named_twice_is_a_warning():
    field = {"key": "c", "label": "C", "type": "multi-select", "selectOptions": OPTIONS}
    outcome = run('c\n"Red,r,Blue"\n', field)
    assert (outcome.rows, len(outcome.metadata["warnings"])) == ([{"c": ["r", 2]}], 1)


def test_many_columns_of_a_multi_select_make_one_flat_list():
    field = {"key": "c", "label": "C", "type": "multi-select", "selectOptions": OPTIONS, "manyToOne": True}
    assert run('c1,c2,c3\nRed,"Blue,Red",\n', field).rows == [{"c": ["r", 2]}]


def test_a_phone_number_loses_its_extension():
    assert cells("phone-number", "+1 212 867 5309 ext. 12") == ["+12128675309"]


def test_a_phone_number_has_the_form_its_format_asks_for():
    gb = {"format": "national", "country": "GB"}
    assert cells(["phone-number", gb], "020 7946 0958", "+44 20 7946 0958") == ["02079460958", "phone-number"]
    assert cells("phone-number", "212 867 5309") == ["phone-number"]
    assert cells(["phone-number", {"format": "both", "country": "US"}], "212-867-5309") == ["+1 212 867 5309"]


def test_an_accepted_domain_is_no_suffix_of_a_name():
    dromo = ["url", {"acceptedDomains": ["dromo.io"]}]
    assert cells(dromo, "https://notdromo.io/", "https://a.dromo.io") == ["url-domain", "https://a.dromo.io/"]
    assert cells(["url", {"acceptedProtocols": ["https:"]}], "https://x.io", "ftp://x.io") == [
        "https://x.io/",
        "protocol",
    ]


def test_a_uuid_may_have_to_be_of_one_version():
    v4 = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"
    assert cells(["uuid", {"version": 7}], v4) == ["uuid-version"]
    assert cells("uuid", v4.replace("4bad", "9bad"), v4.replace("-9bdd", "-7bdd")) == ["uuid", "uuid"]


def test_the_field_s_own_message_replaces_the_type_s():
    outcome = run("n\nx\n", {"key": "n", "label": "n", "type": "number", "invalidValueMessage": "Digits, please."})
    assert outcome.metadata["errors"][0]["message"] == "Digits, please."


@pytest.mark.parametrize(
    ("locale", "form", "text"),
    [
        ("de-DE", "DD", "29. Feb. 2024"),
        ("de-DE", "ff", "29. Feb. 2024, 09:05"),
        ("de-DE", "fff", "29. Februar 2024 um 09:05 UTC"),
        ("de-DE", "ccc", "Do"),
        ("de-DE", "EEE, d. MMMM", "Do., 29. Februar"),
        ("en-US", "fff", "February 29, 2024 at 9:05 AM UTC"),
        ("en-US", "kkkk-'W'WW-E", "2024-W09-4"),
        ("en-US", "iiii n", "2024 9"),
        ("en-US", "yyyy'", "2024"),
        ("en-US", "''", "'"),
        ("en-US", "yyyy 'and the rest", "2024 and the rest"),
        ("en-GB", "D", "29/02/2024"),
        ("en-CA", "D", "2024-02-29"),
        ("fr-FR", "DDDD", "jeudi 29 février 2024"),
        ("fr-FR", "ff", "29 févr. 2024, 09:05"),
        ("fr-FR", "MMMMM EEEEE", "F J"),
        ("fr-FR", "G", "ap. J.-C."),
        ("fr-CA", "T", "09 h 05"),
        ("ja-JP", "DDDD", "2024年2月29日木曜日"),
        ("ja-JP", "MMM", "2"),
        ("ja-JP", "T", "9:05"),
        ("es-ES", "TT", "9:05:07"),
        ("zh-CN", "LLLL", "二月"),
        ("de-US", "MMMM", "Februar"),
        ("no-NO", "MMMM", "februar"),
    ],
)
def test_a_format_follows_its_locale(locale, form, text):
    options = {"locale": locale, "outputFormat": form, "withSeconds": True}
    assert cells(["datetime", options], "2024-02-29T09:05:07") == [text]


def test_a_locale_s_names_do_not_leak_into_another_s():
    for locale, month in (("zh-CN", "二月"), ("pl-PL", "luty"), ("da-DK", "februar"), ("cs-CZ", "únor")):
        assert cells(["date", {"locale": locale, "outputFormat": "LLLL"}], "2024-02-29") == [month]


@pytest.mark.parametrize(
    ("options", "text", "day"),
    [
        ({}, "27/Mar/2024", "2024-03-27"),
        ({}, "27.Mar.2024", "2024-03-27"),
        ({}, "2024/Mar/27", "2024-03-27"),
        ({}, "2024-03-27T10:30:00+01:00[Europe/Berlin]", "2024-03-27"),
        ({"displayFormat": "ddMMyyyy"}, "27032024", "2024-03-27"),
        ({"displayFormat": "ddMMyyyy"}, "01022024", "2024-02-01"),
        ({"displayFormat": "yy-MM-dd"}, "24-03-27", "2024-03-27"),
        ({"locale": "ja-JP"}, "24/03/27", "2024-03-27"),
        ({"locale": "ja-JP"}, "2024年3月27日", "2024-03-27"),
        ({"locale": "de-DE"}, "27. März 24", "2024-03-27"),
        ({"locale": "fr-FR"}, "1er janvier 2024", "2024-01-01"),
    ],
)
def test_a_date_is_read_in_the_forms_people_write(options, text, day):
    assert cells(["date", options], text) == [day]


def test_a_single_hour_after_a_t_is_a_time():
    assert cells("datetime", "2024-03-27T10", "2024-03-27T10Z") == ["2024-03-27T10:00"] * 2
    assert cells("time", "T10") == ["10:00"]
    assert cells("time", "10") == ["time"]


def test_a_zone_that_a_display_format_names_is_read_and_dropped():
    options = {"displayFormat": "yyyy-MM-dd HH:mm ZZ", "autofix": False}
    assert cells(["datetime", options], "2024-03-27 10:30 +02:00") == ["2024-03-27T10:30"]
    options = {"displayFormat": "yyyy-MM-dd HH:mm z", "autofix": False}
    assert cells(["datetime", options], "2024-03-27 10:30 Europe/Berlin") == ["2024-03-27T10:30"]


def test_an_email_s_host_is_no_address_of_numbers():
    assert cells("email", "a@x.123", "a@1.2.3.4", "a@1.2", "a@x") == ["a@x.123", "email", "email", "email"]


def test_a_country_dials_the_numbers_of_those_that_share_its_code():
    us = ["phone-number", {"format": "national", "country": "US"}]
    assert cells(us, "416-967-1111") == ["4169671111"]
    assert cells(["phone-number", {"format": "national", "country": "GB"}], "07911 123456") == ["07911123456"]


def test_letters_are_no_digits_of_a_phone_number():
    assert cells("phone-number", "+1-800-FLOWERS", "tel:+12128675309") == ["phone-number", "+12128675309"]


def test_a_select_value_matches_in_another_unicode_form():
    option = [{"label": "Pr\u00e9nom", "value": "p"}]
    assert cells("select", "Pre\u0301nom", selectOptions=option) == ["p"]
