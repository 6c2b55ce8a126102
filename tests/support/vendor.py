"""The simulated vendor: the sandbox's state machine behind a wire that loses, delays, and repeats messages."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from runner.dromo.decoding import import_of
from runner.dromo.row_metadata import rows_of
from runner.errors import (
    AuthRefused,
    BulkheadError,
    ConditionUnsupported,
    ImportNotFound,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    RequestInvalid,
    SchemaNotFound,
    Unavailable,
    UploadRefused,
    UrlExpired,
)
from runner.masking import FORMS
from runner.models import CreateRequest, ImportPage, RemoteImport
from runner.packing.body import PackBody
from sandbox.api_state import SandboxState
from sandbox.problems import ApiProblem, StorageProblem
from sandbox.storage import import_id_of
from sandbox.storage_state import UploadTicket
from tests.support.inputs import SimulatedBody
from tests.support.process import EPOCH, Process, Trace
from tests.support.worlds import DeleteAnswer, Oddities

if TYPE_CHECKING:
    from runner.dromo.clock import VendorTime
    from runner.protocols import Body
    from tests.support.vloop import VirtualLoop
    from tests.support.weather import Call, Fate, Kind, Weather

CREATE_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 30.0
UPLOAD_TIMEOUT_S = 50.0
_BIND_S = 5.0
UNKNOWN_STATUS = "VALIDATING"

_T = TypeVar("_T")
Done = Callable[[object], None]


@dataclass(kw_only=True)
class Sightings:
    """What the vendor observed, independent of the code under test.

    `data_of` lists for each import the inputs whose data it received, in order; `posts` counts creates by input and
    outcome; `asked_at` are the instants of retrieves by import and process.
    """

    data_of: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    posts: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    asked_at: defaultdict[tuple[int, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    calls: Counter[str] = field(default_factory=Counter)
    deleted: set[str] = field(default_factory=set)
    """Imports that a person deleted while they waited for their file."""
    packs: set[str] = field(default_factory=set)
    """Imports that got packs."""
    dissolved: set[str] = field(default_factory=set)
    """Packs that were deleted, so that their members could be sent otherwise."""
    deleted_at: dict[str, float] = field(default_factory=dict)
    """When the first delete of an import was answered."""
    kept: dict[str, float] = field(default_factory=dict)
    """When the vendor first refused to delete an import."""
    reviewed: dict[str, float] = field(default_factory=dict)
    """When a person has finished the review of an import."""
    finished: dict[str, float] = field(default_factory=dict)
    """When a person has finished, or finishes, the review of an import although its delete was answered."""


@dataclass(kw_only=True)
class Habits:
    """How this vendor differs from the sandbox: a list that lags, its largest page, an undocumented status."""

    list_lag_s: float = 0.0
    page_size: int = 1000
    unknown_status: bool = False


class Vendor:
    """The other end of the wire. Effects happen at their own instants, even if their sender is dead."""

    def __init__(
        self,
        state: SandboxState,
        *,
        loop: VirtualLoop,
        weather: Weather,
        trace: Trace,
        habits: Habits | None = None,
        odd: Oddities | None = None,
    ) -> None:
        self.state = state
        self.weather = weather
        self.habits = habits or Habits()
        self.odd = odd or Oddities()
        self.seen = Sightings()
        self._loop = loop
        self._trace = trace
        self._coming: list[tuple[float, int, Process | None, Callable[[float], None]]] = []
        self._numbers = itertools.count()

    def wall(self, at: float) -> float:
        """Turn virtual time into the vendor's epoch seconds."""
        return EPOCH.timestamp() + at

    def now(self) -> float:
        return self.wall(self._loop.time())

    def at(self, instant: float, effect: Callable[[float], None], *, sender: Process | None) -> None:
        """Schedule `effect` at an instant of virtual time, in order with all others."""
        heapq.heappush(self._coming, (instant, next(self._numbers), sender, effect))
        self._loop.call_at(instant, self._happen)

    def sender_died(self, process: Process) -> None:
        """Decide for each request in progress whether it is lost, continues, or arrives later."""
        kept: list[tuple[float, int, Process | None, Callable[[float], None]]] = []
        for instant, number, sender, effect in sorted(self._coming, key=lambda one: one[:2]):
            later_s = self.weather.survives_kill() if sender is process else 0.0
            if later_s is not None:
                kept.append((instant + later_s, number, None, effect))
                self._loop.call_at(instant + later_s, self._happen)
        heapq.heapify(kept)
        self._coming = kept

    def stranger_creates(self, name: str, schema_id: str, *, at: float, upload_after_s: float) -> None:
        """Simulate another user who imports a file of that name: created at an instant, uploaded later."""
        source = f"a stranger's {name}, {at:.3f}"

        def create(instant: float) -> None:
            body = {"schema_id": schema_id, "original_filename": name}
            answer = _answer(lambda: self.state.create(body, self.wall(instant)))
            if isinstance(answer, dict):
                self.note("stranger.created", f"{answer['id']} {name}")
                self.at(instant + upload_after_s, lambda later: upload(answer, later), sender=None)

        def upload(answer: dict[str, Any], instant: float) -> None:
            data = orjson.dumps({"fate": "good", "mark": source})
            _stored(lambda: self.state.put_upload(answer["upload"], data, self.wall(instant)), only_if_absent=False)
            self.seen.data_of[answer["id"]].append(source)

        self.at(at, create, sender=None)

    def person_deletes(self, *, at: float, choice: float) -> None:
        """Simulate a person who deletes one of the imports that wait for a file; `choice`, in [0, 1), says which."""

        def delete(instant: float) -> None:
            found = self.state.list_imports(self.wall(instant), limit=1000)["results"]
            waiting = [one["id"] for one in found if one["status"] == "AWAITING_UPLOAD"]
            if waiting:
                import_id = waiting[int(choice * len(waiting))]
                self.state.delete(import_id, self.wall(instant))
                self.seen.deleted.add(import_id)
                self.note("person.deleted", import_id)

        self.at(at, delete, sender=None)

    def person_reviews(self, import_id: str) -> None:
        """Simulate a person who finishes the review of an import, unless it is finished."""
        with suppress(ApiProblem):
            self.state.finish_review(import_id, self.now())
            self.seen.reviewed[import_id] = self._loop.time()
            self.note("person.reviewed", import_id)

    def keeps(self, import_id: str, answer: DeleteAnswer, instant: float) -> None:
        """Do what follows from a request to delete an import that is answered with an error."""
        self.note("vendor.not_deleted", f"{import_id} {answer}")
        self.odd.struck.add(import_id)
        if answer.after_s is not None:
            self.at(instant + answer.after_s, lambda _: self._deletes_reviewed(import_id), sender=None)
        elif not isinstance(answer.error, Unavailable) and import_id not in self.seen.kept:
            self.seen.kept[import_id] = instant
            later_s, act = self.odd.person_acts_on_kept(import_id)
            acts = {"finishes": self.person_reviews, "deletes": self.person_deletes_reviewed}
            if act in acts:
                self.at(instant + later_s, lambda _: acts[act](import_id), sender=None)

    def person_deletes_reviewed(self, import_id: str) -> None:
        """Simulate a person who deletes an import that waits for its review, unless it does not."""
        if self._deletes_reviewed(import_id):
            self.seen.deleted.add(import_id)
            self.note("person.deleted", import_id)

    def _deletes_reviewed(self, import_id: str) -> bool:
        with suppress(ApiProblem):
            if self.state._settled(import_id, now=self.now()).status(self.now()) == "NEEDS_REVIEW":
                self.state.delete(import_id, self.now())
                self.seen.dissolved.add(import_id)
                self.seen.finished.pop(import_id, None)
                self.note("vendor.deleted", import_id)
                return True
        return False

    def finishes_instead(self, import_id: str, instant: float) -> bool:
        """Decide whether a person finishes the review of an import instead of its being deleted."""
        later_s = self.odd.finishes_after_delete_s(import_id)
        if later_s is None:
            return False
        if import_id not in self.seen.finished:
            self.seen.finished[import_id] = instant + later_s
            self.at(instant + later_s, lambda _: self.person_reviews(import_id), sender=None)
        return True

    def listed(self, now: float) -> list[dict[str, Any]]:
        """Return every import as the list shows it: as it was `list_lag_s` ago, newest first."""
        as_of = now - self.habits.list_lag_s - self.odd.list_lag_s
        found = self.state.list_imports(as_of, limit=1000)["results"]
        shown = [one for one in found if self._is_listed(one, now=now, as_of=as_of)]
        return self.odd.arranged(shown, now=now)

    def _is_listed(self, found: dict[str, Any], *, now: float, as_of: float) -> bool:
        made_at = _instant(found["created_date"]).timestamp()
        if self._is_hidden(found["id"], now=now):
            return False
        return made_at <= as_of and not self.odd.is_unlisted(found["id"], now=now, made_at=made_at)

    def retrieve(self, import_id: str, now: float) -> dict[str, Any]:
        found = self.state.retrieve(import_id, now)
        self._refuse_unknown("retrieve", found, now=now)
        return found

    def results_url(self, import_id: str, now: float) -> dict[str, Any]:
        made = self.state._settled(import_id, now=now).short(now)
        self._refuse_unknown("url", made, now=now)
        return self.state.results_url(import_id, now)

    def _refuse_unknown(self, call: Call, found: dict[str, Any], *, now: float) -> None:
        """Raise the 404 of a vendor that does not know an import of its own."""
        made_at = _instant(found["created_date"]).timestamp()
        is_hidden = self._is_hidden(found["id"], now=now)
        if is_hidden or self.odd.is_unknown(call, found["id"], now=now, made_at=made_at):
            self.note("vendor.odd404", f"{call} {found['id']}")
            raise ApiProblem(404, {"detail": "Not found."})

    def _is_hidden(self, import_id: str, *, now: float) -> bool:
        at = self.seen.finished.get(import_id)
        return at is not None and now < self.wall(at) and self.odd.hides_until_finished(import_id)

    def shown(self, found: dict[str, Any]) -> RemoteImport:
        """Return an import as its answer shows it."""
        status, name = found["status"], found.get("original_filename")
        return RemoteImport(
            import_id=found["id"],
            status=UNKNOWN_STATUS if self.habits.unknown_status and status == "PENDING" else status,
            schema_id=found.get("schema_id"),
            original_filename=self.odd.json_name(found["id"]) if name is None else name,
            created_at=_instant(found["created_date"]),
            modified_at=_instant(found["modified_date"]),
            upload_url=found.get("upload"),
            review_url=found.get("review_url"),
            import_errors=import_of(found).import_errors if found.get("import_errors") else (),
            rows=rows_of(self.odd.metadata(found["id"], found.get("result_metadata")), FORMS),
            result_metadata=_object(self.odd.metadata(found["id"], found.get("result_metadata"))),
        )

    def statuses(self) -> Iterator[tuple[str, str]]:
        """Yield the id and the status of every import, newest first; much cheaper than the whole list."""
        now = self.now()
        for import_id in reversed(self.state._account.imports):
            yield import_id, self.state._settled(import_id, now=now).status(now)

    def _happen(self) -> None:
        while self._coming and self._coming[0][0] <= self._loop.time():
            instant, _, _, effect = heapq.heappop(self._coming)
            effect(instant)

    def note(self, kind: str, detail: str = "") -> None:
        self._trace.note(kind, detail)


