"""A directory with a planted `bulkhead.toml` or `.env`: no command takes a key, credentials, or rows elsewhere."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runner.cli.app import COMMANDS
from tests.support.command import CANARY_AWS_KEY, CANARY_KEY, Command

AWS = {"AWS_ACCESS_KEY_ID": "canary-id", "AWS_SECRET_ACCESS_KEY": CANARY_AWS_KEY, "AWS_REGION": "eu-central-1"}
ARGUMENTS = {
    "init": ["inbox", "--schema-id", "s"],
    "run": ["inbox", "--schema-id", "s"],
    "plan": ["inbox", "--schema-id", "s"],
    "check": ["inbox", "--schema-id", "s"],
    "explain": ["inbox/a.csv", "--schema-id", "s"],
    "ledger copy": ["a.db", "b.db"],
    "ledger create-table": ["table"],
    "cloud start": ["s3://inbox/x/"],
    "cloud manifest": ["b1"],
    "cloud redrive": ["b1"],
}
WITHOUT_SETTINGS = {"sandbox"}


class Elsewhere:
    """A server at an address that is not one of this machine's usual names; it keeps what it receives."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.2", 0))
        self.url = f"http://127.0.0.2:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                with peer, suppress(OSError):
                    peer.settimeout(5)
                    self.received.append(peer.recv(1 << 16))
                    peer.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    server = Elsewhere()
    yield server
    server.close()


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command in a directory with a file to import, with a key and credentials from the environment."""
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/a.csv").write_text("Name\nAda\n")
    made = Command(tmp_path, api_url="unset", **AWS)
    del made.environment["BULKHEAD_API_URL"]
    return made


def plant(home: Path, where: str, name: str, value: str) -> None:
    """Give a setting a value, in one of the ways in which a directory can."""
    toml = f'{name} = "{value}"\n'
    match where:
        case "bulkhead.toml":
            (home / "bulkhead.toml").write_text(toml)
        case ".env":
            (home / ".env").write_text(f"BULKHEAD_{name.upper()}={value}\n")
        case _:
            (home / "named.toml").write_text(toml)
            (home / ".env").write_text("BULKHEAD_CONFIG=named.toml\n")


@pytest.mark.parametrize("where", ["bulkhead.toml", ".env", "named by .env"])
def test_the_key_does_not_go_where_only_the_working_directory_says(
    command: Command, elsewhere: Elsewhere, where: str
) -> None:
    plant(command.home, where, "api_url", f"{elsewhere.url}/api/v1")
    ended = command("doctor").expect(2)
    assert elsewhere.received == []
    assert CANARY_KEY not in ended.text

    [line] = [line for line in ended.text.splitlines() if line.startswith("hint: ")]
    name, _, value = line.partition("run: export ")[2].partition("=")
    command("doctor", variables={name: value}).expect(7)
    assert CANARY_KEY.encode() in elsewhere.received[0]


@pytest.mark.parametrize("where", ["bulkhead.toml", ".env", "named by .env"])
def test_nothing_signed_with_aws_credentials_does_either(command: Command, elsewhere: Elsewhere, where: str) -> None:
    plant(command.home, where, "aws_endpoint_url", elsewhere.url)
    command("plan", "s3://bucket/in/", "--schema-id", "s").expect(2)
    assert elsewhere.received == []


def test_a_key_in_dotenv_may_go_where_the_file_beside_it_says(command: Command, elsewhere: Elsewhere) -> None:
    plant(command.home, "bulkhead.toml", "api_url", elsewhere.url)
    (command.home / ".env").write_text("DROMO_LICENSE_KEY=theirs\n")
    command("doctor", variables={"DROMO_LICENSE_KEY": ""}).expect(7)
    assert b"theirs" in elsewhere.received[0]


def test_the_embedded_sandbox_needs_no_address_and_sends_nothing_there(command: Command, elsewhere: Elsewhere) -> None:
    (command.home / "fields.json").write_text('[{"key": "name", "label": "Name"}]')
    plant(command.home, "bulkhead.toml", "api_url", elsewhere.url)
    command("run", "inbox", "--fields", "fields.json", "--sandbox", "--create-quota", "100/1s").expect(0)
    assert elsewhere.received == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - WITHOUT_SETTINGS))
def test_no_command_starts_in_a_directory_that_redirects_the_key(command: Command, name: str) -> None:
    plant(command.home, "bulkhead.toml", "api_url", "http://evil.invalid/api/v1")
    before = sorted(command.home.rglob("*"))
    ended = command(*name.split(), *ARGUMENTS.get(name, [])).expect(2)
    assert "api_url = http://evil.invalid/api/v1 (bulkhead.toml in the working directory)" in ended.text
    assert sorted(command.home.rglob("*")) == before


def test_the_origin_says_what_the_working_directory_gives(command: Command) -> None:
    (command.home / "bulkhead.toml").write_text("uploads = 3\n")
    (command.home / ".env").write_text("BULKHEAD_STALL_S=9\n")
    shown = {line.split()[0]: line for line in command("config").expect(0).text.splitlines()}
    assert shown["uploads"].endswith("bulkhead.toml in the working directory")
    assert shown["stall_s"].endswith(".env in the working directory")
    named = {
        line.split()[0]: line for line in command("config", "--config", "bulkhead.toml").expect(0).text.splitlines()
    }
    assert named["uploads"].endswith("bulkhead.toml")
    document = command("config", "--json").expect(0).document
    assert document["uploads"] == {"value": "3", "origin": "bulkhead.toml", "in_working_directory": True}
    assert document["include"] == {"value": "none", "origin": "default"}
