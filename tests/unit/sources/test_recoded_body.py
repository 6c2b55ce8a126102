"""Files in a named encoding: sent as UTF-8 of exactly the announced length, or rejected with the place of the byte."""

from __future__ import annotations

import codecs
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ItemRejected, SourceChanged
from runner.models import Item
from runner.sources import recoded_body
from runner.sources.recoded_body import RecodedBody, in_utf8
from tests.support.sources import CHUNK_BYTES, MemorySource


async def prepared(source: MemorySource, encoding: str | None, name: str = "a.csv"):
    return await in_utf8(await source.prepare(Item(batch_id="b", source=name)), encoding)


async def sent(body) -> bytes:
    return b"".join([chunk async for chunk in body.chunks()])


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1250", "Jméno\r\nŘehoř\r\n"),
        ("cp932", "名前\r\n山田太郎\r\n"),
        ("gb18030", "姓名\n王伟😀\n"),
        ("utf-16", "Имя\nИлья\n"),
    ],
)
async def test_the_file_is_sent_as_utf8_and_stays_what_it_is_in_the_ledger(encoding: str, text: str) -> None:
    raw = (text * 9000).encode(encoding)
    source = MemorySource({"a.csv": raw})
    plain = await source.prepare(Item(batch_id="b", source="a.csv"))
    found = await prepared(source, encoding)
    assert found.body is not None
    assert await sent(found.body) == await sent(found.body) == (text * 9000).encode()
    assert found.body.size_bytes == len((text * 9000).encode())
    assert replace(found, body=None) == replace(plain, body=None)


@given(text=st.text(st.characters(codec="cp1253"), min_size=1), lead=st.integers(0, 3))
async def test_no_cut_between_chunks_changes_a_text(text: str, lead: int) -> None:
    whole = "x" * (CHUNK_BYTES - lead) + text
    found = await prepared(MemorySource({"a.csv": whole.encode("cp1253")}), "cp1253")
    assert found.body is not None
    assert await sent(found.body) == whole.encode()
    assert found.body.size_bytes == len(whole.encode())


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        (b"\xef\xbb\xbfName\nJ\xc3\xbcrgen\n", "cp1252"),
        (b"PK\x03\x04 a workbook", "cp1252"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 a workbook", "cp1252"),
        (b"Name\nJ\xfcrgen\n", None),
    ],
    ids=["mark of UTF-8", "workbook", "old workbook", "no encoding"],
)
async def test_what_needs_no_change_is_sent_as_it_is(raw: bytes, encoding: str | None) -> None:
    found = await prepared(MemorySource({"a.csv": raw}), encoding)
    assert found.body is not None
    assert not isinstance(found.body, RecodedBody)
    assert await sent(found.body) == raw


async def test_a_mark_of_utf16_decides_instead_of_the_name() -> None:
    found = await prepared(MemorySource({"a.csv": codecs.BOM_UTF16_LE + "Jiří".encode("utf-16-le")}), "cp1250")
    assert found.body is not None
    assert await sent(found.body) == "Jiří".encode()


async def test_json_is_unicode_whatever_the_route_says() -> None:
    found = await prepared(MemorySource({"a.json": '[{"name": "Jiří"}]'.encode()}), "cp1250", "a.json")
    assert (found.body, found.rows) == (None, '[{"name": "Jiří"}]'.encode())


@pytest.mark.parametrize("lead", [0, 1, CHUNK_BYTES])
async def test_a_byte_without_meaning_is_named_with_offset_and_line(lead: int) -> None:
    raw = b"Name\n" + b"x" * lead + b"\nJ\x81rgen\n"
    with pytest.raises(ItemRejected) as caught:
        await prepared(MemorySource({"a.csv": raw}), "cp1252")
    assert caught.value.code == "not_in_encoding"
    assert f"the byte 0x81 at offset {raw.index(0x81):,}, in line 3," in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("raw", [b"Name,City\nAnn,Rome\n", "Name\nЯн\n".encode("utf-16-le"), b"\x81\x8d"])
async def test_a_file_without_the_mark_that_its_encoding_needs_is_rejected(encoding: str, raw: bytes) -> None:
    with pytest.raises(ItemRejected, match=rf"not in {encoding}") as caught:
        await prepared(MemorySource({"a.csv": raw}), encoding)
    assert caught.value.code == "not_in_encoding"


async def test_a_character_that_the_end_of_the_file_cuts_is_rejected() -> None:
    with pytest.raises(ItemRejected, match="0x93 at offset 7, in line 2"):
        await prepared(MemorySource({"a.csv": b"Name\nab\x93"}), "cp932")


async def test_a_file_that_changes_between_the_two_passes_is_noticed() -> None:
    source = MemorySource({"a.csv": "Řehoř".encode("cp1250")})
    found = await prepared(source, "cp1250")
    source.files["a.csv"] = "Řehoř2".encode("cp1250")
    assert found.body is not None
    with pytest.raises(SourceChanged):
        await sent(found.body)


async def test_the_limit_is_also_that_of_the_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recoded_body, "MAX_FILE_BYTES", 9)
    with pytest.raises(ItemRejected, match="10 bytes as UTF-8") as caught:
        await prepared(MemorySource({"a.csv": "ЖЖЖЖЖ".encode("cp1251")}), "cp1251")
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    ("raw", "is_utf8"),
    [
        ("Name\nJürgen\n".encode(), True),
        (("x" * (CHUNK_BYTES - 1) + "é" * CHUNK_BYTES).encode(), True),
        (b"Name\nJurgen\n", False),
        ("Name\nJürgen\n".encode("cp1252"), False),
        ("Name\nJürgen é".encode()[:-1], False),
    ],
    ids=["utf-8", "cut within a letter", "ascii", "as named", "ends within a letter"],
)
async def test_a_file_that_is_utf8_beyond_ascii_is_known_as_such_although_another_encoding_is_named(
    raw: bytes, is_utf8: bool
) -> None:
    body = (await prepared(MemorySource({"a.csv": raw}), "cp1252")).body
    assert isinstance(body, RecodedBody)
    assert body.is_utf8 is is_utf8