class Exchange:
    """One request and its response, subject to the fate of the call."""

    def __init__(
        self,
        vendor: Vendor,
        process: Process,
        loop: VirtualLoop,
        *,
        vendor_time: VendorTime | None = None,
    ) -> None:
        self.vendor = vendor
        self.process = process
        self.loop = loop
        self._vendor_time = vendor_time
        self.answered: list[dict[str, Any]] = []
        """Responses to earlier creates of files: their imports have an owner."""

    async def call(
        self,
        call: Call,
        key: str,
        effect: Callable[[float, Done], None],
        *,
        timeout_s: float,
        doubtful: bool,
        detail: str = "",
    ) -> Any:
        """Send a request, run `effect(instant, done)` or not, and return what `done` was given.

        Raises the error that `done` was given, NotSent, OutcomeUnknown for a `doubtful` call, Unavailable for a read,
        and RateLimited.
        """
        fate = self.vendor.weather.fate(call, key, self.loop.time())
        self.vendor.seen.calls[call] += 1
        asked_at = self.loop.time()
        await self.process.event(f"{call}.sent", f"{detail or key} {fate.kind}")
        answered_at = datetime.fromtimestamp(int(self.vendor.now() + self.vendor.odd.date_off_s + fate.up_s), UTC)
        answer: asyncio.Future[object] = self.loop.create_future()
        self._send(fate, effect, _into(answer), timeout_s=timeout_s, doubtful=doubtful)
        timer = self.loop.call_later(timeout_s, _into(answer), _lost("no answer in time", doubtful=doubtful))
        try:
            value = await answer
        finally:
            timer.cancel()
        outcome = type(value).__name__ if isinstance(value, Exception) else "answered"
        await self.process.event(f"{call}.{outcome}", detail or key)
        if isinstance(value, Exception):
            raise value
        if self._vendor_time is not None:
            self._vendor_time.answered(answered_at, asked_at=asked_at)
        return value

    def _send(
        self, fate: Fate, effect: Callable[[float, Done], None], deliver: Done, *, timeout_s: float, doubtful: bool
    ) -> None:
        sent, arrives = self.loop.time(), self.loop.time() + fate.up_s
        lost = _lost("the connection was cut", doubtful=doubtful)
        error = _lost("the server answers 503", doubtful=doubtful)

        def back(value: object) -> None:
            crossed = fate.kind == "crossed" and self.answered
            self.loop.call_later(fate.down_s, deliver, self.answered[0] if crossed else value)

        def after(instead: object) -> Callable[[float], None]:
            return lambda instant: effect(instant, lambda _: back(instead))

        without_effect: dict[Kind, BulkheadError] = {
            "not_sent": NotSent("no connection"),
            "lost_before": lost,
            "cut": lost,
            "error_before": error,
            "throttled": RateLimited("throttled", retry_after_s=fate.retry_after_s),
            "expired": UrlExpired("Request has expired"),
        }
        match fate.kind:
            case kind if kind in without_effect:
                self.loop.call_at(arrives, deliver, without_effect[kind])
            case "lost_after":
                self.vendor.at(arrives, after(lost), sender=self.process)
            case "error_after":
                self.vendor.at(arrives, after(error), sender=self.process)
            case "late":
                self.loop.call_later(min(fate.up_s + fate.down_s, timeout_s), deliver, lost)
                self.vendor.at(sent + fate.late_s, lambda instant: effect(instant, _nobody), sender=self.process)
            case _:
                self.vendor.at(arrives, lambda instant: effect(instant, back), sender=self.process)


