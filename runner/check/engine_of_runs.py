"""EngineOfRuns: what runs use an import engine for: the gate of `--check`, and the predictions of `--pack`.

What they need is imported with the first run that asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import ConfigError
from runner.stages.earlier import EarlierItems
from runner.stages.pack_planning import PackPlanner
from runner.stages.packing_setup import PackingSetup, RulesOfRoutes

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.check.engine import Engine
    from runner.check.gate import Gate
    from runner.check.setup import KeepPool
    from runner.config.run_spec import RunSpec
    from runner.events import EventHook
    from runner.ledger.protocol import Ledger
    from runner.local.resources import Resources
    from runner.protocols import Source


class EngineOfRuns:
    """`make` makes the engine when a run needs it; None if there is none."""

    def __init__(self, resources: Resources, make: Callable[[], Engine] | None) -> None:
        self._resources = resources
        self._make = make

    def gate(self, spec: RunSpec, *, emit: EventHook, keep: KeepPool) -> Gate | None:
        """Return the gate of a run, None without `--check`. Raises ConfigError."""
        if spec.check is None:
            return None
        from runner.check.gate import GateMode  # noqa: PLC0415 - processes, which most runs never need
        from runner.check.setup import gate  # noqa: PLC0415

        engine = self._engine("checks its files")
        return gate(self._resources, spec, engine, mode=GateMode(spec.check), emit=emit, keep=keep)

    def packing(self, spec: RunSpec) -> PackingSetup:
        """Return how a run packs its files. Raises ConfigError."""
        if not spec.packs:
            return PackingSetup(ignored=frozenset(spec.ignored_packs), is_off=spec.pack_is_off)
        if self._resources.ledger_is_shared:
            raise ConfigError("packing needs a ledger that is a file", hint="set --ledger FILE, or give --pack off")
        if not self._resources.settings.filename_tag:
            raise ConfigError(
                "packing needs the tags in filenames, by which a pack is found after a lost response",
                hint="leave out --no-filename-tag, or give --pack off",
            )
        from runner.check.packing import packing_setup  # noqa: PLC0415 - as above

        engine = self._engine("packs its files")
        if engine.missing:
            packages = ", ".join(package for package, _ in engine.missing)
            raise ConfigError(
                f"packing predicts the import of each file, for which these packages are missing: {packages}",
                hint="pip install 'dromo-bulkhead[sandbox]', or give --pack off",
            )
        return packing_setup(self._resources, spec, engine)

    def packer(self, spec: RunSpec, source: Source, ledger: Ledger | None) -> PackPlanner | None:
        """Return what plans the packs of a run before it begins, None if it makes none. Raises ConfigError."""
        if not spec.packs:
            return None
        from runner.check.setup import schemas_of_the_vendor  # noqa: PLC0415 - as above

        endpoint = self._resources.endpoint
        return PackPlanner(
            files=source,
            routes=spec.routes,
            rules=RulesOfRoutes(schemas_of_the_vendor(self._resources), attempts=1),
            setup=self.packing(spec),
            earlier=EarlierItems(ledger, endpoint=endpoint, again=spec.again, retry_failed=spec.retry_failed),
            endpoint=endpoint,
        )

    def _engine(self, what: str) -> Engine:
        if self._make is None:
            raise ConfigError(
                f"this batch {what}, but no engine is given",
                hint="pass Bulkhead(settings, engine=runner.check.sandbox_engine.sandbox_engine)",
            )
        return self._make()
