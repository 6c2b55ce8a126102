"""An S3 client with scripted responses that no S3 emulator gives, and retries without pauses."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from runner import retry as backoff


class ScriptedS3:
    """Answers each operation with its next script, an answer or an error; the last one is repeated.

    An operation without a script gets an empty response. `calls` are (operation, arguments).
    """

    def __init__(self, **scripts: list[Any]) -> None:
        self._scripts = scripts
        self.calls: list[tuple[str, dict[str, Any]]] = []

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.calls]

    def __getattr__(self, operation: str) -> Any:
        async def call(**arguments: Any) -> Any:
            self.calls.append((operation, arguments))
            script = self._scripts.get(operation, [{"UploadId": "u1", "ETag": '"e1"'}])
            answer = script.pop(0) if len(script) > 1 else script[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def refusal(status: int, code: str, message: str = "", **headers: str) -> ClientError:
    """Return the error that botocore raises for a response; `_` in the name of a header stands for `-`."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": named}
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, "Any")


def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry immediately, without pauses."""
    context: Any = backoff.stamina.retry_context

    def hasty(**options: Any) -> Any:
        return context(**{**options, "wait_initial": 0.0, "wait_max": 0.0, "wait_jitter": 0.0})

    monkeypatch.setattr(backoff.stamina, "retry_context", hasty)
