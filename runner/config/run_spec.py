"""RunSpec: what a run is asked to do, and the part of it that a batch keeps for a resume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from runner.config.routes import Route, Routes
from runner.errors import ConfigError
from runner.sources import SourceSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What to run: a source, its routes, and where results go (`out`; default `./bulkhead-out/<batch id>`).

    `again`, `retry_failed`, and `json_is_new` as in `RunOptions`. With `check` each file is judged before its first
    create, as `runner.check.Gate` says. With `pack`, up to so many small files travel together in one import, where
    their route does not say another number; with 0, none do, whatever routes say. A person has looked at the packs with
    the tags `ignored_packs`, which this ledger does not know. `driver` is what processes the batch: a runner, or the
    functions of a stack. `earlier_routes` are those of items that were added before `routes` took effect.
    """

    source: SourceSpec
    routes: Routes
    out: str | None = None
    again: bool = False
    retry_failed: bool = False
    json_is_new: bool = False
    fail_if_empty: bool = False
    check: Literal["skip", "warn"] | None = None
    pack: int | None = None
    ignored_packs: tuple[str, ...] = ()
    driver: Literal["runner", "stack"] = "runner"
    earlier_routes: Routes = field(default_factory=lambda: Routes([]))

    @property
    def packs(self) -> bool:
        """Return whether files of some route travel together."""
        return any(self.pack_limit(route) for route in self.routes.routes)

    def pack_limit(self, route: Route) -> int:
        """Return how many files of a route a pack has at most, 0 for none."""
        if self.pack == 0 or route.pack is None:
            return self.pack or 0
        return route.pack

    def pack_is_off(self, route: Route) -> bool:
        """Return whether the files of a route are not packed because somebody said so, not by default."""
        return 0 in (self.pack, route.pack)

    def to_json(self) -> str:
        raw = {"source": self.source.to_json(), "routes": self.routes.to_json(), "again": self.again}
        raw |= {"retry_failed": True} if self.retry_failed else {}
        raw |= {"json_is_new": True} if self.json_is_new else {}
        raw |= {"check": self.check} if self.check else {}
        raw |= {"pack": self.pack} if self.pack is not None else {}
        raw |= {"ignored_packs": list(self.ignored_packs)} if self.ignored_packs else {}
        raw |= {"driver": self.driver} if self.driver != "runner" else {}
        raw |= {"earlier_routes": self.earlier_routes.to_json()} if self.earlier_routes.routes else {}
        return orjson.dumps(raw).decode()

    @classmethod
    def from_json(cls, text: str) -> RunSpec:
        """Return the spec that a batch keeps. Raises ConfigError if it cannot be read."""
        try:
            return cls._of(orjson.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"the batch's record of its options cannot be read ({type(error).__name__})",
                hint="a newer version of Bulkhead may have written it: pip install --upgrade dromo-bulkhead",
            ) from error

    @classmethod
    def _of(cls, raw: dict[str, Any]) -> RunSpec:
        return cls(
            source=SourceSpec.from_json(raw["source"]),
            routes=Routes.from_json(raw["routes"]),
            again=raw["again"],
            retry_failed=raw.get("retry_failed", False),
            json_is_new=raw.get("json_is_new", False),
            check=raw.get("check"),
            pack=raw.get("pack"),
            ignored_packs=tuple(raw.get("ignored_packs", ())),
            driver=raw.get("driver", "runner"),
            earlier_routes=Routes.from_json(raw.get("earlier_routes", [])),
        )
