"""The runner in a container: built by the steps of the Dockerfile, without privileges, on a root that is read-only."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import __version__
from runner.config.units import parse_duration
from tests.acceptance.inbox import assert_each_once, rows
from tests.acceptance.vendors import SandboxVendor
from tests.support.command import CANARY_KEY
from tests.support.image import Image, context, entry_point, is_sent, of_the_image, variables, why_not
from tests.support.schemas import saved_schemas

KILLED_AFTER_S = 30
"""What Kubernetes and ECS wait between SIGTERM and SIGKILL unless they are told otherwise."""

needs_a_root = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def test_the_label_names_the_version_of_this_release() -> None:
    labels = {name: value for one in of_the_image("LABEL") for name, value in one.pairs.items()}
    assert labels["org.opencontainers.image.version"] == __version__


def test_the_image_has_no_root_user_and_runs_the_command() -> None:
    assert [one.text for one in of_the_image("USER")] == ["10001:10001"], "a number, which Kubernetes can check"
    assert entry_point() == ["bulkhead"]


def test_work_in_progress_ends_before_a_scheduler_kills_the_container() -> None:
    assert parse_duration(variables()["BULKHEAD_STOP_WITHIN"]) <= KILLED_AFTER_S - 10


def test_no_secret_test_or_cache_of_a_clone_is_sent_to_the_build(tmp_path: Path) -> None:
    context(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "runner", "lambdas", "sandbox")
    }
    assert is_sent("runner/__main__.py", tmp_path)
    for name in ("*.env", "*.pyc", "*__pycache__*", "*.git*", "*.db", "*.venv*"):
        assert not is_sent(name, tmp_path), name


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image, which all processes of this session share."""
    own = tmp_path_factory.getbasetemp()
    home = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "image"
    for path in (home, *home.parents):
        if path.name.startswith("pytest-"):
            path.chmod(0o755)
    return Image.built(home)


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[SandboxVendor]:
    with SandboxVendor(schemas=saved_schemas(tmp_path)) as vendor:
        vendor.reset()
        yield vendor


@pytest.fixture
def volume(image: Image, request: pytest.FixtureRequest) -> Path:
    return image.volume(request.node.name)


def secrets(vendor: SandboxVendor) -> dict[str, str]:
    return {"DROMO_LICENSE_KEY": CANARY_KEY, "BULKHEAD_API_URL": vendor.api_url}


RUN = ("bulkhead", "run", "inbox", "--schema-id", "customers", "--out", "out", "--create-quota", "1000/2s")


def fill(volume: Path, count: int) -> dict[str, bytes]:
    files = {f"{number:03}.csv": rows(number) for number in range(count)}
    (volume / "inbox").mkdir()
    for name, content in files.items():
        (volume / "inbox" / name).write_bytes(content)
    return files


@pytest.mark.slow
@needs_a_root
def test_the_image_imports_an_inbox_and_writes_nowhere_but_to_its_volume(
    image: Image, vendor: SandboxVendor, volume: Path
) -> None:
    files = fill(volume, 5)
    finished = image.run(*RUN, volume=volume, **secrets(vendor))
    assert finished.returncode == 0, finished.stderr
    assert_each_once(vendor.received(), files)
    assert {path.name for path in volume.iterdir()} == {"inbox", "out", ".bulkhead", ".state"}
    assert {path.stat().st_uid for path in volume.iterdir() if path.name != "inbox"} == {image.owner[0]}
    written = image.run("sh", "-c", f"id -u; touch /x {image.opt}/x /usr/x /etc/x", volume=volume)
    assert written.stdout.strip() == str(image.owner[0])
    assert written.stderr.count("Read-only file system") == 4, written.stderr
    assert image.run("bulkhead", "--version", volume=volume).stdout.strip().endswith(__version__)


@pytest.mark.slow
@needs_a_root
def test_the_image_checks_files_with_the_engine_of_the_sandbox(
    image: Image, vendor: SandboxVendor, volume: Path
) -> None:
    fill(volume, 2)
    (volume / "inbox" / "damaged.xlsx").write_bytes(b"PK\x03\x04 the rest of this workbook was lost")
    finished = image.run(*RUN, "--check", volume=volume, **secrets(vendor))
    assert finished.returncode == 4, finished.stderr
    assert len(vendor.received()) == 2


@pytest.mark.slow
@needs_a_root
@pytest.mark.parametrize("pid_1", [False, True], ids=["below an init", "as process 1"])
def test_sigterm_ends_a_run_in_time_and_another_container_continues_it(
    image: Image, vendor: SandboxVendor, volume: Path, pid_1: bool
) -> None:
    vendor.faults({"operation": "upload", "kind": "stall", "delay_s": 600})
    (volume / "inbox").mkdir()
    files = {"large.csv": rows(1, count=50_000)}
    (volume / "inbox" / "large.csv").write_bytes(files["large.csv"])
    command = image.command(*RUN, "--json", volume=volume, pid_1=pid_1, BULKHEAD_STOP_WITHIN="3s", **secrets(vendor))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert any('"created"' in line for line in running.stdout), "it ended before it created the import"
        told_at = time.monotonic()
        os.kill(_inner(running.pid) if pid_1 else running.pid, signal.SIGTERM)
        events = running.stdout.read()
        code = running.wait(KILLED_AFTER_S)
    assert code == 143, events
    assert 2.5 < time.monotonic() - told_at < 3 + 10
    assert '"exit_code":143' in events.replace(" ", "")

    vendor.faults()
    finished = image.run("bulkhead", "resume", volume=volume, **secrets(vendor))
    assert finished.returncode == 0, finished.stderr
    assert_each_once(vendor.received(), files)


def _inner(pid: int) -> int:
    """Return the first process of the namespace that a process has made."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
