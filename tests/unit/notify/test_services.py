"""URLs of apprise: loaded before anything is sent, and shown without a secret whatever goes wrong."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
from pydantic import SecretStr

from runner.errors import ConfigError
from runner.notify.message import TEST
from runner.notify.notifier import send_all
from runner.notify.services import AppriseService, load_services
from tests.support.receiver import running_receiver

SECRETS = ("canary-user", "canary-password", "canary-path", "canary-header", "CanaryToken")


def url_of(address: str) -> str:
    """Return the apprise URL of a receiver, with a secret wherever one can be."""
    return f"{address.replace('http://', 'json://canary-user:canary-password@')}/canary-path?+X-Key=canary-header"


async def loaded(*urls: str) -> list[AppriseService]:
    return await load_services([SecretStr(url) for url in urls], origin="flag")


async def troubles(*urls: str, within_s: float = 20.0) -> list[str | None]:
    sent = await send_all(await loaded(*urls), TEST, stop=asyncio.Event(), within_s=within_s)
    return [trouble for _, trouble in sent]


def shows_no_secret(text: str) -> bool:
    return not any(secret in text for secret in SECRETS)


async def test_a_message_arrives_as_it_is() -> None:
    async with running_receiver() as receiver:
        assert await troubles(url_of(receiver.url)) == [None]
        (got,) = receiver.got
        assert (got["title"], got["message"], got["type"]) == (TEST.title, TEST.body, "info")
        assert receiver.headers[0]["X-Key"] == "canary-header"
        assert receiver.headers[0]["User-Agent"] == "Bulkhead"


async def test_a_receiver_that_refuses_is_named_with_its_host_and_status() -> None:
    async with running_receiver() as receiver:
        receiver.answers = [500]
        (service,) = await loaded(url_of(receiver.url))
        port = receiver.url.split(":")[2].split("/")[0]
        assert service.label == f"JSON (127.0.0.1:{port})"
        trouble = await asyncio.to_thread(service.send, TEST)
    assert trouble is not None
    assert "500" in trouble
    assert shows_no_secret(trouble)


async def test_one_that_is_not_there_is_a_sentence_without_a_secret() -> None:
    (trouble,) = await troubles(url_of("http://127.0.0.1:1"))
    assert trouble is not None
    assert "onnection" in trouble
    assert shows_no_secret(trouble)


@asynccontextmanager
async def silent_receiver() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A receiver that reads and never answers, and an event that is set once it has read."""
    has_read, is_over, is_closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
        await writer.drain()
        has_read.set()
        await is_over.wait()
        writer.close()
        await writer.wait_closed()
        is_closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", has_read
    finally:
        is_over.set()
        await is_closed.wait()
        server.close()


async def test_a_receiver_that_hangs_delays_neither_the_others_nor_the_end() -> None:
    async with silent_receiver() as (address, has_read), running_receiver() as receiver:
        stop = asyncio.Event()
        sending = asyncio.ensure_future(send_all(await loaded(url_of(address)), TEST, stop=stop))
        await has_read.wait()
        assert await troubles(url_of(receiver.url)) == [None]
        stop.set()
        assert [trouble for _, trouble in await sending] == ["it was skipped"]


class Listener(logging.Handler):
    """A handler of the root logger, as `-v` and programs have them."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """Hear all loggers, whatever other tests have told them to leave out."""
    root, others, listener = logging.getLogger(), logging.getLogger("urllib3.connectionpool"), Listener()
    before = {logger: logger.level for logger in (root, others)}
    root.addHandler(listener)
    monkeypatch.setattr(logging.Logger.manager, "disable", logging.NOTSET)
    for logger in before:
        logger.setLevel(logging.DEBUG)
        monkeypatch.setattr(logger, "disabled", False)
        monkeypatch.setattr(logger, "propagate", True)
    yield listener
    root.removeHandler(listener)
    for logger, level in before.items():
        logger.setLevel(level)


async def test_no_secret_reaches_the_log_of_the_program(listener: Listener) -> None:
    async with running_receiver() as receiver:
        receiver.answers = [500, 204]
        assert None not in await troubles(url_of(receiver.url))
        assert await troubles(url_of(receiver.url)) == [None]
    with pytest.raises(ConfigError):
        await loaded("slack://CanaryToken")
    logging.getLogger("urllib3.connectionpool").debug("of others")
    assert "of others" in listener.said
    assert shows_no_secret(" ".join(listener.said))


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "Slack"),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "Slack"),
        ("mailto://me:secret@example.com", "E-Mail (example.com:25)"),
        ("ntfy://a-topic-that-is-a-secret", "ntfy"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "Discord"),
        ("jsons://hooks.example.com:8443/secret", "JSON (hooks.example.com:8443)"),
    ],
)
async def test_a_label_has_the_host_only_where_no_secret_can_be_in_its_place(url: str, label: str) -> None:
    assert [service.label for service in await loaded(url)] == [label]


@pytest.mark.parametrize(
    ("url", "shown", "why"),
    [
        ("nonsense://CanaryToken", "nonsense://****", "apprise cannot use this URL"),
        ("slack://CanaryToken", "slack://****", "apprise cannot use this URL"),
        ("https://example.com/canary-path", "https://****", "apprise cannot use this URL"),
        ("macosx://canary-user", "macosx://****", "this machine lacks a package or program"),
    ],
)
async def test_a_url_that_cannot_be_used_is_refused_and_masked(url: str, shown: str, why: str) -> None:
    with pytest.raises(ConfigError, match="flag") as caught:
        await loaded("json://127.0.0.1:1", url)
    assert f"notify_urls: {shown} (flag): {why}" in str(caught.value)
    assert "docs/notifications.md" in str(caught.value.hint)
    assert shows_no_secret(f"{caught.value}{caught.value.hint}")


async def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError, match="the notify extra is not installed") as caught:
        await loaded("json://127.0.0.1:1")
    assert "pip install '.[notify]'" in str(caught.value.hint)


async def test_a_version_of_apprise_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", ModuleType("apprise"))
    with pytest.raises(ConfigError, match="the installed version of apprise cannot be used") as caught:
        await loaded("json://127.0.0.1:1")
    assert "pip install '.[notify]'" in str(caught.value.hint)


async def test_a_service_that_raises_while_it_is_set_up_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(url: str, **_: object) -> None:
        raise TypeError(url)

    import apprise

    monkeypatch.setattr(apprise.Apprise, "instantiate", broken)
    with pytest.raises(ConfigError, match=r"apprise cannot use this URL \(TypeError\)") as caught:
        await loaded("json://canary-user@127.0.0.1:1")
    assert shows_no_secret(str(caught.value))


async def test_no_thread_of_apprise_keeps_the_process_from_ending() -> None:
    async with running_receiver() as receiver:
        assert await troubles(url_of(receiver.url)) == [None]
    assert not [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]


async def test_nothing_is_imported_if_nobody_is_notified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert await loaded() == []
