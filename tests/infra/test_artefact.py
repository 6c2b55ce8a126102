"""What the functions are built of: links to the code, and versions that were tested."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import requires

from packaging.requirements import Requirement

from tests.support.template import ROOT, template

FUNCTIONS = ROOT / "infra" / "functions"
PIN = re.compile(r"([a-z0-9-]+)==([\w.]+)")


def test_the_functions_are_built_of_the_runner_the_lambdas_and_nothing_else() -> None:
    assert template().function_globals["CodeUri"] == "infra/functions/"
    assert {path.name for path in FUNCTIONS.iterdir()} == {"runner", "lambdas", "requirements.in", "requirements.txt"}
    for name in ("runner", "lambdas"):
        assert (FUNCTIONS / name).is_symlink()
        assert (FUNCTIONS / name).resolve() == ROOT / name


def test_every_version_is_exact_and_the_one_that_was_tested() -> None:
    tested = dict(_pins((ROOT / "constraints.txt").read_text()))
    shipped = dict(_pins((FUNCTIONS / "requirements.txt").read_text()))
    assert shipped.items() <= tested.items()
    lines = [line for line in (FUNCTIONS / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(shipped), "nothing but exact versions: no address, no path, no option"


def test_nothing_is_missing_and_nothing_is_shipped_that_is_not_asked_for() -> None:
    wanted = [line for line in (FUNCTIONS / "requirements.in").read_text().splitlines() if not line.startswith("#")]
    assert _closure(wanted) == set(dict(_pins((FUNCTIONS / "requirements.txt").read_text())))


def _pins(text: str) -> Iterator[tuple[str, str]]:
    yield from (found.groups() for line in text.splitlines() if (found := PIN.fullmatch(line)))


def _closure(wanted: list[str]) -> set[str]:
    """Return the names and all they need, as they are installed here."""
    asked, names = [Requirement(line) for line in wanted], set[str]()
    seen: set[tuple[str, str]] = set()
    while asked:
        one = asked.pop()
        name = one.name.lower().replace("_", "-")
        for extra in ("", *one.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                needs = [Requirement(line) for line in requires(name) or []]
                asked += [need for need in needs if not need.marker or need.marker.evaluate({"extra": extra})]
        names.add(name)
    return names
