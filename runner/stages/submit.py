"""The submit stage, first half: prepare -> permit -> intent -> create -> bind.

The order keeps data safe. The intent is in the ledger before the create is sent, and the bind is there before the first
byte of data is sent. A lost response therefore leaves an empty import, never a second import of the data.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from runner import identity
from runner.config.routes import NO_ROUTE
from runner.errors import (
    AuthRefused,
    DuplicatePending,
    ImportIdTaken,
    ItemRejected,
    LedgerUnavailable,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    RequestInvalid,
    SchemaNotFound,
    SinkFailed,
    StaleItem,
    StorageFull,
    TagInUse,
    TransientError,
)
from runner.events import CreateAnswered, CreateThrottled, Notice
from runner.models import Item, ItemKind, ItemState, RemoteImport, batch_of_members
from runner.retry import delay_s, repeat_read
from runner.sources.recoded_body import in_utf8
from runner.stages.earlier import Content, EarlierItems, Finding

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Mapping

    from runner.config.options import RunOptions
    from runner.config.routes import Route, RoutesOfItems
    from runner.dromo.clock import VendorTime
    from runner.events import EventHook
    from runner.ledger.protocol import Ledger
    from runner.protocols import ImportsApi, InputReader, Prepared
    from runner.quota.pacer import CreatePacer, Permit
    from runner.stages.context import Gate
    from runner.stages.earlier_json import EarlierJson
    from runner.stages.orphans import Orphans
    from runner.stages.transitions import Transitions
    from runner.stages.upload import Uploader
    from runner.stop import StopSignal

logger = logging.getLogger(__name__)

_S = ItemState
_SCHEMAS_NAMED = 10


class SubmitOutcome(Enum):
    """How far an item got, and if it is still `queued` or `created`, why."""

    ADVANCED = "advanced"
    """The item is `processing` or terminal."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """The response to its JSON create was lost: the item is `creating`."""
    HELD_BACK = "held_back"
    """The item waits until another JSON create with its schema is settled."""
    SCHEMA_MISSING = "schema_missing"
    """The vendor does not have its schema."""
    JSON_IN_DOUBT = "json_in_doubt"
    """A ledger that is lost may have sent it: a person must say that it is new."""
    NO_PERMIT = "no_permit"
    """No create permit came within `permit_wait_s`."""
    UPLOAD_APART = "upload_apart"
    """Its import is made, and its file is uploaded apart because of its size."""
    NOT_CREATED = "not_created"
    """No create succeeded in as many attempts as it has at once."""
    UNFINISHED = "unfinished"
    """A stop was requested, or the import was given up before its file arrived."""


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """The item as it is now, and what happened to it; `reason` is a sentence if its schema must wait for a person."""

    item: Item
    outcome: SubmitOutcome
    reason: str = ""


class HeldSchemas:
    """Schemas whose items stay queued for now. All submitters of a batch share one object."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        """Schemas that the vendor does not have, with its sentence."""
        self.in_doubt: dict[str | None, str] = {}
        """Schemas whose JSON items a ledger that is lost may have sent, with a sentence."""
        self.outcome_unknown: set[str | None] = set()
        """Schemas with a JSON create whose outcome is unknown: with a second one, nothing would
        tell their imports apart."""

    def must_wait(self, item: Item, schema_id: str | None) -> bool:
        """Return whether a JSON item waits for a person, or until the outcome of another create is known."""
        return item.kind is ItemKind.JSON and (schema_id in self.outcome_unknown or schema_id in self.in_doubt)

    def hold(self, item: Item, schema_id: str | None) -> bool:
        """Return whether an item stays queued for any reason."""
        return schema_id in self.missing or self.must_wait(item, schema_id)

    def for_a_person(self) -> list[str]:
        """Return the sentences on schemas that wait until a person acts."""
        return sorted({*self.missing.values(), *self.in_doubt.values()})


@dataclass(slots=True)
class _Attempt:
    """The creates of one item; `number` is how many of them the vendor may have acted on."""

    item: Item
    prepared: Prepared
    route: Route
    content: Content
    tag: str
    number: int = 0
    failed_looks: int = 0
    """How many creates were not made because what must be known before them could not be told."""
    schema_denials: int = 0
    """How many creates the vendor answered with 404."""
    may_have_data: bool = False
    """Whether the import may have received data from a run that this ledger does not know."""
    held_by: SubmitOutcome | None = None
    """Why the item stays queued, if the reason is not its own failure."""


class Submitter:
    """Takes a queued item to `processing`, or to the final state that it reaches before that."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        api: ImportsApi,
        source: InputReader,
        gate: Gate | None,
        routes: RoutesOfItems,
        endpoint: str,
        pacer: CreatePacer,
        options: RunOptions,
        vendor_time: VendorTime,
        rng: random.Random,
        stop: StopSignal,
        emit: EventHook,
        transitions: Transitions,
        orphans: Orphans,
        earlier_json: EarlierJson,
        uploader: Uploader,
        held_schemas: HeldSchemas,
        before_create: Callable[[str, str], Awaitable[None]],
        out: str = "",
    ) -> None:
        """`before_create` is called with tag and source right before each intent; it raises an error to prevent it."""
        self._ledger = ledger
        self._api = api
        self._source = source
        self._gate = gate
        self._routes = routes
        self._endpoint = endpoint
        self._pacer = pacer
        self._options = options
        self._vendor_time = vendor_time
        self._rng = rng
        self._stop = stop
        self._emit = emit
        self._transitions = transitions
        self._orphans = orphans
        self._earlier_json = earlier_json
        self._uploader = uploader
        self._json_turns: defaultdict[str | None, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._held_schemas = held_schemas
        self._earlier = EarlierItems(
            ledger, endpoint=endpoint, again=options.again, retry_failed=options.retry_failed, out=out
        )
        self._before_create = before_create

    async def submit(self, item: Item) -> SubmitResult:
        """Take a queued item as far as possible now.

        Raises DuplicatePending, with the item queued again, and AuthRefused, StorageFull, and other errors that concern
        the whole batch.
        """
        route = self._routes.for_version(item.source, item.version)
        if route is None:
            return self._result(await self._reject(item, NO_ROUTE))
        if route.schema_id in self._held_schemas.missing:
            return self._result(item, SubmitOutcome.SCHEMA_MISSING)
        if self._held_schemas.must_wait(item, route.schema_id):
            return self._result(item, SubmitOutcome.HELD_BACK)
        if item.kind is ItemKind.JSON and await self._is_in_doubt(route.schema_id):
            return self._result(item, SubmitOutcome.JSON_IN_DOUBT)
        try:
            prepared = await in_utf8(await self._source.prepare(item), route.encoding)
        except ItemRejected as error:
            return self._result(await self._reject(item, error))
        content = self._content(item, prepared, route)
        attempt = _Attempt(item, prepared, route, content, content.tag)
        item = await self._create(attempt)
        if item.state is _S.CREATED:
            if self.is_apart(item):
                attempt.held_by = SubmitOutcome.UPLOAD_APART
            else:
                item = await self._uploader.upload(item, prepared, may_have_data=attempt.may_have_data)
        return self._result(item, attempt.held_by)

    def is_apart(self, item: Item) -> bool:
        """Return whether a file is too large to be uploaded together with its create."""
        most = self._options.upload_apart_bytes
        return most is not None and (item.size_bytes or 0) > most

    def _content(self, item: Item, prepared: Prepared, route: Route) -> Content:
        if item.kind is ItemKind.PACK:
            return Content(uri=prepared.uri, binding=route.binding, tag=item.source)
        return Content.of(prepared, route.binding, endpoint=self._endpoint)

    async def _is_in_doubt(self, schema_id: str | None) -> bool:
        reason = await self._earlier_json.reason_to_wait(schema_id)
        if reason is not None and schema_id not in self._held_schemas.in_doubt:
            self._held_schemas.in_doubt[schema_id] = reason
            self._emit(Notice(code="json_in_doubt", message=reason))
        return reason is not None

    async def upload(self, item: Item) -> SubmitResult:
        """Continue a `created` item of an earlier run: its import is bound, its data may or may not have arrived.

        Raises as `submit` does.
        """
        return self._result(await self._upload(item))

    def _result(self, item: Item, held_by: SubmitOutcome | None = None) -> SubmitResult:
        if item.state is _S.CREATING:
            return SubmitResult(item, SubmitOutcome.OUTCOME_UNKNOWN)
        if item.state not in (_S.QUEUED, _S.CREATED):
            return SubmitResult(item, SubmitOutcome.ADVANCED)
        if held_by in (SubmitOutcome.SCHEMA_MISSING, SubmitOutcome.JSON_IN_DOUBT):
            return SubmitResult(item, held_by, reason="; ".join(self._held_schemas.for_a_person()))
        return SubmitResult(item, held_by or SubmitOutcome.UNFINISHED)

    async def _upload(self, item: Item) -> Item:
        if (arrived := await self._uploader.advance_if_arrived(item)) is not None:
            return arrived
        rejection: ItemRejected | None = None
        route = self._routes.for_version(item.source, item.version)
        try:
            prepared = await in_utf8(await self._source.prepare(item), route.encoding if route else None)
        except ItemRejected as error:
            rejection = error
        else:
            if prepared.fingerprint == item.fingerprint and self._is_bound_as_routed(item):
                return await self._uploader.upload(item, prepared, may_have_data=True)
        if (arrived := await self._uploader.advance_if_arrived_late(item)) is not None:
            return arrived
        if rejection is not None:
            return await self._reject(item, rejection)
        return await self._transitions.advance(
            item,
            _S.QUEUED,
            reason=f"the file or its route changed since its create; import {item.import_id} is abandoned",
            import_id=None,
            status=None,
        )

    def _is_bound_as_routed(self, item: Item) -> bool:
        """Return whether the item's import was made with the current schema, settings, and hooks of its route."""
        route = self._routes.for_version(item.source, item.version)
        return route is not None and route.binding == item.binding

    async def _reject(self, item: Item, error: ItemRejected) -> Item:
        return await self._transitions.advance(
            item, _S.REJECTED, reason=error.code, error_code=error.code, error_message=str(error)
        )

    async def _create(self, attempt: _Attempt) -> Item:
        """Create the import, unless another item has sent, or is sending, the same content."""
        while True:
            if (duplicate := await self._duplicate(attempt)) is not None:
                return await self._leave(attempt.item, duplicate)
            try:
                return await self._create_own(attempt)
            except TagInUse:
                logger.info("another item has the same content", extra={"item": attempt.item.source})

    async def _leave(self, item: Item, finding: Finding) -> Item:
        """Skip an item whose content was sent for another item, or fail one whose content the vendor refused before.

        Raises DuplicatePending, with the item queued, if the other's data may still fail to arrive.
        """
        item = await self._put_back(item, finding.sentence)
        if finding.is_pending:
            raise DuplicatePending(finding.sentence, batch_id=finding.earlier.batch_id)
        return await self._transitions.advance(item, finding.state, reason=finding.sentence, **finding.changes())

    async def _create_own(self, attempt: _Attempt) -> Item:
        orphan = await self._orphans.match(attempt.tag, attempt.route.schema_id)
        if orphan is not None and self._may_adopt(orphan, attempt):
            attempt.may_have_data = attempt.item.tag != attempt.tag
            await self._record_intent(attempt)
            return await self._adopt(attempt.item, orphan)
        try:
            if self._gate is not None:
                await self._gate.admit(attempt.item, attempt.route)
        except ItemRejected as error:
            return await self._reject(attempt.item, error)
        while attempt.number + attempt.failed_looks < self._options.create_attempts:
            if (item := await self._send_in_turn(attempt)) is not None:
                return item
        return await self._give_up(attempt)

    async def _permit(self, attempt: _Attempt) -> Permit | None:
        """Wait for a permit until a stop is requested, but at most `permit_wait_s`."""
        permit = None if self._stop.requested else await self._pacer.permit_now()
        if permit is None:
            permit = await self._permit_in_time()
        if permit is not None and self._stop.requested:
            await permit.unused()
            permit = None
        if permit is None and not self._stop.requested:
            attempt.held_by = SubmitOutcome.NO_PERMIT
        return permit

    async def _permit_in_time(self) -> Permit | None:
        waiting = asyncio.ensure_future(self._pacer.permit())
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            limit_s = self._options.permit_wait_s
            await asyncio.wait({waiting, stopping}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not waiting.done():
                waiting.cancel()
        return await waiting if waiting.done() else None

    async def _send_in_turn(self, attempt: _Attempt) -> Item | None:
        """Send one create; those of JSON items of a schema take turns, so at most one has an unknown outcome."""
        if attempt.item.kind is not ItemKind.JSON:
            return await self._send_with_permit(attempt)
        async with self._json_turns[attempt.route.schema_id]:
            if self._held_schemas.must_wait(attempt.item, attempt.route.schema_id):
                attempt.held_by = SubmitOutcome.HELD_BACK
                return await self._put_back(attempt.item, "waits for another JSON create to be settled")
            return await self._send_with_permit(attempt)

    async def _send_with_permit(self, attempt: _Attempt) -> Item | None:
        permit = await self._permit(attempt)
        if permit is None:
            return await self._put_back(attempt.item, "no permit came before the stop")
        return await self._send(attempt, permit)

    async def _send(self, attempt: _Attempt, permit: Permit) -> Item | None:
        """Send one create; return None if it must be repeated. Raises as `_intend`."""
        if not await self._intend(attempt, permit):
            return None
        try:
            remote = await self._api.create(
                attempt.route.request(
                    attempt.item, original_filename=attempt.item.original_filename, initial_data=attempt.prepared.rows
                )
            )
        except RateLimited as error:
            await self._throttled(attempt, permit, error)
            return None
        except NotSent as error:
            await permit.unused()
            await self._pause_after(attempt, error)
            return None
        except OutcomeUnknown as error:
            await permit.outcome_unknown()
            return await self._answer_lost(attempt, error)
        except (AuthRefused, SchemaNotFound, RequestInvalid) as error:
            await permit.answered()
            return await self._refused(attempt, error)
        try:
            created = await self._created(attempt, remote)
        except StaleItem:
            await permit.answered()
            raise
        await permit.answered()
        return created

    async def _intend(self, attempt: _Attempt, permit: Permit) -> bool:
        """Record the intent; return False if that must be repeated with another permit.

        Raises StaleItem, TagInUse, and as `before_create`; the permit is given back then.
        """
        try:
            trouble = await self._look(attempt)
            if trouble is None:
                await self._record_intent(attempt)
        except Exception:
            await permit.unused()
            raise
        if trouble is None and permit.is_fresh:
            return True
        await permit.unused()
        if trouble is None:
            attempt.number -= 1
        else:
            attempt.failed_looks += 1
            await self._pause_after(attempt, trouble)
        return False

    async def _look(self, attempt: _Attempt) -> TransientError | None:
        """Call `before_create`; between two creates of an item, return what may pass, and raise it otherwise.

        The caller of `submit` has the item as it was before the first create, and could not continue with it.
        """
        try:
            await self._before_create(attempt.tag, attempt.item.source)
        except (StorageFull, SinkFailed, LedgerUnavailable):
            raise
        except TransientError as error:
            if attempt.item.state is not _S.CREATING:
                raise
            return error
        return None

    async def _record_intent(self, attempt: _Attempt) -> None:
        """Record the attempt before it is made. Raises TagInUse if another item is about to send the same content."""
        prepared, route = attempt.prepared, attempt.route
        attempt.item = await self._transitions.advance(
            attempt.item,
            _S.CREATING,
            reason=f"create attempt {attempt.number + 1}",
            share_tag=self._options.again,
            attempts=attempt.number + 1,
            intent_at=self._vendor_time.now(),
            tag=attempt.tag,
            fingerprint=prepared.fingerprint,
            size_bytes=prepared.size_bytes,
            file_key=identity.file_key(prepared.uri, endpoint=self._endpoint),
            version=prepared.version,
            version_key=identity.version_key(prepared.uri, prepared.version, route.binding, endpoint=self._endpoint),
            binding=route.binding,
            schema_id=route.schema_id,
            original_filename=self._filename(attempt),
        )
        attempt.number += 1

    def _filename(self, attempt: _Attempt) -> str | None:
        """Return the name of the upload; a pack has got its own when it was made."""
        if attempt.item.kind is not ItemKind.FILE:
            return attempt.item.original_filename
        return identity.tagged_filename(attempt.item.source, attempt.tag if self._options.filename_tag else None)

    async def _created(self, attempt: _Attempt, remote: RemoteImport) -> Item | None:
        try:
            bound = await self._bind(attempt.item, remote, reason="created")
        except ImportIdTaken:
            return await self._answer_lost(
                attempt, OutcomeUnknown("the vendor responded with an import that belongs to another item")
            )
        slots_free = await self._pacer.free_slots() if self._options.shows_free_slots else None
        self._emit(CreateAnswered(source=bound.source, slots_free=slots_free))
        return bound

    async def _bind(self, item: Item, remote: RemoteImport, *, reason: str, adopted: bool = False) -> Item:
        self._uploader.remember_url(remote, is_signed_now=not adopted)
        made_at = remote.created_at or self._vendor_time.now()
        is_json = item.kind is ItemKind.JSON
        bound = await self._transitions.advance(
            item,
            _S.PROCESSING if is_json else _S.CREATED,
            reason=reason,
            import_id=remote.import_id,
            status=remote.status,
            created_at=made_at,
            uploaded_at=made_at if is_json else None,
        )
        await self._ledger.count_up(batch_of_members(bound.batch_id), creates=1)
        return bound

    async def _adopt(self, item: Item, remote: RemoteImport) -> Item:
        logger.info("adopting own import", extra={"item": item.source, "import_id": remote.import_id})
        reason = "adopted: the vendor has an import with this item's tag"
        return await self._bind(item, remote, reason=reason, adopted=True)

    async def _throttled(self, attempt: _Attempt, permit: Permit, error: RateLimited) -> None:
        wait_s = await permit.throttled(error.retry_after_s)
        attempt.number -= 1
        await self._ledger.count_up(batch_of_members(attempt.item.batch_id), throttled=1)
        self._emit(CreateThrottled(source=attempt.item.source, wait_s=wait_s))

    async def _answer_lost(self, attempt: _Attempt, error: OutcomeUnknown) -> Item | None:
        """Look once for the import by its tag; a JSON create has no filename with a tag and must wait."""
        if attempt.item.kind is ItemKind.JSON:
            self._held_schemas.outcome_unknown.add(attempt.route.schema_id)
            return attempt.item
        intent_at = attempt.item.intent_at or self._vendor_time.now()
        try:
            found = await self._orphans.find_by_tag(attempt.tag, attempt.route.schema_id, since=intent_at)
        except TransientError:
            found = None
        if found is not None and self._may_adopt(found, attempt):
            return await self._adopt(attempt.item, found)
        await self._pause_after(attempt, error)
        return None

    async def _pause_after(self, attempt: _Attempt, error: TransientError | SchemaNotFound) -> None:
        logger.warning(
            "create failed; it will be retried",
            extra={"item": attempt.item.source, "attempt": attempt.number, "error": type(error).__name__},
        )
        await self._stop.sleep(delay_s(attempt.number, self._rng))

    async def _schema_denied(self, attempt: _Attempt, error: SchemaNotFound) -> Item | None:
        """Hold the items of a schema back if the vendor does not have it; return None if the create must be repeated.

        A gateway's 404 looks the same, so another request has to agree: one for the schema itself, a second create if
        that is not answered, or every create if the vendor shows the schema.
        """
        attempt.schema_denials += 1
        is_there = await self._has_schema(attempt.route.schema_id or "")
        needed = {False: 1, None: 2, True: self._options.create_attempts}[is_there]
        if attempt.schema_denials < needed:
            await self._pause_after(attempt, error)
            return None
        attempt.item = await self._put_back(attempt.item, str(error))
        sentence = await self._schema_sentence(attempt.route, error, is_denied=is_there is False)
        self._held_schemas.missing[attempt.route.schema_id or ""] = sentence
        attempt.held_by = SubmitOutcome.SCHEMA_MISSING
        return attempt.item

    async def _schema_sentence(self, route: Route, error: SchemaNotFound, *, is_denied: bool) -> str:
        """Return what is wrong with a route's schema, and which schemas there are if the vendor says so at once."""
        named = f"schema '{route.schema_id}' (route {route.name})"
        if not is_denied:
            return f"{named}: {error}"
        try:
            names = await self._api.schema_names()
        except (TransientError, AuthRefused, RequestInvalid):
            return f"{named} does not exist"
        return f"{named} does not exist; this account has: {_listed(names)}"

    async def _has_schema(self, schema_id: str) -> bool | None:
        """Return whether the vendor shows a saved schema, None if it does not say."""
        try:
            await repeat_read(lambda: self._api.schema(schema_id))
        except SchemaNotFound:
            return False
        except (TransientError, AuthRefused, RequestInvalid):
            return None
        return True

    async def _refused(self, attempt: _Attempt, error: AuthRefused | SchemaNotFound | RequestInvalid) -> Item | None:
        if isinstance(error, SchemaNotFound):
            return await self._schema_denied(attempt, error)
        if isinstance(error, AuthRefused):
            await self._put_back(attempt.item, str(error))
            raise error
        return await self._transitions.advance(
            attempt.item, _S.FAILED, reason="create refused", error_code="create_refused", error_message=str(error)
        )

    async def _put_back(self, item: Item, reason: str) -> Item:
        if item.state is _S.QUEUED:
            return item
        return await self._transitions.advance(item, _S.QUEUED, reason=reason)

    async def _give_up(self, attempt: _Attempt) -> Item:
        attempt.held_by = SubmitOutcome.NOT_CREATED
        return await self._put_back(attempt.item, f"no create succeeded in {attempt.number} attempts")

    async def _duplicate(self, attempt: _Attempt) -> Finding | None:
        """Tag the attempt, and return why its content is not sent; None if it is."""
        ruling = await self._earlier.of_content(attempt.content, own=attempt.item)
        attempt.tag = ruling.tag
        return ruling.finding if ruling.finding is not None and not ruling.finding.is_sent else None

    def _may_adopt(self, orphan: RemoteImport, attempt: _Attempt) -> bool:
        """Return whether an orphan may be adopted; with `again`, only one that this attempt may have made."""
        if not self._options.filename_tag or attempt.item.kind is ItemKind.JSON:
            return False
        intent_at = attempt.item.intent_at
        if not self._options.again:
            return True
        made_at = orphan.created_at
        return intent_at is not None and made_at is not None and made_at >= intent_at - timedelta(minutes=2)


def _listed(names: Mapping[str, str]) -> str:
    """Return the ids and names of the first schemas, and how many more there are."""
    shown = [f"'{one}' ({names[one]})" if names[one] not in ("", one) else f"'{one}'" for one in sorted(names)]
    more = [f"and {len(shown) - _SCHEMAS_NAMED:,} more"] if len(shown) > _SCHEMAS_NAMED else []
    return ", ".join([*shown[:_SCHEMAS_NAMED], *more]) or "no saved schemas"
