"""The functions on AWS without the stack: what a cold start imports, what a webhook takes, and how large they are.

`make bench` runs it against ministack; if there is a build of `sam build`, it prints the size of the artifact, too.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.figures import Figure, report
from tests.support.aws import running_ministack
from tests.support.functions import TOKEN, Context, Stack, managed, posted

FUNCTIONS = ("webhook", "register", "submit", "upload", "list_prefix", "collect", "reconcile", "finish", "configure")
ROUNDS = 7
REQUESTS = 500
ARTEFACT = Path(__file__).parents[1] / ".aws-sam" / "build" / "SubmitFunction"

IMPORT_RATIOS = {"webhook": 25.0}
IMPORT_RATIO = 80.0
WEBHOOK_P50_MS = 50.0
FORGED_P50_MS = 1.0
ARTEFACT_MIB = 250.0
"""What Lambda unpacks at most."""


def seconds(statement: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - started


def imports() -> list[Figure]:
    """The functions take turns with `pass`, so that a busy moment of the machine meets all of them."""
    statements = ["pass", *(f"import lambdas.{name}" for name in FUNCTIONS)]
    rounds = [[seconds(statement) for statement in statements] for _ in range(ROUNDS)]
    nothing, *times = [statistics.median(spent) for spent in zip(*rounds, strict=True)]
    return [
        figure
        for name, spent in zip(FUNCTIONS, times, strict=True)
        for figure in (
            Figure(f"import of {name}", spent * 1000, "ms"),
            Figure("  to python -c pass", spent / nothing, "x", at_most=IMPORT_RATIOS.get(name, IMPORT_RATIO)),
        )
    ]


def webhook() -> list[Figure]:
    with tempfile.TemporaryDirectory() as directory, running_ministack(Path(directory)) as aws:
        stack = Stack(aws.client_arguments)
        os.environ.update({**aws.variables, **stack.variables})
        known = [str(uuid4()) for _ in range(REQUESTS)]
        for import_id in known:
            stack.know(import_id)
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            return answered(known)


def answered(known: list[str]) -> list[Figure]:
    from lambdas.webhook import lambda_handler  # noqa: PLC0415 - its log goes to what stdout is now

    def answer(event: dict[str, Any], status: int) -> float:
        started = time.perf_counter()
        assert lambda_handler(event, Context())["statusCode"] == status
        return time.perf_counter() - started

    answer(posted(managed(str(uuid4()))), 204)
    taken = [answer(posted(managed(import_id)), 204) for import_id in known]
    again = [answer(posted(managed(import_id)), 204) for import_id in known]
    forged = [answer(posted(managed(import_id), token="0" * len(TOKEN)), 404) for import_id in known]
    return [
        *percentiles("webhook taken", taken, p50_ms=WEBHOOK_P50_MS),
        *percentiles("webhook put off", again),
        *percentiles("webhook forged", forged, p50_ms=FORGED_P50_MS),
    ]


def percentiles(name: str, spent_s: list[float], *, p50_ms: float | None = None) -> list[Figure]:
    cuts = statistics.quantiles(spent_s, n=100)
    return [
        Figure(f"{name}, p50", cuts[49] * 1000, "ms", at_most=p50_ms),
        Figure(f"{name}, p99", cuts[98] * 1000, "ms"),
    ]


def artefact() -> list[Figure]:
    """The artefact that all functions share, if `sam build` was here."""
    if not ARTEFACT.is_dir():
        return []
    size = sum(path.stat().st_size for path in ARTEFACT.rglob("*") if path.is_file())
    return [Figure("artefact, unpacked", size / 2**20, "MiB", at_most=ARTEFACT_MIB)]


if __name__ == "__main__":
    sys.exit(report([*imports(), *webhook(), *artefact()]))