def _nobody(_value: object) -> None:
    """Ignore the response: nothing waits for it any more."""


def _into(answer: asyncio.Future[object]) -> Done:
    def deliver(value: object) -> None:
        if not answer.done():
            answer.set_result(value)

    return deliver


def _lost(sentence: str, *, doubtful: bool) -> BulkheadError:
    return OutcomeUnknown(sentence) if doubtful else Unavailable(sentence)


class SimulatedApi:
    """Implements ImportsApi for one process."""

    def __init__(
        self,
        vendor: Vendor,
        process: Process,
        loop: VirtualLoop,
        *,
        life: int = 0,
        vendor_time: VendorTime | None = None,
    ) -> None:
        self._vendor = vendor
        self._exchange = Exchange(vendor, process, loop, vendor_time=vendor_time)
        self._loop = loop
        self._life = life
        self.before_create: Callable[[CreateRequest, str | None], None] = lambda _request, _source: None
        self.on_created: Callable[[RemoteImport], None] = lambda _remote: None
        self.on_listed: Callable[[tuple[RemoteImport, ...]], None] = lambda _page: None

    async def create(self, request: CreateRequest) -> RemoteImport:
        rows = orjson.loads(request.initial_data) if request.initial_data is not None else None
        source = None if rows is None else str(rows[0]["mark"])
        self.before_create(request, source)
        body = _create_body(request, rows)

        def effect(instant: float, done: Done) -> None:
            answer = _answer(lambda: self._vendor.state.create(body, self._vendor.wall(instant)), create=True)
            if isinstance(answer, dict):
                self._vendor.note("vendor.created", f"{answer['id']} {request.original_filename or source}")
                if source is not None:
                    self._vendor.seen.data_of[answer["id"]].append(source)
            done(answer)

        key = source or request.original_filename or ""
        try:
            found = await self._exchange.call("create", key, effect, timeout_s=CREATE_TIMEOUT_S, doubtful=True)
        except BulkheadError as error:
            self._vendor.seen.posts[self._life, key, type(error).__name__] += 1
            raise
        self._vendor.seen.posts[self._life, key, "answered"] += 1
        if source is None:
            self._loop.call_later(_BIND_S, self._exchange.answered.append, found)
        remote = self._vendor.shown(found)
        self.on_created(remote)
        return remote

    async def retrieve(self, import_id: str) -> RemoteImport:
        self._vendor.seen.asked_at[self._life, import_id].append(self._loop.time())
        found = await self._read("retrieve", import_id, lambda now: self._vendor.retrieve(import_id, now))
        return self._vendor.shown(found)

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        vendor = self._vendor
        found = await self._read("list", str(offset), vendor.listed)
        last = offset + min(limit, vendor.odd.page_size(vendor.habits.page_size))
        page = tuple(vendor.shown(one) for one in found[offset:last])
        self.on_listed(page)
        return ImportPage(count=len(found), imports=page, has_next=last < len(found))

    async def results_url(self, import_id: str) -> str:
        found = await self._read("url", import_id, lambda now: self._vendor.results_url(import_id, now))
        return str(found["presigned_url"])

    async def delete(self, import_id: str) -> None:
        def effect(instant: float, done: Done) -> None:
            odd = self._vendor.odd.answer_to_delete(import_id, now=self._vendor.wall(instant))
            if odd.error is not None:
                self._vendor.keeps(import_id, odd, instant)
                done(odd.error)
                return
            self._vendor.seen.deleted_at.setdefault(import_id, instant)
            if self._vendor.finishes_instead(import_id, instant):
                done(None)
                return
            answer = _answer(lambda: self._vendor.state.delete(import_id, self._vendor.wall(instant)))
            if not isinstance(answer, BulkheadError):
                self._vendor.seen.dissolved.add(import_id)
                self._vendor.note("vendor.deleted", import_id)
            done(answer)

        await self._exchange.call("upload", import_id, effect, timeout_s=READ_TIMEOUT_S, doubtful=False)

    async def schema_names(self) -> dict[str, str]:
        saved = await self._read("list", "schemas", lambda _now: self._vendor.state.schemas.all())
        return {str(one["id"]): str(one.get("name", "")) for one in saved}

    async def schema(self, schema_id: str) -> dict[str, Any]:
        try:
            return await self._read("retrieve", schema_id, lambda _now: self._vendor.state.schemas.get(schema_id))
        except ImportNotFound as error:
            raise SchemaNotFound(str(error)) from None

    async def _read(self, call: Call, key: str, look: Callable[[float], Any]) -> Any:
        def effect(instant: float, done: Done) -> None:
            done(_answer(lambda: look(self._vendor.wall(instant))))

        return await self._exchange.call(call, key, effect, timeout_s=READ_TIMEOUT_S, doubtful=False)


