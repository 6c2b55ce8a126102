"""The setup of packing in a run: an import engine predicts what each file's own import would give."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from runner.check.schemas import BoundRoute, bind_routes
from runner.check.setup import schemas_of_the_vendor
from runner.packing.canary import PredictedImport, PredictImport
from runner.stages.packing_setup import PackingSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.check.engine import Engine, RunImport
    from runner.config.run_spec import RunSpec
    from runner.local.resources import Resources

_T = TypeVar("_T")


def packing_setup(resources: Resources, spec: RunSpec, engine: Engine) -> PackingSetup:
    """Return how a run packs its files; the schemas of its routes are read for the first file."""
    predictions = _Predictions(resources, spec, engine)
    return PackingSetup(
        ignored=frozenset(spec.ignored_packs),
        members_of=spec.pack_limit,
        is_off=spec.pack_is_off,
        predict=predictions.of,
        in_engine=predictions.in_engine,
    )


class _Predictions:
    """Runs an engine on one thread of its own, because engines keep things that belong to a thread."""

    def __init__(self, resources: Resources, spec: RunSpec, engine: Engine) -> None:
        self._resources = resources
        self._spec = spec
        self._engine = engine
        self._reading = asyncio.Lock()
        self._bound: dict[str, BoundRoute] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="packing")

    async def of(self, binding: str) -> PredictImport | None:
        """Return what predicts imports of the route with a binding; None without such a route, or without its schema.

        Raises TransientError, AuthRefused.
        """
        async with self._reading:
            if self._bound is None:
                saved = schemas_of_the_vendor(self._resources)
                bound = await bind_routes(self._spec.routes, self._engine, saved)
                self._bound = {one.route.binding: one for one in bound}
        own = self._bound.get(binding)
        if own is None or own.schema is None:
            return None
        return partial(_predicted, run=self._engine.run, schema=own.schema, user=own.route.user)

    async def in_engine(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _predicted(
    raw: bytes, /, *, filename: str, run: RunImport, schema: Mapping[str, Any], user: Mapping[str, Any] | None
) -> PredictedImport:
    """Import one file without sending it."""
    result = io.BytesIO()
    outcome = run(raw, schema=schema, filename=filename, user=user, result=result)
    metadata: Mapping[str, Any] = outcome.metadata
    return PredictedImport(status=outcome.status, content=result.getvalue(), metadata=metadata)
