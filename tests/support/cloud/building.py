"""The build of template.yaml by `sam build`, reused while the content is the same."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import yaml

from tests.support.aws import MINISTACK

ROOT = Path(__file__).parents[3]
SAM = ROOT / ".tools" / "sam" / "bin" / "sam"
HOW_TO_INSTALL = "make .tools/sam/.installed .tools/ministack/.installed"

_PYTHON = MINISTACK.parent / "python"
_BUILDS = ROOT / ".aws-sam" / "local"
_INGREDIENTS = ("template.yaml", "pyproject.toml", "constraints.txt", "runner", "lambdas", "infra")
_BUILD_WITHIN_S = 300.0


def built_template(*, log: Path) -> Path:
    """Build the current tree, and return the built template; sam's output goes to `log`. Raises AssertionError."""
    target = _BUILDS / _digest()
    with _alone():
        if not target.exists():
            _build(target, log=log)
    return target / "template.yaml"


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other process builds, and keep others from it."""
    _BUILDS.parent.mkdir(exist_ok=True)
    with _BUILDS.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(target: Path, *, log: Path) -> None:
    shutil.rmtree(_BUILDS, ignore_errors=True)
    parameters = [f"{name}={value}" for name, value in runtime_parameters().items()]
    built = Path(f"{target}.new")
    run_sam("build", "--build-dir", str(built), "--parameter-overrides", *parameters, log=log)
    _compile(built)
    _leave_out_metric_math(built / "template.yaml")
    _import_in_place(built, target=target)
    built.rename(target)


def run_sam(*arguments: str, log: Path, timeout_s: float = _BUILD_WITHIN_S, **variables: str) -> None:
    """Run sam in the root of the tree, and append its output to `log`. Raises AssertionError if it fails."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))}
    environ |= {"SAM_CLI_TELEMETRY": "0", "PATH": f"{SAM.parent}:{os.environ['PATH']}", **variables}
    with log.open("ab") as output:
        ended = subprocess.run(
            [SAM, *arguments],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=timeout_s,
            check=False,
        )
    assert ended.returncode == 0, f"sam {arguments[0]} failed:\n{log.read_text(errors='replace')[-4000:]}"


def _leave_out_metric_math(built: Path) -> None:
    """Let the built template include no alarm over several metrics: ministack's CloudFormation refuses them."""
    resources = yaml.safe_load((ROOT / "infra" / "monitoring.yaml").read_text())
    known = {name: one for name, one in resources.items() if "Metrics" not in one["Properties"]}
    built.with_name("monitoring.json").write_text(json.dumps(known))
    text, count = re.subn(r"Location: \S*monitoring\.yaml", "Location: monitoring.json", built.read_text())
    assert count == 1
    built.write_text(text)


def _import_in_place(built: Path, *, target: Path) -> None:
    """Let the functions of the built template import from the artifact, which stays below `target`.

    Each process that ministack starts for a function unpacks what was deployed; the artifact is thousands of files.
    """
    (functions,) = built.glob("*/lambdas")
    deployed, template = functions.parent, built / "template.yaml"
    deployed.rename(built / "artifact")
    deployed.mkdir()
    (deployed / "README").write_text("The functions are in the directory that PYTHONPATH names.\n")
    variables = r"(?m)^Globals:\n(?:[ ].*\n)*?    Environment:\n      Variables:\n"
    text, count = re.subn(variables, rf"\g<0>        PYTHONPATH: {target / 'artifact'}\n", template.read_text())
    assert count == 1
    template.write_text(text)


def _compile(artefacts: Path) -> None:
    """Compile the modules once: otherwise, each process that ministack starts would take three times as long."""
    command = [_PYTHON, "-m", "compileall", "-q", "-j", "2", "--invalidation-mode", "unchecked-hash", artefacts]
    subprocess.run(command, check=True, timeout=_BUILD_WITHIN_S)


@cache
def runtime_parameters() -> dict[str, str]:
    """Return the parameters that functions on ministack need: its Python version and this machine's architecture."""
    code = "import sys; print('python%d.%d' % sys.version_info[:2])"
    answer = subprocess.run([_PYTHON, "-c", code], capture_output=True, text=True, check=True)
    machine = os.uname().machine
    return {"Runtime": answer.stdout.strip(), "Architecture": "arm64" if machine == "aarch64" else machine}


def _digest() -> str:
    found = hashlib.sha256(repr(runtime_parameters()).encode())
    for path in _files():
        found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:20]


def _files() -> Iterator[Path]:
    for name in _INGREDIENTS:
        path = ROOT / name
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (one for one in inside if one.is_file() and "__pycache__" not in one.parts)