class SimulatedStorage:
    """Implements Storage for one process."""

    def __init__(self, vendor: Vendor, process: Process, loop: VirtualLoop) -> None:
        self._vendor = vendor
        self._exchange = Exchange(vendor, process, loop)
        self.before_upload: Callable[[str, str], None] = lambda _import_id, _source: None
        self.before_pack: Callable[[str, PackBody], list[str]] = lambda _import_id, _body: []
        """Returns the names of the data of the members."""

    async def put(self, url: str, body: Body, *, only_if_absent: bool) -> bool:
        import_id = _import_of(url)
        if isinstance(body, PackBody):
            name, carried = "a pack", self.before_pack(import_id, body)
            self._vendor.seen.packs.add(import_id)
        else:
            assert isinstance(body, SimulatedBody)
            name, carried = body.source, [body.data]
            self.before_upload(import_id, body.source)
        data = b"".join([chunk async for chunk in body.chunks()])
        heeded = only_if_absent and self._vendor.odd.takes_conditions
        headers = {"content-length": str(len(data)), **({"if-none-match": "*"} if heeded else {})}
        transfer_s = self._vendor.weather.latency()

        def begin(instant: float, done: Done) -> None:
            state, now = self._vendor.state, self._vendor.wall(instant)
            ticket = _stored(lambda: state.begin_upload(url, headers, now), only_if_absent=only_if_absent)
            if self._vendor.odd.refuses_transfer("upload", import_id, now=now):
                done(UploadRefused("storage refuses the upload (HTTP 403 AccessDenied)", may_pass=True))
            elif self._vendor.odd.is_expired("upload", import_id, now=now):
                done(UrlExpired("Request has expired"))
            elif isinstance(ticket, UploadTicket):
                self._vendor.at(
                    instant + transfer_s, lambda later: finish(ticket, later, done), sender=self._exchange.process
                )
            else:
                done(ticket)

        def finish(ticket: UploadTicket, instant: float, done: Done) -> None:
            state, now = self._vendor.state, self._vendor.wall(instant)
            blob = state.storage.put(f"{import_id}.upload", data)
            stored: Any = "swallowed"
            if not self._vendor.odd.swallows(import_id):
                stored = _stored(lambda: state.finish_upload(ticket, blob, now), only_if_absent=only_if_absent)
                if isinstance(stored, str):
                    self._vendor.seen.data_of[import_id] += carried
            if isinstance(stored, str):
                self._vendor.note("vendor.stored", f"{import_id} {name}")
            done(True if isinstance(stored, str) else stored)

        detail = f"{import_id} {name}"
        stored = await self._exchange.call(
            "upload", import_id, begin, timeout_s=UPLOAD_TIMEOUT_S, doubtful=True, detail=detail
        )
        return bool(stored)

    @asynccontextmanager
    async def get(self, url: str, *, most_bytes: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        import_id = _import_of(url)
        is_pack = import_id in self._vendor.seen.packs
        key = f"{import_id} as a pack" if is_pack else import_id
        fate = self._vendor.weather.fate("download", key, self._exchange.loop.time())
        await self._exchange.process.event("download.sent", f"{import_id} {fate.kind}")
        await asyncio.sleep(fate.up_s + fate.down_s)
        if fate.kind in {"not_sent", "error_before"}:
            raise Unavailable("the download does not begin")
        if fate.kind == "expired":
            raise UrlExpired("Request has expired")
        if self._vendor.odd.refuses_transfer("download", import_id, now=self._vendor.now()):
            raise UrlExpired("the results url has expired or is refused (HTTP 403 AccessDenied)")
        if self._vendor.odd.is_expired("download", import_id, now=self._vendor.now()):
            raise UrlExpired("Request has expired")
        blob = self._vendor.state.download(url, self._vendor.wall(self._exchange.loop.time()))
        assert isinstance(blob.source, bytes)
        data = blob.source
        if is_pack:
            data = self._vendor.odd.pack_result(import_id, data)
        yield _chunks(data, fate)


async def _chunks(data: bytes, fate: Fate) -> AsyncIterator[bytes]:
    middle = len(data) // 2
    yield data[:middle]
    await asyncio.sleep(fate.down_s)
    if fate.kind == "cut":
        raise Unavailable("the download was cut")
    if fate.kind != "short":
        yield data[middle:]


def _answer(ask: Callable[[], _T], *, create: bool = False) -> _T | BulkheadError:
    """Return the vendor's response; raise a refusal as the error that a client translates it to."""
    try:
        return ask()
    except ApiProblem as problem:
        sentence = str(problem.body)
        match problem.status:
            case 401 | 403:
                return AuthRefused(sentence)
            case 404:
                return SchemaNotFound(sentence) if create else ImportNotFound(sentence)
            case 429:
                hint = problem.headers.get("Retry-After")
                return RateLimited(sentence, retry_after_s=None if hint is None else float(hint))
            case _:
                return RequestInvalid(sentence)


def _stored(store: Callable[[], _T], *, only_if_absent: bool) -> _T | bool | BulkheadError:
    try:
        return store()
    except StorageProblem as problem:
        if problem.status == 412:
            return False
        if only_if_absent and problem.code in {"NotImplemented", "HeadersNotSigned"}:
            return ConditionUnsupported(problem.message)
        if "expired" in problem.message:
            return UrlExpired(problem.message)
        return UploadRefused(problem.message)


def _object(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


def _create_body(request: CreateRequest, rows: Any) -> dict[str, Any]:
    return {
        "schema_id": request.schema_id,
        "fields": None if request.fields is None else list(request.fields),
        "original_filename": request.original_filename,
        "initial_data": rows,
    }


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _import_of(url: str) -> str:
    path = url.partition("?")[0]
    return import_id_of(path[path.index("/_storage/") :])
