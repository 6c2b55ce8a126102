"""EarlierResults: what runs wrote below a source, each to an `--out` of its own, and what is never imported."""

from __future__ import annotations

from runner.sources.spec import FAILED_TXT, REVIEW_TXT, printable

OWNER_FILE = ".bulkhead-out.json"
"""The file that a run writes to its `--out` before anything else there."""

_DOCUMENTS = frozenset({"manifest.jsonl", "manifest.csv", "summary.json", "report.html", FAILED_TXT, REVIEW_TXT})
_RESULTS = "results/"
_SAMPLE_COUNT = 3


class EarlierResults:
    """The folders below a source that have an owner file, counted while the source is listed in the order of keys."""

    def __init__(self) -> None:
        self.count = 0
        self._samples: list[str] = []
        self._around: list[str] = []

    def add(self, folder: str) -> None:
        """Note a folder, relative to the source, which is empty or ends in `/`."""
        self.count += 1
        if len(self._samples) < _SAMPLE_COUNT:
            self._samples.append(printable(folder.removesuffix("/") or "the source itself"))
        self._around.append(folder)

    def have(self, key: str) -> bool:
        """Return whether a run wrote the file with this key, the next in the order of keys."""
        while self._around and not key.startswith(self._around[-1]):
            self._around.pop()
        return any(is_of_run(key.removeprefix(folder)) for folder in self._around)

    def __str__(self) -> str:
        names = ", ".join(self._samples) + (", …" if self.count > len(self._samples) else "")
        return f"the results of earlier runs are not imported: {names}; to import some, name their folder as the source"


def is_of_run(path: str) -> bool:
    """Return whether a run writes this path, relative to its `--out`; that of a folder ends in `/`."""
    return path in _DOCUMENTS or path.startswith(_RESULTS)


def results_passed_over(source: object) -> str | None:
    """Say which results of earlier runs the last listing of a source left out; None if there are none."""
    found = getattr(source, "earlier_results", None)
    return str(found) if isinstance(found, EarlierResults) and found.count else None
