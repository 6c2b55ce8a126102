"""The requirements of the functions: exact versions, each with the hashes of the wheels that a function can install.

Reads a `pylock.toml` from standard input and prints the requirements. Source distributions get no hash: an installer
that verifies hashes refuses them, so that a build runs no code of a package.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
ARCHITECTURES = ("aarch64", "x86_64")

_GLIBC_MINORS = range(5, 29)
"""glibc 2.5 to 2.28, the newest one that uv installs wheels for if it is asked for Linux."""

_OLD_NAMES = ("manylinux1", "manylinux2010", "manylinux2014", "linux")


def requirements(lock: Mapping[str, Any]) -> list[str]:
    """Return the lines of a requirements file. Raises ValueError if a function could not install a package."""
    return [line for package in lock["packages"] for line in _lines(package)]


def _lines(package: Mapping[str, Any]) -> Iterator[str]:
    hashes: set[str] = set()
    for python in PYTHONS:
        for architecture in ARCHITECTURES:
            found = _hashes(package, frozenset(_tags(python, architecture)))
            if not found:
                name = f"{package['name']} {package['version']}"
                raise ValueError(f"{name} has no wheel for Python {python[0]}.{python[1]} on {architecture}")
            hashes |= found
    yield f"{package['name']}=={package['version']} \\"
    *first, last = sorted(hashes)
    yield from (f"    --hash=sha256:{one} \\" for one in first)
    yield f"    --hash=sha256:{last}"


def _hashes(package: Mapping[str, Any], tags: frozenset[Tag]) -> set[str]:
    """Return the SHA-256 hashes of the package's wheels that have one of the tags."""
    wheels = package.get("wheels", ())
    return {wheel["hashes"]["sha256"] for wheel in wheels if parse_wheel_filename(_file_name(wheel))[3] & tags}


def _file_name(wheel: Mapping[str, Any]) -> str:
    return str(wheel.get("name") or wheel["url"].rpartition("/")[2])


def _tags(python: tuple[int, int], architecture: str) -> Iterator[Tag]:
    platforms = [f"{name}_{architecture}" for name in _OLD_NAMES]
    platforms += [f"manylinux_2_{minor}_{architecture}" for minor in _GLIBC_MINORS]
    interpreter = f"cp{python[0]}{python[1]}"
    yield from cpython_tags(python, abis=[interpreter], platforms=platforms)
    yield from compatible_tags(python, interpreter=interpreter, platforms=platforms)


def main() -> None:
    try:
        lines = requirements(tomllib.loads(sys.stdin.read()))
    except ValueError as error:
        sys.exit(f"infra/dependencies/wheels.py: {error}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
