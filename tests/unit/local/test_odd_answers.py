"""Whatever the vendor writes into its answers: a run goes on, and the items that it does not concern are collected."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.config.options import RunOptions
from runner.dromo.client import HeadlessClient
from runner.dromo.rate_limited import RateLimitedApi
from runner.dromo.storage import HttpStorage
from runner.local.pipeline import RunResult, run_batch
from runner.manifest.csv import csv
from runner.manifest.jsonl import jsonl
from tests.support.bench import BATCH_ID, Bench
from tests.support.memory_http import Asked, answered_by
from tests.support.rawserver import answer
from tests.support.scripted import LoopClock
from tests.support.vloop import run_virtually

API = "http://localhost/api/v1"
IMPORTS = "/api/v1/headless/imports/"
FILES = {"a.csv": b"a\n1\n", "b.csv": b"a\n2\n", "c.json": b'[{"a":3}]'}
LONGEST_S = timedelta(days=2).total_seconds()

FIELDS = (
    "id", "status", "schema_id", "original_filename", "created_date", "modified_date", "upload", "review_url",
    "result_metadata", "import_errors",
)  # fmt: skip
ENDS_OF_TIME = (
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:59",
    "1970-01-01T00:00:00Z", "-1000-01-01", "20269999T999999Z", "2026-W53-7", "2026-02-30",
)  # fmt: skip
URL = "http://localhost/storage/"
ODD_URLS = (
    *(
        f"{URL}import-1{query}"
        for query in (
            "?X-Amz-Date=20260101T000000Z&X-Amz-Expires=99999999999", "?X-Amz-Expires=0",
            "?X-Amz-Date=20269999T000000Z&X-Amz-Expires=1800",
            f"?X-Amz-Date=20260101T000000Z&X-Amz-Expires={'9' * 5000}",
            "?X-Amz-Date=99991231T235959Z&X-Amz-Expires=0", "?X-Amz-Date=00010101T000000Z&X-Amz-Expires=1",
            "?X-Amz-Date=²⁰²⁶⁰¹⁰¹T⁰⁰⁰⁰⁰⁰Z&X-Amz-Expires=²", "#\r\nX: y",
        )
    ),
    "http://[::1", "http://localhost:99999/x", "http://localhost:0/", "//", "http://\x00/", "https://10.0.0.1/x",
)  # fmt: skip
ODD_TEXTS = (
    "[" * 1000 + "]" * 1000, '{"a":' * 1000 + "1" + "}" * 1000, "[" * 100_000, "9" * 5000, "-" + "9" * 400, "1e999",
    "NaN", "-Infinity", '"\\ud800"', '"\\udfff\\u0000"', '"' + "x" * 300_000 + '"', "18446744073709551616", "", "tru",
    '"\\u0000"', '"\\u202e\\n\\t"', '{"message":' + "[" * 900 + "]" * 900 + "}", "\ufeff1", "1 2", "é",
    *map(json.dumps, ENDS_OF_TIME + ODD_URLS), '"SUCCESSFUL"', '"FAILED"', '"NEEDS_REVIEW"', '"AWAITING_UPLOAD"',
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
VALUES = st.sampled_from(ODD_TEXTS) | JSON.map(json.dumps)
ODD_DATES = (
    "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359",
    "Mon, 01 Jan 0001 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00 +99999999999", "Thu, 32 Foo 20269999 99:99:99 GMT",
)  # fmt: skip
ODD_HEADERS = st.sampled_from(
    (
        *ODD_DATES,
        "", "0", "-1", "9" * 5000, "1e400", "nan", "2026", "GMT", "br", "zstd", "gzip", "deflate", "gzip, gzip",
        "x" * 2000, "identity", "\xff\xfe", "\t", "compress;q=1", "1.5", "²",
    )
) | st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=40)  # fmt: skip


@dataclass(frozen=True)
class Oddity:
    """What is odd in the first `times` answers to a call: a header, or the JSON text at a place in the body.

    The place `None` is the whole body. Only answers about the first import are odd, unless it is a header or a page.
    """

    call: str
    times: int
    place: str | None = None
    text: str = ""
    header: str | None = None
    ending: str = "SUCCESSFUL"
    """How the first import ends."""


@dataclass
class HttpVendor:
    """A vendor and its storage over HTTP, whose imports succeed once they have data."""

    oddity: Oddity
    clock: LoopClock = field(default_factory=LoopClock)
    imports: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._left = self.oddity.times

    def answered(self, asked: Asked) -> bytes:
        path = asked.path.partition("?")[0]
        import_id = path.removesuffix("/url/").rstrip("/").rsplit("/", 1)[-1]
        if path.startswith("/storage/"):
            return self._stored(import_id) if asked.method == "PUT" else self._written("get", b'[{"a":1}]', import_id)
        if asked.method == "POST":
            return self._shown("create", self._created(json.loads(asked.body)), status=201)
        if path == IMPORTS:
            return self._listed()
        if path.endswith("/url/"):
            return self._shown("url", {"id": import_id, "presigned_url": f"{URL}results/{import_id}"})
        if path.startswith(IMPORTS) and import_id in self.imports:
            return self._shown("retrieve", self.imports[import_id])
        return answer(404, b'{"detail": "Not found."}')

    def _created(self, body: dict[str, Any]) -> dict[str, Any]:
        import_id = f"import-{len(self.imports) + 1}"
        now = self.clock.now()
        rows = body.get("initial_data")
        shown = dict.fromkeys(FIELDS) | {
            "id": import_id,
            "status": "AWAITING_UPLOAD" if rows is None else "SUCCESSFUL",
            "schema_id": body.get("schema_id"),
            "original_filename": body.get("original_filename"),
            "created_date": now.isoformat(),
            "modified_date": now.isoformat(),
            "upload": f"{URL}{import_id}?X-Amz-Date={now:%Y%m%dT%H%M%SZ}&X-Amz-Expires=1800",
        }
        self.imports[import_id] = shown
        return shown

    def _stored(self, import_id: str) -> bytes:
        if import_id in self.imports:
            self.imports[import_id]["status"] = self.oddity.ending if import_id == "import-1" else "SUCCESSFUL"
        return self._written("put", b"", import_id)

    def _listed(self) -> bytes:
        shown = [*reversed(self.imports.values())]
        page: dict[str, Any] = {"count": len(shown), "next": None, "previous": None, "results": shown}
        if self.oddity.call != "list" or self.oddity.place in (None, *page) or not shown:
            return self._shown("list", page)
        page["results"] = shown[:-1]
        first = self._odd("list", shown[-1]) if self.oddity.header is None else json.dumps(shown[-1])
        body = json.dumps(page).replace('"results": [', f'"results": [{first}{", " if len(shown) > 1 else ""}')
        return self._written("list", body.encode("utf-8", "surrogatepass"), None)

    def _shown(self, call: str, document: dict[str, Any], *, status: int = 200) -> bytes:
        concerned = call == "list" or document["id"] == "import-1"
        body = self._odd(call, document) if concerned and self.oddity.header is None else json.dumps(document)
        return self._written(call, body.encode("utf-8", "surrogatepass"), document.get("id"), status=status)

    def _odd(self, call: str, document: dict[str, Any]) -> str:
        if call != self.oddity.call or self._left <= 0:
            return json.dumps(document)
        self._left -= 1
        if self.oddity.place is None:
            return self.oddity.text
        return json.dumps(document | {self.oddity.place: "@odd@"}).replace('"@odd@"', self.oddity.text)

    def _written(self, call: str, body: bytes, _import_id: str | None, *, status: int = 200) -> bytes:
        headers = {"Date": f"{self.clock.now():%a, %d %b %Y %H:%M:%S} GMT"}
        if self.oddity.header is not None and call == self.oddity.call and self._left > 0:
            self._left -= 1
            headers[self.oddity.header] = self.oddity.text
            if self.oddity.header == "Retry-After" and call != "put":
                status = 429
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {status} S\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


CALLS = {
    "create": (*FIELDS, None),
    "retrieve": (*FIELDS, None),
    "list": (*FIELDS, "count", "next", "results", None),
    "url": ("presigned_url", None),
}
ODD_BODIES = st.sampled_from(sorted(CALLS)).flatmap(
    lambda call: st.builds(
        Oddity,
        call=st.just(call),
        times=st.integers(1, 12),
        place=st.sampled_from(CALLS[call]),
        text=VALUES,
        ending=st.sampled_from(("SUCCESSFUL", "FAILED", "NEEDS_REVIEW")),
    )
)
ODD_HEADS = st.builds(
    Oddity,
    call=st.sampled_from((*sorted(CALLS), "put", "get")),
    times=st.integers(1, 3),
    header=st.sampled_from(("Date", "Retry-After", "Content-Encoding")),
    text=ODD_HEADERS,
)


async def run_with(oddity: Oddity) -> tuple[RunResult, Bench, HttpVendor]:
    bench = Bench(FILES, options=RunOptions(quiet_period_s=60))
    vendor = HttpVendor(oddity)
    context = bench.context()
    async with AsyncExitStack() as stack:
        stack.enter_context(answered_by(vendor.answered))
        client = await stack.enter_async_context(HeadlessClient(API, "key", vendor_time=context.vendor_time))
        storage = await stack.enter_async_context(HttpStorage(API))
        context = replace(context, api=RateLimitedApi(client), storage=storage)
        result = await run_batch(await bench.start(), context)
        batch = await bench.batch()
        for write in (jsonl, csv):
            assert [part async for part in write(bench.ledger.items(BATCH_ID), batch)]
    return result, bench, vendor


async def check(oddity: Oddity) -> None:
    _, bench, vendor = await run_with(oddity)
    first = vendor.imports["import-1"]["original_filename"] or "c.json"
    is_of_one = oddity.header is None and (oddity.call != "list" or oddity.place in FIELDS)
    is_odd_itself = is_of_one or oddity.ending != "SUCCESSFUL"
    concerned = first[0] if is_odd_itself else None
    states = {source: state for source, state in (await bench.states()).items() if source[0] != concerned}
    assert set(states.values()) == {"collected"}, (await bench.states(), concerned)


def examples_of(count: int) -> Callable[[Any], Any]:
    return settings(max_examples=count, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


EVIL = (
    *(Oddity(call, 3, "created_date", json.dumps(text)) for call in ("create", "list") for text in ENDS_OF_TIME),
    *(Oddity(call, 3, "upload", json.dumps(url)) for call in ("create", "retrieve") for url in ODD_URLS),
    *(Oddity("url", 3, "presigned_url", json.dumps(url)) for url in ODD_URLS),
    *(Oddity("list", 3, place, text) for place in ("results", "id", "original_filename") for text in ODD_TEXTS[:24]),
    *(Oddity("retrieve", 3, place, text, ending=ending)
      for place in ("import_errors", "review_url", "result_metadata", "status")
      for ending in ("FAILED", "NEEDS_REVIEW") for text in ODD_TEXTS[:24]),
    *(Oddity("retrieve", 3, "id", text) for text in ('"import-2"', '"import-9"', "null")),
    *(Oddity(call, 3, header="Date", text=date) for call in CALLS for date in ODD_DATES),
)  # fmt: skip


def test_known_odd_answers_never_end_a_run() -> None:
    for oddity in EVIL:
        run_virtually(check(oddity), deadline=LONGEST_S)


@examples_of(150)
@given(oddity=ODD_BODIES | ODD_HEADS)
def test_an_odd_answer_never_ends_a_run_and_the_other_items_are_collected(oddity: Oddity) -> None:
    run_virtually(check(oddity), deadline=LONGEST_S)


@pytest.mark.slow
@examples_of(5000)
@given(oddity=ODD_BODIES | ODD_HEADS)
def test_an_odd_answer_never_ends_a_run_in_many_examples(oddity: Oddity) -> None:
    run_virtually(check(oddity), deadline=LONGEST_S)
