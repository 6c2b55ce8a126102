"""One upload over loopback, hashed on the way as every upload is, against `curl -T` of the same file.

The server is a process of its own that throws the bytes away. Both clients take turns, so that a busy moment of the
machine meets both; the figures are medians.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import Figure, peak_rss_mb, report
from runner.dromo.storage import HttpStorage
from runner.sources.file_body import FileBody
from runner.sources.file_open import Stamp
from runner.sources.file_path import FilePath

MIB = 1 << 20
RATIO_LIMIT = 0.80
RSS_LIMIT_MB = 120.0


def serve_sink() -> None:
    """Answer every PUT after its last byte; one connection at a time, for ever."""
    buffer = bytearray(MIB)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                swallow(connection, buffer)


def swallow(connection: socket.socket, buffer: bytearray) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        block = connection.recv(64 * 1024)
        if not block:
            return
        head += block
    lines, _, body = head.partition(b"\r\n\r\n")
    lengths = [line for line in lines.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    left = int(lengths[0].split(b":")[1]) - len(body)
    while left > 0:
        count = connection.recv_into(buffer)
        if not count:
            return
        left -= count
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@contextmanager
def sink():
    with subprocess.Popen([sys.executable, __file__, "--sink"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/object"
        finally:
            process.terminate()


def make_file(path: Path, *, size_mib: int) -> FileBody:
    """Write the file to disk, outside the figures; what is read later comes from the page cache for both."""
    block, digest = os.urandom(MIB), hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(size_mib):
            file.write(block)
            digest.update(block)
        file.flush()
        os.fsync(file.fileno())
    return FileBody(FilePath(str(path)), stamp=Stamp.of(path.stat()), sha256=digest.hexdigest())


def curl_s(path: Path, url: str) -> float:
    command = ["curl", "-sS", "-o", "/dev/null", "-H", "Expect:", "-w", "%{time_total}", "-T", str(path), url]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def upload_s(body: FileBody, url: str) -> float:
    async with HttpStorage(url) as storage:
        started = time.perf_counter()
        assert await storage.put(url, body, only_if_absent=True)
        return time.perf_counter() - started


def measure(folder: Path, *, size_mib: int, rounds: int) -> list[Figure]:
    path = folder / "upload.bin"
    body = make_file(path, size_mib=size_mib)
    curl, ours = [], []
    with sink() as url:
        for _ in range(rounds):
            curl.append(curl_s(path, url))
            ours.append(asyncio.run(upload_s(body, url)))
    size_mb = size_mib * MIB / 1e6
    curl_speed, our_speed = (size_mb / statistics.median(times) for times in (curl, ours))
    return [
        Figure("curl -T", curl_speed, "MB/s"),
        Figure("upload", our_speed, "MB/s"),
        Figure("upload / curl -T", our_speed / curl_speed, "", at_least=RATIO_LIMIT),
        Figure("peak memory", peak_rss_mb(), "MB", at_most=RSS_LIMIT_MB),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sink:
        serve_sink()
    if shutil.which("curl") is None:
        print("curl is not installed: there is nothing to hold the upload against")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return report(measure(Path(folder), size_mib=options.size_mib, rounds=options.rounds))


if __name__ == "__main__":
    sys.exit(main())
