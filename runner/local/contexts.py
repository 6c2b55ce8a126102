"""Contexts: what a run over a batch works with, and where its results go."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.aws.s3 import canonical_folder, is_s3, refuse_foreign_folder
from runner.config.options import FailureLimit, RowLossLimit, RunOptions
from runner.config.origins import is_loopback
from runner.errors import ConfigError, SinkFailed
from runner.events import ignore
from runner.local.out_owner import SANDBOX, OutOwner, claim, refuse_among_files
from runner.local.resources import DEFAULT_OUT
from runner.sources import rank_of
from runner.stages.context import RunContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.config.run_spec import RunSpec
    from runner.events import EventHook
    from runner.local.resources import Resources
    from runner.local.source_lock import SourceLock
    from runner.models import Batch
    from runner.stages.context import Gate
    from runner.stages.packing_setup import PackingSetup
    from runner.stop import StopSignal


class Contexts:
    """Makes the contexts of runs from shared resources.

    `in_sandbox`: the API and the ledger end with this object, so its results replace those of earlier sandboxes.
    """

    def __init__(self, resources: Resources, *, in_sandbox: bool) -> None:
        self._resources = resources
        self._in_sandbox = in_sandbox

    async def of(
        self,
        batch: Batch,
        spec: RunSpec,
        *,
        emit: EventHook,
        stop: StopSignal,
        gate: Gate | None = None,
        packing: PackingSetup | None = None,
        source_lock: SourceLock | None = None,
    ) -> RunContext:
        """Return the context of a run over a batch. Raises ConfigError, LedgerError."""
        resources = self._resources
        ledger = await resources.ledger(write=True)
        source, sink = await resources.source(spec.source), await resources.sink(batch)
        return RunContext(
            ledger=ledger,
            api=(await resources.api()).counted_apart(),
            storage=await resources.storage(),
            open_source=lambda: source,
            open_sink=lambda: sink,
            routes=spec.routes,
            pacer=await resources.pacer(),
            clock=resources.clock,
            vendor_time=resources.vendor_time,
            rng=resources.rng,
            emit=emit,
            stop=stop,
            options=replace(self.options(spec), shows_free_slots=emit is not ignore),
            rank_of=rank_by(spec),
            endpoint=resources.endpoint,
            account=resources.account,
            gate=gate,
            packing=packing,
            out=batch.out,
            shared=resources.ledger_is_shared,
            check_files=resources.check_files(source_lock),
            shares_out=not self._in_sandbox,
        )

    def options(self, spec: RunSpec) -> RunOptions:
        """Return the options of a run: those of the settings, and those of the spec."""
        settings = self._resources.settings
        return RunOptions(
            uploads=settings.uploads,
            result_bytes=settings.max_result,
            request_timeout_s=settings.request_timeout_s,
            quiet_period_s=settings.quiet_period_s,
            settle_s=settings.settle_s,
            stuck_after_s=settings.stuck_after,
            track_by=settings.track_by,
            safety_list_s=settings.safety_list_s,
            filename_tag=settings.filename_tag,
            again=spec.again,
            retry_failed=spec.retry_failed,
            json_is_new=spec.json_is_new or settings.json_is_new,
            max_duration_s=settings.max_duration,
            give_up_after_s=settings.give_up_after,
            failure_limit=settings.max_failures or FailureLimit(),
            row_loss_limit=settings.max_rows_lost or RowLossLimit(),
            list_first=spec.source.order_by != "name",
        )

    def out_of(self, batch: Batch, spec: RunSpec) -> str:
        """Return the directory or URL in which a run saves the results of a batch. Raises ConfigError."""
        chosen = spec.out or batch.out or self._resources.settings.out or os.path.join(DEFAULT_OUT, batch.batch_id)  # noqa: PTH118
        if is_s3(chosen):
            return canonical_folder(chosen)
        refuse_foreign_folder(chosen)
        return os.path.abspath(chosen)  # noqa: PTH100 - a name with bytes that are no text stays as it is

    async def prepare_out(self, batch: Batch, spec: RunSpec, *, is_new: bool = False) -> OutOwner:
        """Check that results of the batch can be written where they belong, and return whose they are.

        Those of a new batch never go among its own files. Raises ConfigError if they cannot be written there.
        """
        resources = self._resources
        root = await (await resources.source(spec.source)).root_uri()
        if is_new:
            refuse_among_files(batch.out, spec.source, root)
        sink = await resources.sink(batch)
        await sink.prepare()
        owner = OutOwner(account=SANDBOX if self._in_sandbox else resources.account, root=root)
        settings = resources.settings
        try:
            await claim(
                sink, batch.out, owner, accept_new_key=settings.accept_new_key, is_local=is_loopback(settings.api_url)
            )
        except SinkFailed as error:
            raise ConfigError(str(error), hint=error.hint) from error
        return owner


def rank_by(spec: RunSpec) -> Callable[..., int]:
    """Return what ranks the entries of a source in the order that a spec asks for."""
    return lambda entry: rank_of(entry, spec.source.order_by)
