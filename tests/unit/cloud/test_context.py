"""Imports that name their own webhook."""

from __future__ import annotations

import pytest

from runner.cloud.context import WebhookPerImport
from runner.errors import RequestInvalid
from runner.models import CreateRequest, RemoteImport


class Vendor:
    """Keeps the creates it is sent."""

    def __init__(self) -> None:
        self.requests: list[CreateRequest] = []

    async def create(self, request: CreateRequest) -> RemoteImport:
        self.requests.append(request)
        return RemoteImport(import_id="i", status="AWAITING_UPLOAD")


async def test_each_create_names_the_webhook_as_it_is_now() -> None:
    vendor, urls = Vendor(), iter(["https://h.test/one", "https://h.test/two"])
    api = WebhookPerImport(vendor, lambda: next(urls))
    request = CreateRequest(schema_id="s", original_filename="a.csv", settings={"title": "T"})
    for _ in range(2):
        await api.create(request)
    one, two = (sent.settings for sent in vendor.requests)
    assert one == {
        "title": "T",
        "webhookUrl": "https://h.test/one",
        "needsReviewWebhookUrl": "https://h.test/one",
        "backendSyncMode": "FULL_DATA",
    }
    assert two is not None
    assert two["webhookUrl"] == "https://h.test/two"
    assert request.settings == {"title": "T"}


async def test_a_webhook_that_the_route_names_stays() -> None:
    vendor = Vendor()
    request = CreateRequest(schema_id="s", original_filename="a.csv", settings={"webhookUrl": "https://own.test/"})
    await WebhookPerImport(vendor, lambda: "https://h.test/one").create(request)
    assert vendor.requests[0].settings == {
        "webhookUrl": "https://own.test/",
        "needsReviewWebhookUrl": "https://h.test/one",
        "backendSyncMode": "FULL_DATA",
    }


async def test_a_mode_of_the_vendors_copy_that_the_route_names_stays() -> None:
    vendor = Vendor()
    request = CreateRequest(schema_id="s", original_filename="a.csv", settings={"backendSyncMode": "MAPPINGS_ONLY"})
    await WebhookPerImport(vendor, lambda: "https://h.test/one").create(request)
    assert (vendor.requests[0].settings or {})["backendSyncMode"] == "MAPPINGS_ONLY"


@pytest.mark.parametrize("quoted", ["https://h.test/wh/v1/secret", "https://h.test/wh/v1/sec"])
async def test_a_refusal_that_quotes_the_url_does_not_tell_its_token(quoted: str) -> None:
    class Refusing(Vendor):
        async def create(self, request: CreateRequest) -> RemoteImport:
            raise RequestInvalid(f'settings.webhookUrl: "{quoted}" cannot be reached')

    api = WebhookPerImport(Refusing(), lambda: "https://h.test/wh/v1/secret")
    with pytest.raises(RequestInvalid) as refused:
        await api.create(CreateRequest(schema_id="s", original_filename="a.csv"))
    assert str(refused.value) == 'settings.webhookUrl: "https://h.test/wh/v1/…" cannot be reached'
