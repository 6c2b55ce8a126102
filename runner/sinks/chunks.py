"""Chunks: small pieces of bytes gathered into ones that are worth a write."""

from __future__ import annotations


class Chunks:
    """Gathers pieces into chunks of about `size_bytes`, in their order."""

    def __init__(self, size_bytes: int, *first: bytes) -> None:
        self._most_bytes = size_bytes
        self._pending = list(first)
        self._size_bytes = sum(map(len, first))

    def add(self, piece: bytes) -> bytes:
        """Take a piece; returns a chunk once there is enough for one, else nothing."""
        self._pending.append(piece)
        self._size_bytes += len(piece)
        return self.rest() if self._size_bytes >= self._most_bytes else b""

    def rest(self) -> bytes:
        """Return what has been gathered since the last chunk."""
        rest = b"".join(self._pending)
        self._pending, self._size_bytes = [], 0
        return rest
