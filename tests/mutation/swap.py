"""Make a mutant of a module that is already imported, by giving its functions other code, or its constants values."""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import CodeType, FunctionType

_CONSTANT = (int, float, str, bytes, tuple, frozenset, datetime, timedelta)
_RUN_AT_ONCE = {"<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>"}


@dataclass(frozen=True)
class Change:
    """A function whose code differs: its code as it is, and as the mutant has it."""

    old: CodeType
    new: CodeType

    def lines(self) -> set[int]:
        """Return the lines that run when the function is called, without the line of its `def`."""
        return {line for line in _lines(self.old) if line != self.old.co_firstlineno}


class Original:
    """A module as it is, with its functions in this process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._code = _compiled(path)
        gc.unfreeze()
        self._living = [
            found
            for found in gc.get_objects()
            if isinstance(found, FunctionType) and found.__code__.co_filename == str(path)
        ]
        gc.freeze()

    def changes(self) -> list[Change] | None:
        """Compare the functions with those of the mutant in the file; None if what an import runs differs."""
        mutant = _compiled(self._path)
        olds, news = list(_functions(self._code)), list(_functions(mutant))
        if len(olds) != len(news) or _frame(self._code) != _frame(mutant):
            return None
        changes = [Change(old, new) for old, new in zip(olds, news, strict=True) if old != new]
        return changes if all(change.old.co_freevars == change.new.co_freevars for change in changes) else None

    def apply(self, changes: list[Change]) -> None:
        """Give the functions of this process the code of the mutant."""
        for change in changes:
            changed = [one for one in self._living if one.__code__ == change.old]
            assert changed, f"nothing refers to {change.old.co_qualname}"
            for function in changed:
                function.__code__ = change.new

    def apply_constants(self) -> bool:
        """Give the constants of this process the values that the mutant in the file has; False if none differs."""
        name = next(name for name, one in sys.modules.items() if getattr(one, "__file__", None) == str(self._path))
        own, fresh = vars(sys.modules[name]), {"__name__": name}
        exec(_compiled(self._path), fresh)
        differ = {key for key, new in fresh.items() if isinstance(new, _CONSTANT) and new != own[key]}
        for key in differ:
            old, new = own[key], fresh[key]
            own[key] = new
            for module in () if key.startswith("_") else list(sys.modules.values()):
                if getattr(module, "__dict__", {}).get(key) is old:
                    vars(module)[key] = new
            for function in self._living:
                defaults = function.__kwdefaults__ or {}
                defaults.update({name: new for name, value in defaults.items() if value is old})
        return bool(differ)


def _compiled(path: Path) -> CodeType:
    return compile(path.read_text("utf-8"), str(path), "exec", dont_inherit=True)


def _functions(code: CodeType) -> Iterator[CodeType]:
    """Yield the outermost functions of a module, those of its classes included."""
    for inner in _inner(code):
        if _is_function(inner):
            yield inner
        else:
            yield from _functions(inner)


def _frame(code: CodeType) -> CodeType:
    """Return what an import runs: the code without its functions, wherever in the file it is."""
    consts: list[object] = []
    for const in code.co_consts:
        is_code = isinstance(const, CodeType)
        consts.append(None if is_code and _is_function(const) else _frame(const) if is_code else const)
    return code.replace(co_consts=tuple(consts), co_linetable=b"")


def _inner(code: CodeType) -> Iterator[CodeType]:
    return (const for const in code.co_consts if isinstance(const, CodeType))


def _is_function(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_OPTIMIZED) and code.co_name not in _RUN_AT_ONCE


def _lines(code: CodeType) -> set[int]:
    own = {line for _, _, line in code.co_lines() if line is not None}
    return own.union(*map(_lines, _inner(code)))
