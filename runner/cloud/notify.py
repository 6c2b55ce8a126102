"""The notifier: publishes the end of a batch to SNS and EventBridge, and changes of the configuration to SNS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runner.errors import Unavailable
from runner.formatting import shown
from runner.local.outcome import ExitCode, end_in_words
from runner.models import ItemState

if TYPE_CHECKING:
    from runner.aws.services import Aws
    from runner.models import BatchState

EVENT_SOURCE = "bulkhead"
EVENT_TYPE = "Batch Ended"

CONFIG_SUBJECT = "Bulkhead: the configuration has changed"

_CONFIG_CHANGED = "config_changed"
_MAX_SUBJECT_CHARS = 99


class AwsNotifier:
    """Publishes to a topic, for people and programs, and to an event bus, for programs."""

    def __init__(self, aws: Aws, *, topic_arn: str, event_bus: str) -> None:
        self._aws = aws
        self._topic_arn = topic_arn
        self._event_bus = event_bus

    async def batch_ended(self, summary: Mapping[str, Any], *, state: BatchState) -> None:
        """Publish an end; `end` identifies a repeated one. Raises AwsRefused, ConfigError, Unavailable."""
        detail = json.dumps({**summary, "state": str(state)}, ensure_ascii=False)
        await self._put_event(detail)
        subject = f"Bulkhead: batch {summary['batch_id']} is {state}"
        await self._aws.call(
            "sns",
            "publish",
            TopicArn=self._topic_arn,
            Subject=_line(subject),
            MessageStructure="json",
            Message=json.dumps({"default": detail, "email": _mail(summary)}, ensure_ascii=False),
            MessageAttributes={"state": {"DataType": "String", "StringValue": str(state)}},
        )

    async def config_changed(self, sentence: str, changes: Sequence[str], *, place: str) -> None:
        """Publish a change of the configuration to the topic. Raises AwsRefused, ConfigError, Unavailable."""
        detail = {"event": _CONFIG_CHANGED, "place": place, "sentence": sentence, "changes": list(changes)}
        letter = "\n".join([sentence, "", *changes, "", f"Configuration: {place}"]) + "\n"
        await self._aws.call(
            "sns",
            "publish",
            TopicArn=self._topic_arn,
            Subject=CONFIG_SUBJECT,
            MessageStructure="json",
            Message=json.dumps(
                {"default": json.dumps(detail, ensure_ascii=False), "email": letter}, ensure_ascii=False
            ),
            MessageAttributes={"event": {"DataType": "String", "StringValue": _CONFIG_CHANGED}},
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
            raise Unavailable("EventBridge did not accept the event for the end of the batch")


def _line(text: str) -> str:
    """Return a text in the form that SNS requires of a subject: printable ASCII, fewer than 100 characters."""
    plain = "".join(char if char.isascii() and char.isprintable() else "?" for char in text)
    return plain[:_MAX_SUBJECT_CHARS]


def _mail(summary: Mapping[str, Any]) -> str:
    """Return the text of the mail: what a notification of a run says, where the manifest is, and the next command."""
    by_state = {ItemState(state): count for state, count in summary["by_state"].items() if count}
    code, manifest = ExitCode(summary["exit_code"]), str(summary["manifest"])
    lines = end_in_words(
        shown(summary["batch_id"]),
        "finished",
        code,
        by_state,
        source_uri=summary["source"],
        out=manifest.rpartition("/")[0],
        reason=summary["reason"],
        earlier_reviews=summary["earlier_review_count"],
    )
    next_step = _next_step(by_state, summary)
    return "\n".join([*lines, f"Manifest: {shown(manifest)}", *([f"Next: {next_step}"] if next_step else [])]) + "\n"


def _next_step(by_state: Mapping[ItemState, int], summary: Mapping[str, Any]) -> str:
    if by_state.get(ItemState.NEEDS_REVIEW) or summary["earlier_review_count"]:
        return "bulkhead cloud reviews"
    is_successful = summary["exit_code"] == ExitCode.OK
    return "" if is_successful else f"bulkhead cloud status {shown(summary['batch_id'])}"
