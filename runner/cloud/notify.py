"""SNS and EventBridge as those who are told of a batch's end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runner.errors import Unavailable

if TYPE_CHECKING:
    from runner.aws.services import Aws
    from runner.models import BatchState

EVENT_SOURCE = "bulkhead"
EVENT_TYPE = "Batch Ended"

_MAX_SUBJECT_CHARS = 99


class AwsAnnouncer:
    """Tells a topic, for people and programs, and an event bus, for programs, that a batch ended."""

    def __init__(self, aws: Aws, *, topic_arn: str, event_bus: str) -> None:
        self._aws = aws
        self._topic_arn = topic_arn
        self._event_bus = event_bus

    async def batch_ended(self, summary: Mapping[str, Any], *, state: BatchState) -> None:
        """Tell of an end; who is told twice knows it by `end`. Raises AwsRefused, ConfigError, Unavailable."""
        detail = json.dumps({**summary, "state": str(state)}, ensure_ascii=False)
        await self._put_event(detail)
        subject = f"Bulkhead: batch {summary['batch_id']} is {state}"
        await self._aws.call(
            "sns",
            "publish",
            TopicArn=self._topic_arn,
            Subject=_line(subject),
            MessageStructure="json",
            Message=json.dumps({"default": detail, "email": _letter(subject, summary)}, ensure_ascii=False),
            MessageAttributes={"state": {"DataType": "String", "StringValue": str(state)}},
        )

    async def _put_event(self, detail: str) -> None:
        entry = {
            "Source": EVENT_SOURCE,
            "DetailType": EVENT_TYPE,
            "Detail": detail,
            "EventBusName": self._event_bus,
        }
        answer = await self._aws.call("events", "put_events", Entries=[entry])
        if answer.get("FailedEntryCount"):
            raise Unavailable("EventBridge does not take the end of the batch")


def _line(text: str) -> str:
    """Return a text as SNS takes it for a subject: printable ASCII, below 100 characters."""
    plain = "".join(char if char.isascii() and char.isprintable() else "?" for char in text)
    return plain[:_MAX_SUBJECT_CHARS]


def _letter(subject: str, summary: Mapping[str, Any]) -> str:
    """Return what a person reads: the end, its reason, how many items are in which state, where the manifest lies."""
    states = [f"{count:>9,}  {state}" for state, count in summary["by_state"].items() if count]
    lines = [subject, str(summary.get("reason", "")), "", *states, "", f"Manifest: {summary.get('manifest', '')}"]
    return "\n".join(lines) + "\n"
