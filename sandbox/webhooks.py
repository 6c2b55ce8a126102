"""Webhooks: which URLs get an import's end, with which body, and when a delivery is retried."""

import heapq
import random
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import orjson

from sandbox.faults import Fault
from sandbox.imports import Ended, Import, iso_instant, new_id
from sandbox.journal import Delivery, Journal, NoJournal, Registration, SavedAccount
from sandbox.problems import invalid, not_found
from sandbox.schema_validation import web_address

EVENTS = {
    "SUCCESSFUL": "import_completed",
    "NEEDS_REVIEW": "headless_import_needs_review",
    "FAILED": "headless_import_failed",
}
BASIC_SETTINGS = {"SUCCESSFUL": "webhookUrl", "NEEDS_REVIEW": "needsReviewWebhookUrl"}
USER_KEYS = {"id": "id", "name": "name", "email": "email", "company_id": "companyId", "company_name": "companyName"}
"""The keys of `data.user`, each with the key of the create that it comes from."""

MAX_ATTEMPTS = 10
BACKOFF_START_S = 5.0
BACKOFF_MAX_S = 3600.0
PENDING_MAX_COUNT = 10_000
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"


class Count(Protocol):
    def __call__(self, name: str, key: str) -> None: ...


class Webhooks:
    """The registered webhooks and the queue of deliveries. Instants are epoch seconds of the sandbox's clock.

    Receivers are on this machine or on `hosts`. `next_fault` is called once for each delivery, and `count` with its
    outcome.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        count: Count,
        next_fault: Callable[[], Fault | None],
        hosts: Iterable[str] = (),
    ) -> None:
        self._rng = rng
        self._count = count
        self._next_fault = next_fault
        self._hosts = {host.lower() for host in hosts}
        self._journal: Journal = NoJournal()
        self._registered: dict[str, Registration] = {}
        self._pending: dict[str, Delivery] = {}
        self._sending: set[str] = set()
        self._order: list[tuple[float, int, str]] = []
        self._number = 0

    def restore(self, saved: SavedAccount, journal: Journal) -> None:
        """Continue with saved webhooks; a delivery that was in progress is repeated."""
        self._journal = journal
        self._registered = {registration.id: registration for registration in saved.registrations}
        for delivery in saved.deliveries:
            self._pending[delivery.id] = delivery
            self._schedule(delivery)

    def reset(self) -> None:
        """Forget all deliveries; registrations stay."""
        self._pending.clear()
        self._order.clear()

    # The control plane

    def all(self) -> list[dict[str, Any]]:
        return [_shown(registration) for registration in self._registered.values()]

    def pending(self) -> list[dict[str, Any]]:
        """Return the deliveries still to make, without their URLs, which may contain a receiver's secret."""
        names = ("id", "import_id", "event", "attempts", "due_at", "held")
        return [{name: getattr(one, name) for name in names} for one in self._pending.values()]

    def register(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Register a Registration's values without `id`, by default for all events of all imports.

        Raises ApiProblem 400.
        """
        url, events = body.get("url"), body.get("events", list(EVENTS.values()))
        if problem := web_address(url):
            raise invalid("url", problem)
        if not self.allows(str(url)):
            raise invalid("url", "Only addresses of this machine and of --webhook-hosts are allowed.")
        if not isinstance(events, list) or not events or not all(event in EVENTS.values() for event in events):
            raise invalid("events", f"Expected some of {', '.join(EVENTS.values())}.")
        mode = body.get("development_mode")
        if not isinstance(mode, bool | None):
            raise invalid("development_mode", "Must be a valid boolean.")
        registration = Registration(
            id=new_id(self._rng),
            url=str(url),
            events=tuple(events),
            import_identifiers=_names(body, "import_identifiers"),
            schema_ids=_names(body, "schema_ids"),
            development_mode=mode,
        )
        self._registered[registration.id] = registration
        self._journal.registered(registration)
        return _shown(registration)

    def unregister(self, registration_id: str) -> None:
        if self._registered.pop(registration_id, None) is None:
            raise not_found()
        self._journal.unregistered(registration_id)

    def allows(self, url: str) -> bool:
        """Return whether `url` names this machine or an allowed host. No name is resolved."""
        host = (urlsplit(url).hostname or "").lower()
        if host in self._hosts or host == "localhost":
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False

    # The queue

    def announce(self, ended: Ended, now: float) -> None:
        """Queue a delivery for every webhook that reports this end of an import."""
        event = EVENTS[ended.status]
        body = orjson.dumps({"event": event, "data": _data(ended)}).decode()
        for registration in list(self._registered.values()):
            if event in registration.events and _reports(registration, ended.found):
                self._post(ended, now=now, url=registration.url, content_type=_JSON, body=body)
        settings = ended.found.schema["settings"]
        url = settings.get(BASIC_SETTINGS.get(ended.status, ""))
        if url and not _is_synced(settings):
            self._count("webhooks", "not_synced")
        elif url:
            self._post(ended, now=now, url=url, content_type=_FORM, body=urlencode({"uploadId": ended.found.id}))

    def due(self, now: float) -> list[Delivery]:
        """Return the deliveries that are due; each is returned once until `sent` or `failed` reports on it."""
        found = []
        while self._order and self._order[0][0] <= now:
            due_at, _, delivery_id = heapq.heappop(self._order)
            delivery = self._pending.get(delivery_id)
            if delivery and delivery.due_at == due_at and delivery_id not in self._sending:
                self._sending.add(delivery_id)
                found.append(delivery)
        return found

    def next_due_at(self) -> float | None:
        return self._order[0][0] if self._order else None

    def sent(self, delivery: Delivery, now: float) -> None:
        """Record that the receiver took it; deliveries that were held back are due now."""
        self._end(delivery, "delivered")
        for held in [one for one in self._pending.values() if one.held]:
            held.held, held.due_at = False, now
            self._schedule(held)
            self._journal.delivery_changed(held)

    def refused(self, delivery: Delivery) -> None:
        """Record that its URL is not allowed."""
        self._end(delivery, "refused")

    def failed(self, delivery: Delivery, now: float) -> None:
        """Schedule a retry, each time after about twice as long; give up after the last attempt."""
        self._sending.discard(delivery.id)
        if delivery.id not in self._pending:
            return
        delivery.attempts += 1
        self._count("webhooks", "failed_attempts")
        if delivery.attempts >= MAX_ATTEMPTS:
            self._end(delivery, "gave_up")
            return
        longest_s = min(BACKOFF_MAX_S, BACKOFF_START_S * 2 ** (delivery.attempts - 1))
        delivery.held, delivery.due_at = False, now + longest_s * self._rng.uniform(0.5, 1.0)
        self._schedule(delivery)
        self._journal.delivery_changed(delivery)

    # Inside

    def _post(self, ended: Ended, *, now: float, url: str, content_type: str, body: str) -> None:
        fault = self._next_fault()
        kind = fault.kind if fault else ""
        if kind:
            self._count("faults", f"webhook:{kind}")
        if kind == "lost":
            return
        late_s = fault.delay_s if fault and kind in {"delay", "reorder"} else 0.0
        bodies = [body, body] if kind == "duplicate" else [body]
        if kind == "forge":
            bodies.insert(0, body.replace(ended.found.id, new_id(self._rng)))
        for text in bodies:
            self._queue(
                Delivery(
                    id=new_id(self._rng),
                    import_id=ended.found.id,
                    event=EVENTS[ended.status],
                    url=url,
                    content_type=content_type,
                    body=text,
                    due_at=now + late_s,
                    held=kind == "reorder",
                )
            )

    def _queue(self, delivery: Delivery) -> None:
        if len(self._pending) >= PENDING_MAX_COUNT:
            self._end(next(iter(self._pending.values())), "dropped")
        self._pending[delivery.id] = delivery
        self._schedule(delivery)
        self._count("webhooks", "queued")
        self._journal.delivery_changed(delivery)

    def _end(self, delivery: Delivery, how: str) -> None:
        self._sending.discard(delivery.id)
        if self._pending.pop(delivery.id, None) is not None:
            self._count("webhooks", how)
            self._journal.delivery_gone(delivery.id)

    def _schedule(self, delivery: Delivery) -> None:
        self._number += 1
        heapq.heappush(self._order, (delivery.due_at, self._number, delivery.id))


def _shown(registration: Registration) -> dict[str, Any]:
    return {
        "id": registration.id,
        "url": registration.url,
        "events": list(registration.events),
        "import_identifiers": list(registration.import_identifiers),
        "schema_ids": list(registration.schema_ids),
        "development_mode": registration.development_mode,
    }


def _names(body: Mapping[str, Any], key: str) -> tuple[str, ...]:
    given = body.get(key)
    if not isinstance(given, list | None) or not all(isinstance(name, str) and name for name in given or ()):
        raise invalid(key, "Expected a list of strings.")
    return tuple(given or ())


def _reports(registration: Registration, found: Import) -> bool:
    """Tell whether a managed webhook reports this import."""
    settings = found.schema["settings"]
    if registration.development_mode not in {None, _is_development(settings)}:
        return False
    if not registration.import_identifiers and not registration.schema_ids:
        return True
    is_identified = settings.get("importIdentifier") in registration.import_identifiers
    return is_identified or found.schema_id in registration.schema_ids


def _is_development(settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("developmentMode"))


def _is_synced(settings: Mapping[str, Any]) -> bool:
    """Tell whether the vendor gets all data of an import, without which no basic webhook is sent."""
    if settings.get("backendSyncMode") is None:
        return settings.get("backendSync") is True
    return bool(settings["backendSyncMode"] == "FULL_DATA")


def _data(ended: Ended) -> dict[str, Any]:
    found = ended.found
    metadata = ended.shown["result_metadata"] or {}
    return {
        "id": found.id,
        "filename": found.original_filename,
        "user": None if found.user is None else {name: found.user.get(given) for name, given in USER_KEYS.items()},
        "created_date": iso_instant(found.created_at if found.ended_at is None else found.ended_at),
        "import_type": "HEADLESS",
        "status": ended.status,
        "num_data_rows": metadata.get("totalRows", 0),
        "development_mode": _is_development(found.schema["settings"]),
        "has_data": ended.status == "SUCCESSFUL",
        "headless": ended.shown,
    }
