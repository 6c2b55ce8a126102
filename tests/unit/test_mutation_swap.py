"""A mutant of an imported module: its functions and constants are changed wherever they are known."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation.swap import Original

SOURCE = """
from contextlib import contextmanager
from dataclasses import dataclass

LIMIT = 3
_OWN = 3

def is_small(number, *, limit=LIMIT):
    return number < LIMIT and number < limit

@contextmanager
def opened():
    yield [at for at in range(2)]

@dataclass(frozen=True)
class Box:
    width: int = 1

    @property
    def area(self):
        def square(side):
            return side * side
        return square(self.width)
"""


@pytest.fixture
def module(tmp_path: Path) -> Iterator[ModuleType]:
    path = tmp_path / "swapped.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("swapped", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["swapped"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["swapped"]


def mutate(module: ModuleType, old: str, new: str) -> Original:
    """Put a mutant into the module's file."""
    path = Path(str(module.__file__))
    original = Original(path)
    assert old in SOURCE
    path.write_text(SOURCE.replace(old, new, 1))
    return original


def test_functions_have_the_code_of_the_mutant_wherever_they_were_imported(module: ModuleType) -> None:
    is_small, opened, box = module.is_small, module.opened, module.Box(3)
    for old, new in (
        ("number < LIMIT and number < limit", "number <= LIMIT"),
        ("range(2)", "range(1)"),
        ("side * side", "side + side"),
    ):
        original = mutate(module, old, new)
        changes = original.changes()
        assert changes is not None
        assert len(changes) == 1
        original.apply(changes)
        Path(str(module.__file__)).write_text(SOURCE)
    with opened() as numbers:
        assert (is_small(3), numbers, box.area) == (True, [0], 6)


def test_constants_have_the_value_of_the_mutant_wherever_they_were_imported(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "LIMIT", module.LIMIT, raising=False)
    original = mutate(module, "LIMIT = 3", "LIMIT = 4")
    assert original.changes() is None
    assert original.apply_constants()
    assert module.is_small(3)
    assert globals()["LIMIT"] == 4


def test_a_private_constant_changes_in_its_module_alone(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "_OWN", module._OWN, raising=False)
    assert mutate(module, "_OWN = 3", "_OWN = 4").apply_constants()
    assert (module._OWN, globals()["_OWN"]) == (4, 3)


@pytest.mark.parametrize(("old", "new"), [("width: int = 1", "width: int = 2"), ("    @property\n", "")])
def test_what_only_an_import_runs_is_no_change_of_functions_or_constants(
    module: ModuleType, old: str, new: str
) -> None:
    original = mutate(module, old, new)
    assert original.changes() is None
    assert not original.apply_constants()


def test_the_lines_of_a_change_are_those_inside_the_function(module: ModuleType) -> None:
    (change,) = mutate(module, "side * side", "side + side").changes() or []
    lines = SOURCE.splitlines()
    assert {lines[line - 1].strip() for line in change.lines()} == {
        "def square(side):",
        "return side * side",
        "return square(self.width)",
    }
