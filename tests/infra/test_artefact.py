"""What the functions are built of: links to the code, and files that were tested, each known by its hash."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import requires
from typing import Any

import pytest
from packaging.requirements import Requirement

from infra.dependencies.wheels import ARCHITECTURES, PYTHONS, requirements
from tests.support.template import ROOT, template

FUNCTIONS = ROOT / "infra" / "functions"
PIN = re.compile(r"([a-z0-9-]+)==([\w.]+)(?: \\)?")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")


def test_the_functions_are_built_of_the_runner_the_lambdas_and_nothing_else() -> None:
    assert template().function_globals["CodeUri"] == "infra/functions/"
    assert {path.name for path in FUNCTIONS.iterdir()} == {"runner", "lambdas", "requirements.in", "requirements.txt"}
    for name in ("runner", "lambdas"):
        assert (FUNCTIONS / name).is_symlink()
        assert (FUNCTIONS / name).resolve() == ROOT / name


def test_every_version_is_exact_and_the_one_that_was_tested() -> None:
    tested = dict(_pins((ROOT / "constraints.txt").read_text()))
    shipped = dict(_pins((FUNCTIONS / "requirements.txt").read_text()))
    assert shipped
    assert shipped.items() <= tested.items()


def test_every_version_has_hashes_and_there_is_no_address_path_or_option() -> None:
    lines = [line for line in (FUNCTIONS / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        assert PIN.fullmatch(line) or HASH.fullmatch(line), line
        assert line.endswith("\\") == following.startswith("    "), f"{line!r} does not continue as it says"
        assert not PIN.fullmatch(line) or HASH.fullmatch(following), f"{line} has no hash, so any file would do"


def test_the_wheels_are_those_of_every_runtime_that_the_template_offers() -> None:
    parameters = template().parameters
    assert [f"python{major}.{minor}" for major, minor in PYTHONS] == parameters["Runtime"]["AllowedValues"]
    assert len(ARCHITECTURES) == len(parameters["Architecture"]["AllowedValues"])


def test_wheels_of_lambda_get_a_hash_and_those_of_other_systems_and_sources_do_not() -> None:
    wheels = [
        *(
            f"cp3{minor}-manylinux_2_17_{one}.manylinux2014_{one}"
            for minor in (11, 12, 13, 14)
            for one in ARCHITECTURES
        ),
        *("cp310-manylinux_2_17_x86_64", "cp313-musllinux_1_2_x86_64", "cp313-macosx_11_0_arm64", "cp313-win_amd64"),
        *("cp313-manylinux_2_39_x86_64", "cp313-manylinux_2_17_ppc64le"),
    ]
    lines = requirements({"packages": [_package("compiled", *wheels)]})
    assert lines[0] == "compiled==1.0 \\"
    assert [line.split(":")[1].removesuffix(" \\") for line in lines[1:]] == wheels[:8]


@pytest.mark.parametrize("tag", ["py3-none-any", "py2.py3-none-any", "cp38-abi3-manylinux2014_{}"])
def test_one_wheel_may_serve_every_version_of_python(tag: str) -> None:
    wheels = sorted({tag.format(one) for one in ARCHITECTURES})
    lines = requirements({"packages": [{**_package("pure"), "wheels": [_wheel("pure", one) for one in wheels]}]})
    assert [line.split(":")[1].removesuffix(" \\") for line in lines[1:]] == wheels


def test_a_package_that_a_function_could_not_install_stops_the_lock_by_its_name() -> None:
    only_sources = _package("sources")
    only_intel = _package("intel", *(f"cp3{minor}-manylinux_2_17_x86_64" for minor in (11, 12, 13, 14)))
    with pytest.raises(ValueError, match=r"sources 1\.0 has no wheel for Python 3\.11 on aarch64"):
        requirements({"packages": [only_sources]})
    with pytest.raises(ValueError, match=r"intel 1\.0 has no wheel for Python 3\.11 on aarch64"):
        requirements({"packages": [only_intel]})


def test_nothing_is_missing_and_nothing_is_shipped_that_is_not_asked_for() -> None:
    wanted = [line for line in (FUNCTIONS / "requirements.in").read_text().splitlines() if not line.startswith("#")]
    assert _closure(wanted) == set(dict(_pins((FUNCTIONS / "requirements.txt").read_text())))


def _pins(text: str) -> Iterator[tuple[str, str]]:
    yield from (found.groups() for line in text.splitlines() if (found := PIN.fullmatch(line)))


def _package(name: str, *wheels: str) -> dict[str, Any]:
    """Return a package of a lock file; a wheel is written as `cp313-manylinux_2_17_x86_64`."""
    sdist = {"url": f"https://files.example/{name}-1.0.tar.gz", "hashes": {"sha256": "sources"}}
    found = [_wheel(name, f"{wheel.partition('-')[0]}-{wheel}", known_as=wheel) for wheel in wheels]
    return {"name": name, "version": "1.0", "sdist": sdist, "wheels": found}


def _wheel(name: str, tag: str, *, known_as: str = "") -> dict[str, Any]:
    return {"url": f"https://files.example/{name}-1.0-{tag}.whl", "hashes": {"sha256": known_as or tag}}


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
