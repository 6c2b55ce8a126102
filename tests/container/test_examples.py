"""What the examples for schedulers do with an exit code, and that each of them knows all codes."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from runner import __version__
from runner.cli.app import build
from runner.local.outcome import ExitCode
from tests.support.image import of_the_image, variables
from tests.support.template import load_template, template

EXAMPLES = Path(__file__).parents[2] / "examples" / "container"
SUCCESS = {ExitCode.OK, ExitCode.NEEDS_REVIEW}
CONTINUE = {
    *(ExitCode.TRY_AGAIN, ExitCode.OUT_OF_TIME, ExitCode.LEDGER_LOCKED, ExitCode.INTERRUPTED, ExitCode.TERMINATED)
}
OF_OTHER_COMMANDS = {ExitCode.DIFFERS}
PERSON = set(ExitCode) - SUCCESS - CONTINUE - OF_OTHER_COMMANDS - {ExitCode.NOTHING_TO_DO}


class AirflowException(Exception):
    """Airflow tries again."""


class AirflowFailException(AirflowException):
    """Airflow fails the task."""


class AirflowSkipException(AirflowException):
    """Airflow skips the task."""


@pytest.fixture
def dag(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load the DAG with stand-ins for the few names of Airflow that it uses; its task is never run."""
    exceptions, sdk = ModuleType("airflow.exceptions"), ModuleType("airflow.sdk")
    for error in (AirflowException, AirflowFailException, AirflowSkipException):
        setattr(exceptions, error.__name__, error)
    sdk.dag = lambda **_: lambda function: function  # type: ignore[attr-defined]
    sdk.task = lambda **_: lambda _function: lambda: None  # type: ignore[attr-defined]
    for module in (ModuleType("airflow"), exceptions, sdk):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    spec = importlib.util.spec_from_file_location("airflow_dag", EXAMPLES / "airflow_dag.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def judged(dag: ModuleType, code: int) -> type[Exception] | None:
    try:
        dag.judge(code)
    except AirflowException as error:
        return type(error)
    return None


def test_airflow_tries_again_skips_or_asks_for_a_person_by_the_exit_code(dag: ModuleType) -> None:
    assert {code for code in ExitCode if judged(dag, code) is None} == SUCCESS
    assert {code for code in ExitCode if judged(dag, code) is AirflowException} == CONTINUE
    assert {code for code in ExitCode if judged(dag, code) is AirflowSkipException} == {ExitCode.NOTHING_TO_DO}
    assert {code for code in ExitCode if judged(dag, code) is AirflowFailException} == PERSON | OF_OTHER_COMMANDS
    assert judged(dag, 137) is AirflowFailException


def test_kubernetes_fails_a_job_only_if_a_person_must_look_and_else_tries_again() -> None:
    (rule,) = [rule for rule in pod_failure_policy() if rule["action"] == "FailJob"]
    codes = set(rule["onExitCodes"]["values"])
    assert codes == {int(code) for code in PERSON | {ExitCode.NEEDS_REVIEW}}, "a review is for a person, too"
    assert pod_of("kubernetes-cronjob.yaml")["restartPolicy"] == "Never"


@pytest.mark.parametrize("name", ["kubernetes-cronjob.yaml", "kubernetes-worker.yaml"])
def test_the_pod_may_do_nothing_and_gets_the_time_that_a_stop_takes(name: str) -> None:
    pod = pod_of(name)
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert str(pod["securityContext"]["runAsUser"]) in of_the_image("USER")[0].text
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["image"].endswith(f":{__version__}")
    assert pod["automountServiceAccountToken"] is False
    assert pod["terminationGracePeriodSeconds"] == 30
    assert "/data" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_the_worker_on_kubernetes_and_the_one_on_ecs_run_the_same_command() -> None:
    (container,) = pod_of("kubernetes-worker.yaml")["containers"]
    resources = load_template(EXAMPLES / "ecs-worker.yaml")["Resources"]
    (on_ecs,) = resources["Task"]["Properties"]["ContainerDefinitions"]
    assert container["args"][:3] == on_ecs["Command"][:3] == ["cloud", "work", "--stack"]
    assert {one["name"] for one in container["env"]} == {one["Name"] for one in on_ecs["Environment"]}
    assert set(options(container["args"])) <= of_command("cloud work")


def test_ecs_reports_the_codes_that_a_person_must_look_at() -> None:
    resources = load_template(EXAMPLES / "ecs-scheduled-task.yaml")["Resources"]
    ended, failed = resources["EndedWithTrouble"]["Properties"]["EventPattern"]["detail"]["$or"]
    assert set(ended["containers"]["exitCode"]) == {int(code) for code in PERSON | {ExitCode.NEEDS_REVIEW}} | {137}
    assert failed == {"stopCode": ["TaskFailedToStart"]}
    (container,) = resources["Task"]["Properties"]["ContainerDefinitions"]
    assert container["ReadonlyRootFilesystem"] is True
    assert container["User"] == of_the_image("USER")[0].text
    assert container["StopTimeout"] == 30
    assert set(options(container["Command"])) <= of_run()


def test_a_worker_of_ecs_has_the_permissions_of_the_stack_and_the_time_that_a_stop_takes() -> None:
    resources = load_template(EXAMPLES / "ecs-worker.yaml")["Resources"]
    (container,) = resources["Task"]["Properties"]["ContainerDefinitions"]
    assert container["Command"] == ["cloud", "work", "--stack", {"Ref": "StackName"}]
    assert set(options(container["Command"])) <= of_command("cloud work")
    assert (container["ReadonlyRootFilesystem"], container["StopTimeout"]) == (True, 30)
    assert container["User"] == of_the_image("USER")[0].text
    assert resources["WorkRole"]["Properties"]["ManagedPolicyArns"] == [{"Ref": "WorkerPolicyArn"}]
    assert "Policies" not in resources["WorkRole"]["Properties"]
    assert "WorkerPolicyArn" in template().outputs


def test_the_workflow_of_github_knows_every_code() -> None:
    script = yaml.safe_load((EXAMPLES / "github-actions.yaml").read_text())["jobs"]["import"]["steps"][-1]["run"]
    named = {int(code) for line in re.findall(r"^  ([\d |]+)\)", script, re.MULTILINE) for code in line.split(" | ")}
    assert named == {int(code) for code in SUCCESS | CONTINUE}
    assert '*) echo "::error::' in script
    assert set(options(script.split('"$IMAGE"')[1].split("||")[0].replace("\\\n", "").split())) <= of_run()


def test_every_example_uses_options_and_a_version_that_exist(dag: ModuleType) -> None:
    words = dag.command()
    assert set(options(words[words.index(dag.IMAGE) :])) <= of_run()
    (container,) = pod_of("kubernetes-cronjob.yaml")["containers"]
    assert set(options(container["args"])) <= of_run()
    assert dag.IMAGE.endswith(f":{__version__}")
    assert "BULKHEAD_STOP_WITHIN" in variables()


def options(words: list[Any]) -> Iterator[str]:
    return (word for word in words if isinstance(word, str) and word.startswith("--"))


def of_run() -> set[str]:
    return of_command("run")


def of_command(name: str) -> set[str]:
    """Return the options of a command."""
    import typer

    words = name.split()
    command: Any = typer.main.get_command(build(words))
    for word in words:
        command = command.commands[word]
    return {option for parameter in command.params for option in parameter.opts}


def pod_of(name: str) -> dict[str, Any]:
    """Return the pod of a CronJob or a Deployment."""
    kinds = {"CronJob": ("jobTemplate", "spec", "template"), "Deployment": ("template",)}
    (found,) = [one for one in yaml.safe_load_all((EXAMPLES / name).read_text()) if one["kind"] in kinds]
    inside = found["spec"]
    for step in kinds[found["kind"]]:
        inside = inside[step]
    pod: dict[str, Any] = inside["spec"]
    return pod


def pod_failure_policy() -> list[dict[str, Any]]:
    documents = yaml.safe_load_all((EXAMPLES / "kubernetes-cronjob.yaml").read_text())
    (job,) = [one["spec"]["jobTemplate"] for one in documents if one["kind"] == "CronJob"]
    rules: list[dict[str, Any]] = job["spec"]["podFailurePolicy"]["rules"]
    return rules
