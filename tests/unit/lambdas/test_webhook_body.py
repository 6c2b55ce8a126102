"""What is taken from a webhook's body: ids, from whatever bytes."""

from __future__ import annotations

import base64
import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.webhook_body import MAX_BODY_BYTES, body_of, import_ids
from tests.support.functions import managed, posted

ONE, TWO = "5b7ab3a5-2c41-4a4b-9d0b-6a8e5c1d2f30", "0e4f6f5e-61f5-4e0b-8a43-0c4f1c2b7d91"

json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.uuids().map(str),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["data", "headless", "id", "x"]), inner),
    max_leaves=20,
)


def test_the_import_of_a_managed_webhook_is_asked_for_first_then_the_upload() -> None:
    assert import_ids(managed(ONE, upload_id=TWO).encode()) == [ONE, TWO]


def test_an_id_that_stands_twice_is_asked_for_once() -> None:
    assert import_ids(managed(ONE).encode()) == [ONE]


def test_a_webhook_without_its_headless_part_is_taken_by_its_own_id() -> None:
    assert import_ids(json.dumps({"data": {"id": ONE}}).encode()) == [ONE]


def test_the_form_of_a_basic_webhook_is_read() -> None:
    assert import_ids(urlencode({"uploadId": ONE, "event": "x"}).encode()) == [ONE]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe{",
        b'{"data": null}',
        b'{"data": [{"id": 1}]}',
        b'{"data": {"id": {"$ne": null}}}',
        b'{"data": {"id": "../../x"}}',
        b'{"data": {"id": "' + ONE.encode() + b'\\n"}}',
        b'{"data": {"headless": {"id": "' + b"1" * 70_000 + b'"}}}',
        b'{"data": ' * 20_000,
        b"[" * 200_000,
        b'{"a":' + b"1" * 200_000 + b"}",
        b"uploadId=",
        b"uploadId=" + b"%" * 1000,
        b"&" * 1000,
        b"uploadId=%ff%fe",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_body_that_says_nothing_gives_no_id(body: bytes) -> None:
    assert import_ids(body) == []


@given(st.binary(max_size=4000))
def test_no_bytes_make_it_fail(body: bytes) -> None:
    assert isinstance(import_ids(body), list)


@given(json_values)
def test_from_whatever_json_only_ids_are_taken(value: object) -> None:
    for found in import_ids(json.dumps(value).encode()):
        assert len(found) == 36
        assert set(found) <= set("0123456789abcdefABCDEF-")


@given(st.text() | st.none(), st.booleans())
def test_whatever_the_body_it_is_read_or_refused(text: str | None, encoded: bool) -> None:
    event = posted(text) | {"isBase64Encoded": encoded}
    body = body_of(event)
    assert body is None or len(body) <= MAX_BODY_BYTES


def test_an_encoded_body_is_decoded() -> None:
    assert body_of(posted(b'{"data": 1}', encoded=True)) == b'{"data": 1}'


def test_a_body_is_taken_up_to_256_kilobytes() -> None:
    assert body_of(posted("x" * MAX_BODY_BYTES)) is not None
    assert body_of(posted("x" * (MAX_BODY_BYTES + 1))) is None
    assert body_of(posted("ä" * (MAX_BODY_BYTES // 2 + 1))) is None
    assert body_of(posted(b"x" * MAX_BODY_BYTES, encoded=True)) is not None
    assert body_of(posted(b"x" * (MAX_BODY_BYTES + 1), encoded=True)) is None


def test_a_body_far_too_large_is_not_even_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base64, "b64decode", lambda *_, **__: pytest.fail("decoded"))
    assert body_of(posted("A" * 6_000_000) | {"isBase64Encoded": True}) is None
