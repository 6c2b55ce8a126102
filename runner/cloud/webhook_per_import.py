"""Called back: an API whose imports each name the webhook that is to tell of their end.

It is laid over the request when it is sent: the url holds a token that changes, and is no part of what an item is.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runner.errors import BulkheadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.models import CreateRequest, ImportPage, RemoteImport
    from runner.protocols import ImportsApi


class WebhookPerImport:
    """Implements ImportsApi over another; `webhook_url` is asked before each create. A route's own webhook stays."""

    def __init__(self, api: ImportsApi, webhook_url: Callable[[], str]) -> None:
        self._api = api
        self._webhook_url = webhook_url

    async def create(self, request: CreateRequest) -> RemoteImport:
        url = self._webhook_url()
        named = {"webhookUrl": url, "needsReviewWebhookUrl": url}
        try:
            return await self._api.create(replace(request, settings={**named, **(request.settings or {})}))
        except BulkheadError as error:
            raise error.with_message(_without(url, str(error))) from error.__cause__

    async def retrieve(self, import_id: str) -> RemoteImport:
        return await self._api.retrieve(import_id)

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        return await self._api.list_page(limit=limit, offset=offset)

    async def results_url(self, import_id: str) -> str:
        return await self._api.results_url(import_id)

    async def delete(self, import_id: str) -> None:
        await self._api.delete(import_id)

    async def schema(self, schema_id: str) -> dict[str, Any]:
        return await self._api.schema(schema_id)


def _without(url: str, text: str) -> str:
    """Return a refusal, which may quote the url or cut it short, without what stands behind its last slash."""
    base, _, _ = url.rpartition("/")
    return re.sub(rf"({re.escape(base)}/)[^\s\"']*", r"\1…", text)
