"""OutOwner: whose results a folder has, kept in a small file there, so that those of two sources never mix."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from runner.aws.s3 import S3Place, is_s3
from runner.errors import ConfigError
from runner.sinks.result_path import RESULTS
from runner.sources.earlier_results import OWNER_FILE
from runner.sources.spec import file_uri, local_path, printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.protocols import Sink
    from runner.sources.spec import SourceSpec

SANDBOX = "sandbox"
"""The account of all sandboxes that end with their run: nothing at a vendor belongs to their results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOwner:
    """The root that sources are relative to, as a URI, and the account; only its endpoint until a key was accepted."""

    account: str
    root: str

    @property
    def before_any_answer(self) -> OutOwner:
        """Return the owner without its key, which may turn out to be wrong."""
        return OutOwner(account=self.account.partition("-")[0], root=self.root)

    def refuse(self, other: OutOwner, out: str, *, accept_new_key: bool, is_local: bool) -> None:
        """Raise ConfigError if a folder that belongs to `other` must not get results of this owner.

        `is_local`: this owner's API is on this machine, so it is a sandbox.
        """
        if other.root != self.root:
            raise ConfigError(
                f"{out} has the results of {_shown(other.root)}, and those of {_shown(self.root)} would mix with them",
                hint=f"choose another --out; if the source has only moved, delete {out}/{OWNER_FILE}",
            )
        if other.account == SANDBOX:
            if is_local:
                return
            raise ConfigError(f"{out} has the results of a sandbox", hint=f"choose another --out, or delete {out}")
        endpoint, _, key = other.account.partition("-")
        own_endpoint, _, own_key = self.account.partition("-")
        if endpoint != own_endpoint:
            raise ConfigError(
                f"{out} has the results of imports at another API", hint="choose another --out, or set --api-url"
            )
        if key and key != own_key and not accept_new_key:
            raise ConfigError(
                f"{out} has the results of another license key",
                hint="choose another --out; if this is a new key of the same account, set BULKHEAD_ACCEPT_NEW_KEY=1",
            )


def refuse_among_files(out: str, spec: SourceSpec, root: str) -> None:
    """Raise ConfigError if a run would write its results among the files that it lists below `root`.

    A later run would import them. Files that are named, alone or in a list, may be beside results.
    """
    if spec.kind not in ("directory", "s3") or root != _folder_uri(spec.path):
        return
    folder = _folder_uri(out)
    if root == folder or f"{root}/".startswith(f"{folder}/{RESULTS}/"):
        raise ConfigError(
            f"{out} would have the results of a run among the files of its source, {_shown(root)}",
            hint="choose another --out, such as a folder beside the source, or one below it",
        )


def _folder_uri(place: str) -> str:
    """Return the identity of a folder, as a source names its root."""
    if is_s3(place):
        return S3Place.parse(place).folder.uri.removesuffix("/")
    return file_uri(os.path.realpath(place)).rstrip("/")


async def claim(sink: Sink, out: str, owner: OutOwner, *, accept_new_key: bool, is_local: bool) -> None:
    """Make sure that a folder belongs to `owner`: it does if it belongs to nobody yet.

    Raises ConfigError if it belongs to somebody else, and what the sink raises.
    """
    known = await _read(sink, out)
    if known is None:
        await _write(sink, owner.before_any_answer)
        known = await _read(sink, out) or owner
    owner.refuse(known, out, accept_new_key=accept_new_key, is_local=is_local)


async def confirm(sink: Sink, out: str, owner: OutOwner) -> None:
    """Record the account too, after the vendor has accepted its key. Raises what the sink raises."""
    if await _read(sink, out) != owner:
        await _write(sink, owner)


async def _read(sink: Sink, out: str) -> OutOwner | None:
    raw = await sink.read(OWNER_FILE)
    if raw is None:
        return None
    try:
        fields = json.loads(raw)
        return OutOwner(account=str(fields["account"]), root=str(fields["root"]))
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{out}/{OWNER_FILE} cannot be read: it says whose results the folder has",
            hint="choose another --out; if the folder is that of this source, delete the file",
        ) from None


async def _write(sink: Sink, owner: OutOwner) -> None:
    async def document() -> AsyncIterator[bytes]:
        yield json.dumps(asdict(owner), indent=2).encode() + b"\n"

    await sink.write(OWNER_FILE, document())


def _shown(root: str) -> str:
    return printable(local_path(root)) or "/" if root.startswith("file://") else root
