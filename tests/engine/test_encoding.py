"""The detection of encodings, by property: texts of many languages, sizes, and places of their first foreign byte."""

import random

import pytest

from benchmarks.encoding_words import HELD_OUT, LANGUAGES, PLAIN
from sandbox.engine.reading.code_pages import guesses
from sandbox.engine.reading.encoding import SAMPLE_BYTES, find_encoding
from tests.support.engine import run

NAME = {"key": "name", "label": "Name"}
CITY = {"key": "city", "label": "City"}
CHUNK_BYTES = 64 * 1024


def found(raw, chunk_bytes=CHUNK_BYTES):
    def chunks():
        return (raw[at : at + chunk_bytes] for at in range(0, len(raw), chunk_bytes))

    return find_encoding(raw[:SAMPLE_BYTES], chunks(), chunks)


def table(words, *, row_count, every=1):
    own, plain, rng = [word for word in words.split() if not word.isascii()], PLAIN.split(), random.Random(row_count)
    rows = (f"{rng.choice(own if at % every == 0 else plain)},{rng.choice(plain)}" for at in range(row_count))
    return "Name,City\r\n" + "\r\n".join(rows) + "\r\n"


@pytest.mark.parametrize(("language", "encoding"), LANGUAGES.items())
def test_fifty_words_of_a_language_decide_without_a_doubt(language, encoding):
    text = table(HELD_OUT[language], row_count=50)
    guess = found(text.encode(encoding))
    assert text.encode(encoding).decode(guess.name) == text
    assert guess.other is None


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("form", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_is_never_doubtful(language, form):
    text = table(HELD_OUT[language], row_count=20, every=5)
    guess = found(text.encode(form))
    assert text.encode(form).decode(guess.name) == text
    assert (guess.other, guess.bad_count) == (None, 0)


@pytest.mark.parametrize("word", ["José", "Müller", "Renée", "Zoë", "Ångström", "50 €", "Š. Capek"])
def test_one_western_word_is_enough_for_cp1252(word):
    raw = f"Name,City\r\n{word},Rome\r\n".encode("cp1252")
    assert raw.decode(found(raw).name) == f"Name,City\r\n{word},Rome\r\n"


def test_letters_that_are_the_same_in_two_code_pages_are_no_reason_to_warn():
    guess = found("Name,City\r\nMüller,Köln\r\nJörg,Fürth\r\n".encode("cp1250"))
    assert (guess.name, guess.other) == ("cp1252", None)


def test_a_doubtful_guess_names_both_and_shows_the_same_word_in_each():
    outcome = run("Name,City\r\nAnn,Rome\r\nCefalù,Rome\r\n".encode("cp1252"), NAME, CITY)
    (warning,) = outcome.metadata["warningDetails"]
    assert (warning["code"], warning["level"], warning["firstRow"]) == ("encoding_unclear", "note", 3)
    assert warning["message"] == "encoding unclear: cp1252 or cp1250; the file is read as cp1252."
    assert warning["sample"] == "Cefalù or Cefalů"


@pytest.mark.parametrize("at", [0, 1, 50, 99])
def test_one_line_of_another_code_page_in_utf8_is_replaced_wherever_it_is(at):
    lines = ["Jürgen,Köln".encode()] * 100
    lines[at] = "Jürgen,Köln".encode("cp1252")
    guess = found(b"Name,City\n" + b"\n".join(lines))
    assert (guess.name, guess.bad_count, guess.other) == ("utf-8", 2, None)


def test_three_rows_are_enough_to_see_that_a_text_is_mostly_utf8():
    lines = ["José,Rome".encode(), "Zoë,Rome".encode(), "Ana,León".encode("cp1252")]
    assert found(b"Name,City\n" + b"\n".join(lines)).name == "utf-8"


def test_foreign_bytes_after_the_sample_count_as_those_at_the_start():
    text = "Name,City\n" + "plain,text\n" * 20_000 + "Šárka,Plzeň\nJiří,Třebíč\n"
    assert found(text.encode("cp1250")).name == "cp1250"


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("encoding", ["cp932", "cp1252"])
def test_a_cut_between_two_chunks_cuts_no_character(encoding, chunk_bytes):
    text = table(HELD_OUT["Japanese" if encoding == "cp932" else "German"], row_count=12)
    guess = found(text.encode(encoding), chunk_bytes)
    assert text.encode(encoding).decode(guess.name) == text


def test_bytes_that_the_code_page_lacks_are_counted():
    raw = table(HELD_OUT["German"], row_count=30).encode("cp1252") + b"a\x81b,c\x81d\r\n"
    outcome = run(raw, NAME, CITY)
    assert outcome.metadata["encoding"] == "cp1252"
    assert "2 byte sequences are not valid cp1252 and were replaced." in outcome.metadata["warnings"]


def test_invalid_bytes_after_a_mark_of_utf8_are_counted():
    outcome = run(b"\xef\xbb\xbfName,City\nJ\xfcrgen,Rome\n", NAME, CITY)
    assert outcome.metadata["warnings"] == ["1 byte sequences are not valid UTF-8 and were replaced."]


def test_a_text_in_utf16_without_a_mark_is_found_by_its_line_ends_in_any_script():
    text = table(HELD_OUT["Japanese"], row_count=30)
    assert found(text.encode("utf-16-be")).name == "utf-16-be"


def test_the_most_plausible_words_win_and_rare_code_pages_lose_ties():
    best, *others = guesses(["Łódź".encode("cp1250")], [], seen=b"", hint=None, or_utf8=False)
    assert best.name == "cp1250"
    assert best.cost <= min(guess.cost for guess in others)


@pytest.mark.parametrize("word", ["zażółć", "więcej", "Łódź", "święto"])
def test_bytes_that_only_begin_like_utf8_are_no_utf8(word):
    assert found(f"Name,City\r\n{word},Rome\r\n".encode("cp1250")).name != "utf-8"
