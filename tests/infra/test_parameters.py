"""The file with the parameters of a deployment: every `sam deploy` reads it, and the doctor compares it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from runner.cloud.ops.stack import PARAMETERS, Stack
from runner.cloud.ops.stack_checks import StackChecks
from runner.findings import Finding, Level
from tests.support.cloud.building import SAM
from tests.support.template import ROOT, template

EXAMPLE = ROOT / "infra" / "parameters.example.toml"
READ_BY_SAM = """
import sys
from samcli.cli.types import CfnParameterOverridesType
print(sorted(CfnParameterOverridesType().convert(sys.argv[1], None, None).items()))
"""


def uncommented() -> str:
    return re.sub(r"^# (\w+ = )", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)


def defaults() -> dict[str, str]:
    return {name: str(parameter["Default"]) for name, parameter in template().parameters.items()}


def test_the_example_has_every_parameter_with_its_default_and_sets_none() -> None:
    assert tomllib.loads(EXAMPLE.read_text()) == {}
    assert tomllib.loads(uncommented()) == defaults()


def test_every_build_and_deployment_reads_the_file_which_git_ignores() -> None:
    configured = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]
    for command in ("build", "deploy"):
        assert configured[command]["parameters"]["parameter_overrides"] == f"file://{PARAMETERS}"
    assert "/parameters*.toml" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.skipif(not SAM.exists(), reason="the SAM command line is not installed")
def test_sam_reads_the_file_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / PARAMETERS
    for text, expected in ((EXAMPLE.read_text(), {}), (uncommented(), defaults())):
        path.write_text(text)
        python = SAM.with_name("python")
        done = subprocess.run([python, "-c", READ_BY_SAM, f"file://{path}"], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(sorted(expected.items()))


def stack_with(**parameters: str) -> Stack:
    return Stack(
        name="bulkhead",
        region="eu-central-1",
        account="1",
        status="UPDATE_COMPLETE",
        outputs={"InboxBucketName": "inbox"},
        parameters=parameters,
    )


def findings(tmp_path: Path, text: str | None) -> list[Finding]:
    stack = stack_with(Quota="15/60s", NightlySchedule="", ReconcileMinutes="5")
    path = tmp_path / PARAMETERS
    if text is not None:
        path.write_text(text)
    return StackChecks(stack, None).parameters(path)  # type: ignore[arg-type]


def test_a_value_that_was_changed_in_the_stack_alone_is_named_before_it_comes_back(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, 'Quota = "20/60s"\nReconcileMinutes = 5\n')
    assert found.level is Level.WARN
    assert found.detail == "Quota is '15/60s' in the stack and '20/60s' in the file"
    assert "the next sam deploy takes the file" in (found.hint or "")


@pytest.mark.parametrize(
    ("text", "level", "said"),
    [
        ('Quota = "15/60s"\n', Level.OK, "has the values of the stack"),
        ("Quota = 15/60s\n", Level.FAIL, "cannot be read"),
        ('Qouta = "15/60s"\n', Level.FAIL, "Qouta, which the stack does not know"),
    ],
)
def test_a_file_that_agrees_is_fine_and_one_with_a_mistake_is_not(
    tmp_path: Path, text: str, level: Level, said: str
) -> None:
    (found,) = findings(tmp_path, text)
    assert (found.level, said in found.detail) == (level, True), found


def test_without_a_file_nothing_is_said(tmp_path: Path) -> None:
    assert findings(tmp_path, None) == []


@pytest.mark.parametrize(
    ("arriving", "nightly", "inside"),
    [
        ("nightly/in/", "nightly/", "nightly/"),
        ("loads/", "loads/", "loads/"),
        ("config/in/", "nightly/", "config/"),
        ("", "nightly/", None),
        ("in/", "in/nightly/", None),
        ("nightly/", "nightly/later/", None),
        ("configs/", "nightly/", None),
    ],
)
def test_a_prefix_that_leaves_no_file_to_import_on_arrival_is_a_failure(
    arriving: str, nightly: str, inside: str | None
) -> None:
    stack = stack_with(InboxPrefix=arriving, NightlyPrefix=nightly)
    found = StackChecks(stack, None).prefixes()  # type: ignore[arg-type]
    said = [f"InboxPrefix = {arriving} is inside {inside}, so no file is imported when it arrives"]
    assert [one.detail for one in found] == (said if inside else [])
    assert all((one.level, "sam deploy" in (one.hint or "")) == (Level.FAIL, True) for one in found)
