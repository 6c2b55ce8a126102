"""The vendor's API as a state machine: every endpoint as a method."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Self, Unpack
from urllib.parse import urlencode

from sandbox.creation import CreateRequest, parse_create
from sandbox.imports import Import, new_id
from sandbox.item_origin import NO_ORIGIN, ItemOrigin
from sandbox.journal import Journal, SavedAccount
from sandbox.problems import ApiProblem, throttled
from sandbox.quotas import SlidingLog
from sandbox.run_state import RunOptions
from sandbox.schemas import SavedSchemas
from sandbox.settings import SandboxSettings
from sandbox.storage import result_path, upload_path
from sandbox.storage_state import StorageState

API_PREFIX = "/api/v1"
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


class SandboxState(StorageState):
    """The vendor's account. Every endpoint is a method that takes `now` (epoch seconds) and returns the answer's JSON.

    All of them raise ApiProblem. `options` are those of RunState. `origin` is what the URLs in the answers begin with.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        schemas: Iterable[Mapping[str, Any]] = (),
        origin: str = "http://sandbox.invalid",
        **options: Unpack[RunOptions],
    ) -> None:
        super().__init__(rng, **options)
        self.origin = origin
        self.schemas = SavedSchemas(schemas, new_id=partial(new_id, rng))
        self._create_log = SlidingLog(self.settings.create_quota)

    def authenticate(self, license_key: str | None) -> None:
        """Raise 401 without a key and 403 for a wrong one; neither counts against a quota."""
        if not license_key:
            self.counters.count("bad_keys")
            raise ApiProblem(401, {"detail": "Authentication credentials were not provided."})
        if self.settings.license_key is not None and license_key != self.settings.license_key:
            self.counters.count("bad_keys")
            raise ApiProblem(403, {"detail": "Invalid license key."})

    def create(self, body: object, now: float) -> dict[str, Any]:
        """Create an import from `body` (a decoded JSON value, or its bytes) and return the full import."""
        self.admit_create(now)
        return self.create_admitted(body, now)

    def admit_create(self, now: float) -> None:
        """Count a create against its quota, before anything looks at its body."""
        if not self._create_log.admit(now):
            self.counters.count("refused_create_times", repr(now))
            raise throttled(self._create_log.retry_after_s(now), now=now, header=self.settings.retry_after)
        self._journal.admitted("", now, window_s=self.settings.create_quota.window_s)
        self.counters.count("create_times", repr(now))

    def create_admitted(self, body: object, now: float, *, origin: ItemOrigin = NO_ORIGIN) -> dict[str, Any]:
        """As `create`, after `admit_create`; `origin` is for the pages that people see."""
        request = parse_create(body, schemas=self.schemas.by_id)
        made = self._made(request, origin=origin, now=now)
        if request.rows is not None:
            self._arrive(made, self.storage.put(f"{made.id}.rows", request.rows_json), at=now)
        self._account.imports[made.id] = made
        self.counters.count("created_ids", made.id)
        self._journal.import_changed(made)
        self._drop_oldest()
        return self._full(made, now=now)

    def retrieve(self, import_id: str, now: float) -> dict[str, Any]:
        log = self._account.poll_log(import_id, self.settings.poll_quota)
        if not log.admit(now):
            self.counters.count("refused_polls", import_id)
            raise throttled(log.retry_after_s(now), now=now, header=self.settings.retry_after)
        self._journal.admitted(import_id, now, window_s=self.settings.poll_quota.window_s)
        self.counters.count("polls", import_id)
        return self._full(self._settled(import_id, now=now), now=now)

    def list_imports(self, now: float, *, limit: object = None, offset: object = None) -> dict[str, Any]:
        """Return one page, newest first. As in Django REST framework, an invalid limit or offset is ignored."""
        self.counters.count("list_calls")
        paging = Paging.read(limit, offset)
        return {
            "count": len(self._account.imports),
            **paging.links(f"{self.origin}{API_PREFIX}/headless/imports/", count=len(self._account.imports)),
            "results": [
                self._shown(self._settled(import_id, now=now).short(now))
                for import_id in paging.of(reversed(self._account.imports))
            ],
        }

    def results_url(self, import_id: str, now: float) -> dict[str, Any]:
        self.counters.count("url_calls")
        found = self._settled(import_id, now=now)
        if found.status(now) != "SUCCESSFUL":
            raise ApiProblem(404, {"detail": "This import has no results."})
        target = self._signer.sign("GET", result_path(import_id), now=now, ttl_s=self.settings.result_ttl_s)
        return {"presigned_url": self.origin + target}

    def delete(self, import_id: str, now: float) -> None:
        self._forget(self._settled(import_id, now=now))

    def reset(self) -> None:
        """Forget imports, stored objects, logs, and counters; saved schemas and settings stay."""
        self._create_log = SlidingLog(self.settings.create_quota)
        super().reset()

    def restore(self, saved: SavedAccount, journal: Journal) -> None:
        """As RunState.restore, with the saved schemas and the requests that count against a quota."""
        self.schemas.restore(saved.schemas, preloaded=saved.preloaded, journal=journal)
        for log, at in saved.admitted:
            (self._account.poll_log(log, self.settings.poll_quota) if log else self._create_log).restore(at)
        super().restore(saved, journal)

    def configure(self, settings: SandboxSettings) -> None:
        super().configure(settings)
        self._create_log.rate = settings.create_quota

    def _made(self, request: CreateRequest, *, origin: ItemOrigin, now: float) -> Import:
        import_id = new_id(self._rng)
        target = ""
        if request.original_filename is not None:
            path = upload_path(import_id, request.original_filename)
            target = self._signer.sign("PUT", path, now=now, ttl_s=self.settings.upload_ttl_s)
        return Import(
            id=import_id,
            schema_id=request.schema_id,
            schema=self._account.shared(request.schema),
            original_filename=request.original_filename,
            user=request.user,
            created_at=now,
            upload_target=target,
            review_token=self._rng.randbytes(16).hex(),
            source=origin.source,
            batch_id=origin.batch_id,
        )

    def _full(self, found: Import, *, now: float) -> dict[str, Any]:
        status = found.status(now)
        links = {
            "upload": self._upload_url(found, now=now) if status == "AWAITING_UPLOAD" else None,
            "review_url": self.origin + found.review_path if status == "NEEDS_REVIEW" else None,
        }
        return self._shown(found.short(now) | links) | found.result_fields(now)

    def _upload_url(self, found: Import, *, now: float) -> str:
        if self.settings.fresh_upload_url and found.original_filename is not None:
            path = upload_path(found.id, found.original_filename)
            return self.origin + self._signer.sign("PUT", path, now=now, ttl_s=self.settings.upload_ttl_s)
        return self.origin + found.upload_target


@dataclass(frozen=True)
class Paging:
    """A page of a list, as Django REST framework cuts and links it: `size` entries from `start` on."""

    size: int
    start: int

    @classmethod
    def read(cls, limit: object, offset: object) -> Self:
        """Read the query's values; one that is not a number counts as absent."""
        return cls(min(_whole(limit) or DEFAULT_LIMIT, MAX_LIMIT), _whole(offset) or 0)

    def of(self, names: Iterable[str]) -> list[str]:
        return list(islice(names, self.start, self.start + self.size))

    def links(self, url: str, *, count: int) -> dict[str, str | None]:
        """Return the URLs of the next and the previous page; None if there is none."""
        after, before = self.start + self.size, max(self.start - self.size, 0)
        return {
            "next": self._link(url, after) if after < count else None,
            "previous": self._link(url, before) if self.start > 0 else None,
        }

    def _link(self, url: str, offset: int) -> str:
        query = {"limit": self.size, "offset": offset} if offset else {"limit": self.size}
        return f"{url}?{urlencode(query)}"


def _whole(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None
