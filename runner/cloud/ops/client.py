"""Operations: the commands on a deployed stack; every `bulkhead cloud` command is one method."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, cast

from pydantic import SecretStr

from runner.aws.s3 import S3Place
from runner.aws.services import Aws
from runner.clock import SystemClock
from runner.cloud.leases import worker_is_there
from runner.cloud.lifecycle import start_load
from runner.cloud.ops.dismiss import dismiss_items, newest_dismissible
from runner.cloud.ops.doctor import Doctor
from runner.cloud.ops.redrive import MAY_BE_DEAD_LETTERED, Redrive, Redriven
from runner.cloud.ops.stack import INBOX, TABLE, Sender, Stack, read_stack
from runner.cloud.ops.status import RECENT, batch_status, batch_statuses, reviews_of
from runner.cloud.ops.work import StackWorker
from runner.cloud.protocols import Queue
from runner.cloud.sqs import SqsQueues, return_dead_letters
from runner.cloud.webhooks import WebhookUrls
from runner.config.settings import Settings
from runner.errors import ConfigError
from runner.events import EventHook, ignore
from runner.ledger.location import LedgerTable
from runner.ledger.rules import whole_ms
from runner.local.gone_results import GoneResults
from runner.local.resources import Resources
from runner.manifest import csv, jsonl
from runner.models import REDRIVABLE_STATES, ItemState
from runner.stages.transitions import Transitions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from types import TracebackType

    from runner.findings import Finding
    from runner.ledger.leases import Leases
    from runner.ledger.protocol import CloudLedger
    from runner.models import Batch, BatchStatus, Item
    from runner.quota.pacer import CreatePacer
    from runner.reviews import OpenReview

_SETTING_OF_PARAMETER = {
    "ApiUrl": "api_url",
    "SchemaId": "schema_id",
    "Quota": "create_quota",
    "StorageHosts": "storage_hosts",
    "ReviewHosts": "review_hosts",
}
"""The setting for each parameter of the stack."""

READ_THROUGH = 20_000
"""Above this number of sent items the reasons for failures are not read; the manifest has all of them."""

_FAILED_STATES = REDRIVABLE_STATES | MAY_BE_DEAD_LETTERED


class Operations:
    """The stack that the setting `stack` names; an async context manager that opens what it needs.

    It reads the stack from CloudFormation's outputs, and its batches from the ledger. `options`, such as
    ` --stack NAME`, is appended to the commands in hints. Entering raises ConfigError if there are no credentials, no
    region, or no such stack. Every method may raise AwsRefused, Unavailable, LedgerError.
    """

    def __init__(self, settings: Settings, *, options: str = "") -> None:
        self._settings = settings
        self._options = options
        self._aws = Aws(region_name=settings.aws_region, endpoint_url=settings.aws_endpoint_url)
        self._clock = SystemClock()
        self._open = AsyncExitStack()
        self._stack: Stack | None = None

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._aws)
        try:
            self._stack = await read_stack(self._aws, self._settings.stack)
        except BaseException:
            await self._open.aclose()
            raise
        self._resources = await self._open.enter_async_context(Resources(self._parameters()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    @property
    def stack(self) -> Stack:
        assert self._stack is not None, "enter it first"
        return self._stack

    @property
    def nightly_prefix_url(self) -> str:
        """Return the `s3://` url of the inbox's prefix whose files wait for a load. Raises ConfigError."""
        return f"s3://{self.stack.output(INBOX)}/{self.stack.nightly_prefix}"

    def webhook_urls(self) -> WebhookUrls:
        """Return the urls that the vendor may call. Raises ConfigError."""
        return WebhookUrls(self.stack, self._aws)

    async def start(self, uri: str, *, name: str) -> str:
        """Start a load of everything under an `s3://` url of the inbox, and return the id of the new batch.

        The batch is in the ledger some seconds later. Raises ConfigError if the url is outside the inbox.
        """
        place = S3Place.parse(uri)
        if place.bucket != self.stack.output(INBOX) or not place.key.startswith(self.stack.readable_prefixes):
            readable = ", ".join(f"s3://{self.stack.output(INBOX)}/{prefix}" for prefix in self.stack.readable_prefixes)
            raise ConfigError(
                f"the functions of {self.stack.name} can only read its inbox: {readable}",
                hint=f"copy the files: aws s3 cp --recursive {uri} {self.nightly_prefix_url}\n"
                "or import them from this machine: "
                f"bulkhead run {uri} --ledger {self._table()}",
            )
        return await start_load(self._queues(), uri, name=name, at=whole_ms(self._clock.now()))

    async def status(self, batch_id: str) -> BatchStatus:
        """Return the status of a batch. Raises ConfigError if there is no such batch."""
        return await batch_status(await self._ledger(), await self._batch(batch_id))

    async def statuses(self, *, recent: int = RECENT) -> list[BatchStatus]:
        """Return the status of the `recent` newest batches and of all running ones, oldest first."""
        return await batch_statuses(await self._ledger(), recent=recent)

    async def sender(self) -> Sender:
        """Return what sends the stack's files, and whether a worker that has to is there."""
        by = self.stack.submit_by
        return Sender(by=by, is_there=await worker_is_there(await self._leases()) if by == "container" else None)

    async def failures(self, found: BatchStatus) -> AsyncIterator[Item]:
        """Yield the items that failed, were rejected, or are stuck; none if more than READ_THROUGH items were sent."""
        sent = sum(count for state, count in found.by_state.items() if state is not ItemState.QUEUED)
        if sent <= READ_THROUGH:
            async for item in (await self._ledger()).items(found.batch.batch_id, states=_FAILED_STATES):
                yield item

    async def manifest(self, batch_id: str, *, form: Literal["jsonl", "csv"] = "jsonl") -> AsyncIterator[bytes]:
        """Yield the current manifest in pieces. Raises ConfigError if there is no such batch."""
        batch = await self._batch(batch_id)
        render = jsonl if form == "jsonl" else csv
        async for piece in render((await self._ledger()).items(batch_id), batch):
            yield piece

    async def reviews(self, batch_id: str | None = None) -> list[OpenReview]:
        """Return the open reviews of a batch, or of all batches, oldest first.

        Raises ConfigError if there is no such batch.
        """
        return await reviews_of(await self._ledger(), await self._batch(batch_id) if batch_id else None)

    async def dismiss(
        self, batch_id: str | None = None, *, match: str | None = None, reason: str
    ) -> tuple[Batch, list[Item]]:
        """Dismiss open reviews, failed and uncertain items of a batch that the stack drives; see `dismiss_items`.

        Without an id, takes the newest batch with such items, or else the newest. Returns the batch and the items as
        they were. Raises ConfigError if there is no such batch, a runner drives it, or the reason or the glob cannot be
        used.
        """
        ledger = await self._ledger()
        if batch_id is not None:
            batch = await self._batch_of_stack(batch_id, command="dismiss")
        else:
            batch = await newest_dismissible(ledger) or self._no_batches()
        transitions = self._transitions(ledger)
        items = await dismiss_items(
            ledger, self._queues(), batch.batch_id, match=match, reason=reason, transitions=transitions
        )
        return batch, items

    async def batch_to_redrive(self, states: Collection[ItemState]) -> str:
        """Return the stack's newest batch with an item in one of `states`, or else its newest batch.

        Raises ConfigError if it has no batch.
        """
        ledger = await self._ledger()
        newest_first = [batch for batch in reversed(await ledger.batches()) if batch.driver == "stack"]
        for batch in newest_first:
            counts = await ledger.counts(batch.batch_id)
            if any(counts.get(state) for state in states):
                return batch.batch_id
        return (newest_first[0] if newest_first else self._no_batches()).batch_id

    async def redrive(
        self, batch_id: str, *, states: Collection[ItemState], match: str | None = None, import_again: bool = False
    ) -> Redriven:
        """Queue items again that ended in one of `states`, or whose messages are dead letters; see `Redrive.batch`.

        `match` is a glob over sources. Raises ConfigError if there is no such batch, or a runner drives it.
        """
        await self._batch_of_stack(batch_id, command="redrive")
        redrive = await self._redrive()
        await redrive.batch(batch_id, states=states, match=match, import_again=import_again)
        return Redriven(items=redrive.count)

    async def fetch_results_again(self, batch_id: str, *, match: str | None = None) -> Redriven:
        """Let the functions fetch the results of a batch that are no longer in its bucket; see `Redrive.results`.

        Raises ConfigError as `redrive` does, and SinkFailed if the bucket cannot be read.
        """
        batch = await self._batch_of_stack(batch_id, command="redrive")
        ledger, sink = await self._ledger(), await self._resources.sink(batch)
        gone = GoneResults(ledger, batch, sink, transitions=self._transitions(ledger), emit=ignore)
        redrive = await self._redrive()
        await redrive.results(gone, match=match)
        return Redriven(items=redrive.count)

    async def return_dead_letters(self) -> Redriven:
        """Move dead letters back to their queues, and queue their items again."""
        redrive = await self._redrive()
        returned = {
            queue: await return_dead_letters(self._aws, self.stack, queue, before=redrive.dead_letter)
            for queue in Queue
        }
        return Redriven(items=redrive.count, dead_letters=returned)

    def worker(self, *, at_once: int | None = None, listen: EventHook = ignore) -> StackWorker:
        """Return a worker that sends the stack's files from this process; see `StackWorker`."""
        key = self._settings.license_key
        return StackWorker(
            self.stack,
            self._aws,
            self._queues(),
            self._resources.settings,
            license_key=key.get_secret_value() if key else None,
            at_once=at_once,
            listen=listen,
        )

    async def doctor(self) -> list[Finding]:
        """Check the whole deployment; see `Doctor`."""
        return await Doctor(
            self.stack,
            self._aws,
            settings=self._resources.settings,
            ledger=await self._ledger(),
            leases=await self._leases(),
            pacer=self._pacer,
            now=self._clock.now,
            options=self._options,
        ).findings()

    def _parameters(self) -> Settings:
        """Return the settings of the stack's functions, with its table as the ledger, and with this machine's proxy."""
        parameters = self.stack.parameters
        values: dict[str, Any] = {
            name: parameters[key] for key, name in _SETTING_OF_PARAMETER.items() if parameters.get(key)
        }
        return Settings(
            ledger=self._table(),
            aws_region=self.stack.region,
            aws_endpoint_url=self._settings.aws_endpoint_url,
            proxy=self._settings.proxy,
            ca_file=self._settings.ca_file,
            **values,
        )

    def _table(self) -> LedgerTable:
        return LedgerTable(self.stack.output(TABLE))

    def _queues(self) -> SqsQueues:
        return SqsQueues(self._aws, {queue: self.stack.queue_url(queue) for queue in Queue})

    async def _pacer(self, key: str) -> CreatePacer:
        settings = self._resources.settings.model_copy(update={"license_key": SecretStr(key)})
        resources = await self._open.enter_async_context(Resources(settings))
        return await resources.pacer()

    async def _ledger(self) -> CloudLedger:
        return cast("CloudLedger", await self._resources.ledger(write=True))

    async def _leases(self) -> Leases:
        return cast("Leases", await self._resources.leases())

    async def _redrive(self) -> Redrive:
        ledger = await self._ledger()
        prefix = self.stack.parameters.get("InboxPrefix", "")
        return Redrive(ledger, self._queues(), self._transitions(ledger), inbox_prefix=prefix)

    def _transitions(self, ledger: CloudLedger) -> Transitions:
        return Transitions(ledger, clock=self._clock, emit=ignore, by_state={})

    def _no_batches(self) -> NoReturn:
        raise ConfigError(
            f"the stack {self.stack.name} has no batches yet", hint=f"bulkhead cloud status{self._options}"
        )

    async def _batch_of_stack(self, batch_id: str, *, command: str) -> Batch:
        """Return a batch that the stack drives. Raises ConfigError for any other, with the command for that."""
        found = await self.status(batch_id)
        if found.driver == "runner":
            raise ConfigError(
                f"batch {batch_id} belongs to a runner, not to the stack",
                hint=f"use: bulkhead {command} {batch_id} --ledger {self._table()}",
            )
        return found.batch

    async def _batch(self, batch_id: str) -> Batch:
        batch = await (await self._ledger()).batch(batch_id)
        if batch is None:
            raise ConfigError(
                f"the stack {self.stack.name} has no batch {batch_id}",
                hint="a load that was just started takes some seconds to appear; "
                f"all batches: bulkhead cloud status{self._options}",
            )
        return batch
