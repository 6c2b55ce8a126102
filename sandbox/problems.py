"""Answers other than success: the API's in the JSON of Django REST framework, the storage's in the XML of S3."""

import math
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from typing import Any, Literal
from xml.sax.saxutils import escape

import orjson

from sandbox.hooks import TooDeep, shallow

RetryAfter = Literal["seconds", "date", "absent"]


class ApiProblem(Exception):
    """An API answer other than success: `status`, a JSON `body`, and extra `headers`."""

    def __init__(self, status: int, body: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"the API answers {status}")
        self.status = status
        self.body = dict(body)
        self.headers = dict(headers or {})


class StorageProblem(Exception):
    """A storage answer other than success: `status`, an S3 error `code`, and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"the storage answers {status} {code}")
        self.status = status
        self.code = code
        self.message = message

    @property
    def xml(self) -> str:
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{escape(self.code)}</Code><Message>{escape(self.message)}</Message></Error>"
        )


def parse_json(body: bytes) -> object:
    """Return the JSON value of a request. Raises ApiProblem 400, also for one that could not be written again."""
    try:
        decoded: object = orjson.loads(body)
        return shallow(decoded)
    except (orjson.JSONDecodeError, TooDeep) as error:
        raise ApiProblem(400, {"detail": f"JSON parse error - {error}"}) from None


def not_found() -> ApiProblem:
    return ApiProblem(404, {"detail": "Not found."})


def throttled(retry_after_s: int | None, *, now: float, header: RetryAfter = "seconds") -> ApiProblem:
    """Return a 429; `retry_after_s` None leaves out both the hint and the header."""
    detail = "Request was throttled."
    if retry_after_s is None:
        return ApiProblem(429, {"detail": detail})
    unit = "second" if retry_after_s == 1 else "seconds"
    detail = f"{detail} Expected available in {retry_after_s} {unit}."
    if header == "absent":
        return ApiProblem(429, {"detail": detail})
    # A date has no fractions: round up, so that it never names an instant before the quota is free.
    text = str(retry_after_s) if header == "seconds" else formatdate(math.ceil(now) + retry_after_s, usegmt=True)
    return ApiProblem(429, {"detail": detail}, headers={"Retry-After": text})


def sentences_of(body: Any, path: str = "") -> Iterator[str]:
    """Yield the sentences of a problem's body, each with its path: `fields[1].type: ...`."""
    if isinstance(body, Mapping):
        for key, inner in body.items():
            yield from sentences_of(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(body, list):
        for at, inner in enumerate(body):
            yield from sentences_of(inner, path if isinstance(inner, str) else f"{path}[{at}]")
    else:
        yield f"{path}: {body}"


def invalid(field: str, *messages: str) -> ApiProblem:
    return ApiProblem(400, {field: list(messages)})
