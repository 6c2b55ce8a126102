"""Which routes no webhook of the vendor could ever report, by the settings of their imports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.findings import Finding, Level
from runner.formatting import shown

if TYPE_CHECKING:
    from runner.config.routes import Route

FULL_DATA = "FULL_DATA"
OWN_URLS = ("webhookUrl", "needsReviewWebhookUrl")
_SYNC_HINT = f'set backendSyncMode = "{FULL_DATA}" in the settings of the route'
_IDENTIFIER_HINT = "set importIdentifier in the settings of the route, and choose it for the webhook in the dashboard"
_DEVELOPMENT_HINT = "turn on Development Mode of the webhook in the dashboard, or remove developmentMode from the route"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookUse:
    """How the imports of routes are reported.

    With `per_import`, each import names the webhook itself; otherwise, managed webhooks of the vendor's dashboard
    report it. `is_needed` is whether anything here listens to managed webhooks.
    """

    per_import: bool = False
    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class _Silence:
    """Why a webhook is never called for a route's imports; `is_managed` if it is one of the dashboard."""

    sentence: str
    hint: str
    is_managed: bool = False


def webhook_findings(
    routes: Iterable[Route], *, use: WebhookUse, saved: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Finding]:
    """Return a finding for each route whose imports a webhook never reports.

    It is ok if only managed webhooks are concerned and none is needed, else a warning. `saved` are the settings of
    saved schemas by id, as far as they are known.
    """
    return [
        _finding(route, silences, use)
        for route in routes
        if (silences := list(_silences(route, use=use, saved=(saved or {}).get(route.schema_id or ""))))
    ]


def _finding(route: Route, silences: list[_Silence], use: WebhookUse) -> Finding:
    matters = [one for one in silences if use.is_needed or not one.is_managed]
    return Finding(
        name=f"webhooks of route {shown(route.name)}",
        level=Level.WARN if matters else Level.OK,
        detail="; ".join(one.sentence for one in silences),
        hint="; ".join(one.hint for one in matters) or None,
    )


def _silences(route: Route, *, use: WebhookUse, saved: Mapping[str, Any] | None) -> Iterator[_Silence]:
    given = {**(saved or {}), **(route.settings or {})}
    settings = {key: value for key, value in given.items() if value is not None}
    is_complete = route.fields is not None or saved is not None
    own = [key for key in OWN_URLS if settings.get(key)]
    if own and not _may_sync(settings, is_default=use.per_import or not is_complete):
        yield _Silence(f"{' and '.join(own)}: never called without backendSyncMode = {FULL_DATA}", _SYNC_HINT)
    if use.per_import:
        yield from _silences_of_stack(settings, own)
        return
    if route.fields is not None and not settings.get("importIdentifier"):
        sentence = "no managed webhook can report its imports: an inline schema needs an importIdentifier for that"
        yield _Silence(sentence, _IDENTIFIER_HINT, is_managed=True)
    if settings.get("developmentMode"):
        sentence = "developmentMode: a managed webhook for production imports never reports it"
        yield _Silence(sentence, _DEVELOPMENT_HINT, is_managed=True)


def _silences_of_stack(settings: Mapping[str, Any], own: list[str]) -> Iterator[_Silence]:
    """Return why the stack's webhook is never called, although each import names it unless the route names another."""
    if len(own) == len(OWN_URLS):
        yield _Silence(
            "the stack's webhook is never called: the route names other URLs",
            f"remove {' and '.join(own)} from the settings of the route",
        )
    elif not own and not _may_sync(settings, is_default=True):
        mode = settings["backendSyncMode"]
        yield _Silence(f"the stack's webhook is never called: backendSyncMode is {mode}, not {FULL_DATA}", _SYNC_HINT)


def _may_sync(settings: Mapping[str, Any], *, is_default: bool) -> bool:
    """Tell whether an import may send the vendor all data; `is_default` is the answer if its settings say nothing."""
    mode = settings.get("backendSyncMode")
    if mode is None:
        return is_default or settings.get("backendSync") is True
    return bool(mode == FULL_DATA)
