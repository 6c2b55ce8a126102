"""How much of time, memory and network the hooks of one import may take."""

import re
from dataclasses import dataclass, replace
from typing import Self

MEBIBYTE = 1 << 20
_BYTES_PER_ROW = 1800
_FIELDS_PER_ROW = 12
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[0-9]{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class HookLimits:
    """Limits of one import. The numbers are this project's choice: the vendor documents none.

    `allow_hosts` lists what hooks may fetch from, as `host` or `host:port`; nothing else is reachable.
    """

    call_s: float = 30.0
    import_s: float = 600.0
    heap_bytes: int = 512 * MEBIBYTE
    reply_max_bytes: int = 64 * MEBIBYTE
    console_max_bytes: int = 64 << 10
    bulk_max_rows: int = 1_000_000
    allow_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for host in self.allow_hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is not a host or host:port that hooks could be allowed to reach.")

    def for_rows(self, count: int, *, fields: int) -> Self:
        """The same limits with a heap that holds `count` rows at once, as bulk, column and finish hooks need."""
        needed = _BYTES_PER_ROW * count * max(fields, 1) // _FIELDS_PER_ROW
        return replace(self, heap_bytes=max(self.heap_bytes, needed))
