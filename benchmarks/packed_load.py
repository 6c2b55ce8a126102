"""20,000 small files of one schema from a directory to saved results, in packs, at the vendor's 20 creates a minute.

`python -m benchmarks.packed_load` runs the command with the embedded sandbox, the canary included, and compares each
result, byte for byte, with what the import of the file alone gives. It takes about two minutes.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, report
from benchmarks.packing import FIELDS, FILES, SETTINGS, small_file
from runner.check.sandbox_engine import sandbox_engine
from runner.config.routes import Route

WINDOW_S = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=FILES, metavar="N")
    count = parser.parse_args().files
    with tempfile.TemporaryDirectory(prefix="bulkhead-packed-load-") as scratch:
        return _measured(Path(scratch), count)


def _measured(home: Path, count: int) -> int:
    contents = {f"{number % 100:02}/{number:06}.csv": small_file(number) for number in range(count)}
    for name, content in contents.items():
        place = home / "inbox" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    (home / "fields.json").write_text(json.dumps({"fields": FIELDS, "settings": SETTINGS}))
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "runner", "run", "inbox", "--fields", "fields.json", "--sandbox", "--pack", "auto",
         "--out", "out", "--quiet"],
        cwd=home, check=False,
    )  # fmt: skip
    wall_s = time.monotonic() - began
    summary = json.loads((home / "out" / "summary.json").read_bytes())
    lines = [json.loads(line) for line in (home / "out" / "manifest.jsonl").read_text().splitlines()]
    return report(
        [
            Figure("exit code", done.returncode, "", at_most=0),
            Figure("from the command to the last result", wall_s, "s", at_most=120),
            Figure("creates", summary["creates"], "", at_most=40),
            Figure("creates refused (429)", summary["throttled"], "", at_most=0),
            Figure("packs", sum(summary["packs"].values()), ""),
            Figure("mean members of a pack", _mean_members(lines), "files"),
            Figure("files created in the first full minute", _first_window(lines), "files/min", at_least=10_000),
            Figure("results that differ from a single import", _differing(home, contents, lines), "", at_most=0),
        ]
    )


def _mean_members(lines: list[dict[str, Any]]) -> float:
    sizes = Counter(line["pack_id"] for line in lines if line["pack_id"])
    return sum(sizes.values()) / len(sizes) if sizes else 0.0


def _first_window(lines: list[dict[str, Any]]) -> int:
    """Return how many files had their import created within a minute of the first create."""
    created = sorted(datetime.fromisoformat(line["created_at"]).timestamp() for line in lines if line["created_at"])
    return sum(at < created[0] + WINDOW_S for at in created)


def _differing(home: Path, contents: dict[str, bytes], lines: list[dict[str, Any]]) -> int:
    """Return how many files have no result, or another one than the import of the file alone."""
    engine = sandbox_engine()
    schema = engine.bind(Route(name="all", fields=FIELDS, settings=SETTINGS).request().document(), {})
    saved = {line["source"]: line["result"] for line in lines}
    different = 0
    for name, content in contents.items():
        alone = io.BytesIO()
        engine.run(content, schema=schema, filename=name, user=None, result=alone)
        kept = saved.get(name)
        different += kept is None or (home / "out" / kept).read_bytes() != alone.getvalue()
    return different


if __name__ == "__main__":
    sys.exit(main())
