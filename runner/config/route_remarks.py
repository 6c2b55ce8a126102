"""Remarks about names in the schemas of routes: in the routes themselves, and in the saved schemas that they name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.config.schema_keys import RemarkKind, SchemaRemark, schema_remarks
from runner.findings import Finding, ok, warn
from runner.formatting import shown

if TYPE_CHECKING:
    from runner.config.routes import Route

_NAMES_HINT = "correct these names: the vendor may refuse the import, or ignore what they say"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRemark:
    """A remark about a name in a route's own fields, settings, or hooks, or in the saved schema `schema_id`."""

    route: str
    remark: SchemaRemark
    schema_id: str | None = None

    @property
    def place(self) -> str:
        """The route or the saved schema, for people."""
        return f"saved schema {shown(self.schema_id)}" if self.schema_id else f"route {shown(self.route)}"

    @property
    def sentence(self) -> str:
        return f"{self.place}: {self.remark.sentence}"

    @property
    def is_fault(self) -> bool:
        """Whether the vendor may refuse or ignore the name."""
        return self.remark.kind is not RemarkKind.DOCUMENTED

    def as_object(self) -> dict[str, Any]:
        """Return the remark as `--json` shows it."""
        remark = self.remark
        return {
            "route": self.route,
            "schema_id": self.schema_id,
            "path": remark.path,
            "value": remark.value,
            "kind": remark.kind.value,
            "nearest": remark.nearest or None,
            "message": remark.sentence,
        }


def remarks_of_routes(routes: Iterable[Route]) -> list[RouteRemark]:
    """Return the remarks about what each route says itself."""
    return [
        RouteRemark(route=route.name, remark=remark)
        for route in routes
        for remark in schema_remarks(fields=route.fields, settings=route.settings, hooks=route.hooks)
    ]


def remarks_of_saved(schema_id: str, schema: Mapping[str, Any], *, route: str = "") -> list[RouteRemark]:
    """Return the remarks about a saved schema, as the vendor returns it; `route` is the first one that names it."""
    found = schema_remarks(fields=schema.get("fields"), settings=schema.get("settings"), hooks=schema.get("hooks"))
    return [RouteRemark(route=route, remark=remark, schema_id=schema_id) for remark in found]


def sentences(remarks: Iterable[RouteRemark]) -> list[str]:
    """Return one sentence for each fault, and one for all documented names of each place."""
    found: dict[tuple[str, str], list[RouteRemark]] = {}
    for one in remarks:
        found.setdefault((one.place, one.remark.path if one.is_fault else ""), []).append(one)
    return [group[0].sentence if group[0].is_fault else _documented(group) for group in found.values()]


def fault_sentences(remarks: Iterable[RouteRemark]) -> list[str]:
    """Return one sentence for each name that the vendor may refuse or ignore."""
    return [one.sentence for one in remarks if one.is_fault]


def name_findings(remarks: Sequence[RouteRemark]) -> list[Finding]:
    """Return a finding for each route or saved schema that has remarks; a warning if a name may be a fault."""
    by_place: dict[str, list[RouteRemark]] = {}
    for one in remarks:
        by_place.setdefault(one.place, []).append(one)
    found = []
    for place, told in by_place.items():
        detail = "; ".join(sentence.removeprefix(f"{place}: ") for sentence in sentences(told))
        is_fault = any(one.is_fault for one in told)
        found.append(warn(place, detail, _NAMES_HINT) if is_fault else ok(place, detail))
    return found


def _documented(group: list[RouteRemark]) -> str:
    paths = ", ".join(one.remark.path for one in group)
    verb = "is" if len(group) == 1 else "are"
    return f"{group[0].place}: {paths} {verb} documented, but not in the vendor's OpenAPI file"
