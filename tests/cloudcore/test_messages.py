"""What queues carry is read as it was written, and what cannot be read is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from runner.cloud.messages import (
    BatchRef,
    ImportHint,
    ItemRef,
    ListPage,
    Message,
    ObjectCreated,
    StartLoad,
    SweepPage,
    decode,
    encode,
    from_event_bridge,
)
from runner.errors import MessageInvalid

AT = datetime(2026, 7, 23, 10, 15, 2, 123000, tzinfo=UTC)
MESSAGES: tuple[Message, ...] = (
    ObjectCreated(bucket="inbox", key="orders/a b+ü%20.csv", size_bytes=5, etag="e", version_id="v", at=AT),
    ObjectCreated(bucket="inbox", key="a.csv", size_bytes=0, etag="e", at=AT),
    ItemRef(batch_id="b", source="a.csv"),
    ItemRef(batch_id="b", source="\udcff.csv"),
    StartLoad(uri="s3://inbox/nightly", name="nightly", at=AT),
    StartLoad(uri="s3://inbox/nightly"),
    ListPage(batch_id="b"),
    ListPage(batch_id="b", token="1//x=", lap="2026-07-23T10:15:02.123Z"),
    SweepPage(at=AT),
    SweepPage(at=AT, token='["a", "v"]', oldest=AT),
    ImportHint(import_id="i"),
    ImportHint(import_id="i", at=AT),
    BatchRef(batch_id="b"),
)


def event(**changes: Any) -> dict[str, Any]:
    return {
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": "2026-07-23T10:15:02Z",
        "detail": {
            "bucket": {"name": "inbox"},
            "object": {"key": "orders/a b+%20.csv", "size": 5, "etag": "abc", "version-id": "v1", "sequencer": "0"},
            "reason": "PutObject",
        },
        **changes,
    }


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_read_as_it_was_written_in_plain_ascii(message: Message) -> None:
    text = encode(message)
    assert text.isascii()
    assert decode(text) == message


def test_an_event_of_s3_is_a_file_that_landed_its_key_taken_as_it_is() -> None:
    landed = ObjectCreated(
        bucket="inbox",
        key="orders/a b+%20.csv",
        size_bytes=5,
        etag="abc",
        version_id="v1",
        at=datetime(2026, 7, 23, 10, 15, 2, tzinfo=UTC),
    )
    assert from_event_bridge(event()) == landed
    assert decode(json.dumps(event())) == landed


@pytest.mark.parametrize("given", [{}, {"version-id": "null"}, {"version-id": ""}])
def test_an_object_without_a_version_has_none(given: dict[str, str]) -> None:
    raw = event()
    del raw["detail"]["object"]["version-id"]
    raw["detail"]["object"] |= given
    assert from_event_bridge(raw).version_id is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '"x"',
        "{}",
        '{"kind":"unheard_of"}',
        '{"kind":"item_ref","batch_id":"b"}',
        '{"kind":"item_ref","batch_id":"b","source":7}',
        '{"kind":"landed","bucket":"b","key":"k","size_bytes":-1,"etag":"e","at":"2026-07-23T10:15:02Z"}',
        '{"kind":"landed","bucket":"b","key":"k","size_bytes":1,"etag":"e"}',
        '{"kind":["item_ref"]}',
        json.dumps(event(**{"detail-type": "Object Deleted"})),
        json.dumps(event(detail={"bucket": {"name": "inbox"}})),
        json.dumps(event(detail={"bucket": "inbox", "object": {"key": "k"}})),
        json.dumps(event(time="yesterday")),
    ],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(MessageInvalid):
        decode(text)


def test_a_load_without_a_readable_time_is_one_of_now() -> None:
    text = '{"kind":"start_load","uri":"s3://inbox/n","name":"nightly","at":"<aws.scheduler.scheduled-time>"}'
    assert decode(text) == StartLoad(uri="s3://inbox/n", name="nightly")


def test_what_a_later_version_has_added_is_left_out() -> None:
    assert decode('{"kind":"batch_ref","batch_id":"b","more":1}') == BatchRef(batch_id="b")
