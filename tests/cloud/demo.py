"""The deployment at work, reported step by step: `make cloud-demo`."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.aws import MINISTACK
from tests.support.cloud.building import HOW_TO_INSTALL, ROOT, SAM, built_template
from tests.support.cloud.running import Cloud, running_cloud
from tests.support.cloud.stack import until

EXAMPLES = ROOT / "examples"
QUOTA = "20/60s"
NIGHTLY_AFTER_S = 55
NIGHTLY_FILES = 8
BRANCH_FILES = 8
REVIEWED = "customers/2026-07/east.csv"
EXPECTED = {"collected": 26, "needs_review": 1, "failed": 1, "rejected": 2}
WITHIN_S = 240.0
PROGRESS_EVERY_S = 8.0


class Narrator:
    """Prints what happens, with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._progress_at = 0.0

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:4.0f} s] {text}", flush=True)

    def progress(self, text: str) -> None:
        """Print the progress every few seconds."""
        if time.monotonic() >= self._progress_at:
            self(text)
            self._progress_at = time.monotonic() + PROGRESS_EVERY_S


def main() -> int:
    if not (MINISTACK.exists() and SAM.exists()):
        print(f"the tools are missing: {HOW_TO_INSTALL}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    say = Narrator()
    with tempfile.TemporaryDirectory(prefix="bulkhead-cloud-demo-") as directory:
        try:
            return _shown(Path(directory), say)
        except AssertionError as error:
            print(f"\nThe demo failed: {error}", file=sys.stderr)
            return 1


def _shown(directory: Path, say: Narrator) -> int:
    say("The stack of template.yaml on this machine: AWS and the vendor are processes, the license key is invented.")
    say("Each manifest is rewritten as soon as a file in it ends, instead of at most every five minutes.")
    built_template(log=directory / "build.log")
    nightly_at = _next_minute(NIGHTLY_AFTER_S)
    with running_cloud(
        directory,
        schemas=EXAMPLES / "schemas" / "saved",
        config=(EXAMPLES / "cloud.toml").read_text("utf-8"),
        quota=QUOTA,
        say=say,
        NightlySchedule=f"'cron({nightly_at.minute} {nightly_at.hour} * * ? *)'",
        ManifestMinutes="0",
    ) as cloud:
        cloud.vendor.settings(create_quota=QUOTA, pending_s=0.5, running_s=1.0)
        landing, nightly = landing_files(), nightly_files()
        _drop(cloud, landing, nightly, say=say, nightly_at=nightly_at)
        until(lambda: _all_accounted_for(cloud, len(landing) + len(nightly), say), within_s=WITHIN_S)
        _finish_review(cloud, say)
        return _account(cloud, say)


def landing_files() -> dict[str, bytes]:
    """The examples, and some more of the same kind, by their keys in the inbox."""
    inbox = EXAMPLES / "inbox"
    files = {str(path.relative_to(inbox)): path.read_bytes() for path in sorted(inbox.rglob("*")) if path.is_file()}
    return files | {f"customers/2026-08/branch-{number:02}.csv": branch(number) for number in range(BRANCH_FILES)}


def nightly_files() -> dict[str, bytes]:
    return {f"nightly/customers/till-{number:02}.csv": branch(100 + number) for number in range(NIGHTLY_FILES)}


def branch(number: int) -> bytes:
    """Customers of a branch, like those of no other."""
    rows = [
        f"C-{number:03}-{line},Branch {number} No {line},b{number}.{line}@shop.example,Oslo,{1000 + line}"
        for line in range(20)
    ]
    return ("\n".join(["Customer No,Company Name,Email,City,Credit Limit", *rows]) + "\n").encode()


def _drop(
    cloud: Cloud, landing: dict[str, bytes], nightly: dict[str, bytes], *, say: Narrator, nightly_at: datetime
) -> None:
    cloud.land(nightly)
    say(f"{len(nightly)} files put under nightly/, where the schedule loads them at {nightly_at:%H:%M}")
    cloud.land(landing)
    say(f"{len(landing)} files put elsewhere into the inbox: each is enqueued for submit when it arrives")


def _all_accounted_for(cloud: Cloud, count: int, say: Narrator) -> bool:
    """Print the progress; tell whether every file is in a manifest."""
    counters = cloud.vendor.counters()
    results = sum("/results/" in key for key in cloud.stack.result_keys("batches/"))
    say.progress(
        f"{len(counters['created_ids']):2} imports created, {len(counters['content']):2} run by the vendor, "
        f"{counters['webhooks'].get('delivered', 0):2} webhooks taken, {results:2} results in S3"
    )
    return sum(_by_state(cloud).values()) == count


def _finish_review(cloud: Cloud, say: Narrator) -> None:
    batch_id, line = next((batch, one) for batch, one in _lines(cloud) if one["source"] == REVIEWED)
    say(f"{REVIEWED} waits for a person at {line['review_url']}")
    cloud.vendor.finish_review(line["import_id"])
    until(lambda: cloud.states(batch_id)[REVIEWED] == "collected", what=lambda: cloud.states(batch_id))
    say("the API finished the review; its webhook arrived, its rows are collected, and its manifest is rewritten")


def _account(cloud: Cloud, say: Narrator) -> int:
    say("all batches are idle; the manifests:")
    for batch_id in _batches(cloud):
        states = ", ".join(f"{count} {state}" for state, count in Counter(cloud.states(batch_id).values()).items())
        print(f"\n  s3://{cloud.stack.results}/batches/{batch_id}/manifest.jsonl: {states}")
        for source, line in sorted(cloud.stack.manifest(batch_id).items()):
            print(f"    {line['state']:13} {source:34} {_what_became(line)}")
    found = dict(_by_state(cloud))
    cloud.assert_quota_kept()
    print(f"\nThe vendor refused no create and never counted more than {QUOTA}. Each file was imported once.")
    if found != EXPECTED:
        print(f"The demo ended with {found} instead of {EXPECTED}.", file=sys.stderr)
        return 1
    print(
        "The demo succeeded: the failed and rejected files, and the one in review, are part of it. All processes end."
    )
    return 0


def _what_became(line: dict[str, Any]) -> str:
    if line["state"] == "collected":
        return f"{line['row_count']} rows in {line['result']}"
    return str(line.get("review_url") if line["state"] == "needs_review" else line.get("error_code"))


def _batches(cloud: Cloud) -> list[str]:
    return sorted({key.split("/")[1] for key in cloud.stack.result_keys("batches/")})


def _lines(cloud: Cloud) -> list[tuple[str, dict[str, Any]]]:
    return [(batch_id, line) for batch_id in _batches(cloud) for line in cloud.stack.manifest(batch_id).values()]


def _by_state(cloud: Cloud) -> Counter[str]:
    """Items by state, as the manifests have them."""
    return Counter(line["state"] for _, line in _lines(cloud))


def _next_minute(after_s: int) -> datetime:
    """The first full minute that is at least so far away."""
    return (datetime.now(UTC) + timedelta(seconds=after_s + 59)).replace(second=0, microsecond=0)


if __name__ == "__main__":
    sys.exit(main())
