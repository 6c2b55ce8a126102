"""`make audit`: looks up known vulnerabilities of the exact versions in requirements files.

pip-audit alone succeeds if it could look up nothing: it then says that it found no vulnerabilities. This does not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

VULNERABLE, NOT_LOOKED_UP = 1, 2
"""Exit codes; 0 means that every version was looked up and none has a known vulnerability."""

_TIMEOUT_S = 600.0
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found out about one file; `failure` is why nothing was."""

    path: str
    clean: tuple[str, ...] = ()
    vulnerable: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    failure: str = ""

    @classmethod
    def of(cls, path: str, dependencies: Sequence[dict[str, Any]]) -> Audit:
        """Read the `dependencies` of pip-audit's JSON."""
        unknown = tuple(one["name"] for one in dependencies if "skip_reason" in one)
        known = [one for one in dependencies if "skip_reason" not in one]
        clean = tuple(one["name"] for one in known if not one["vulns"])
        return cls(path, clean, tuple(line for one in known for line in _lines(one)), unknown)

    def report(self) -> Iterator[str]:
        """Yield the lines that a person reads."""
        yield f"{self.path}: {len(self.clean)} versions without a known vulnerability"
        yield from (f"  VULNERABLE {line}" for line in self.vulnerable)
        if self.unknown:
            more = f", and {len(self.unknown) - _NAMED} more" if len(self.unknown) > _NAMED else ""
            yield f"  NOT LOOKED UP: {len(self.unknown)} versions: {', '.join(self.unknown[:_NAMED])}{more}"
        if self.failure:
            yield f"  NOT LOOKED UP: {self.failure}"


def exit_code(audits: Sequence[Audit]) -> int:
    """Return VULNERABLE before NOT_LOOKED_UP, and 0 only if something was looked up and everything is clean."""
    if any(one.vulnerable for one in audits):
        return VULNERABLE
    is_complete = all(one.clean and not one.unknown and not one.failure for one in audits)
    return 0 if audits and is_complete else NOT_LOOKED_UP


def _lines(dependency: dict[str, Any]) -> Iterator[str]:
    for found in dependency["vulns"]:
        fixed = ", ".join(found.get("fix_versions") or ()) or "no version"
        yield f"{dependency['name']} {dependency['version']}: {found['id']}, fixed in {fixed}"


def _audit(path: str) -> Audit:
    command = [
        *(sys.executable, "-m", "pip_audit", "--requirement", path, "--no-deps", "--disable-pip"),
        *("--progress-spinner", "off", "--format", "json"),
    ]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        return Audit.of(path, json.loads(ended.stdout)["dependencies"])
    except subprocess.TimeoutExpired:
        return Audit(path, failure=f"no answer within {_TIMEOUT_S:g} s")
    except (ValueError, KeyError):
        lines = ended.stderr.strip().splitlines() or ["pip-audit printed nothing"]
        return Audit(path, failure=lines[-1][:300])


def main(paths: Sequence[str]) -> int:
    """Audit the files, print the result, and return the exit code."""
    audits = [_audit(path) for path in paths]
    for audit in audits:
        print("\n".join(audit.report()))
    code = exit_code(audits)
    if code == NOT_LOOKED_UP:
        print("Nothing is proven about the versions that were not looked up. Run make audit where it can reach PyPI.")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
