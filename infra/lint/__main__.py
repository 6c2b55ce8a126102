"""`make lint-cloud`: prints findings about template.yaml, the Dockerfile, and examples/container.

The tools are sam, cfn-lint, checkov, cfripper, hadolint, yamllint, and kubernetes-validate; accepted.toml lists the
findings that are accepted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from translate import translated

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template.yaml"
DOCKERFILE = ROOT / "Dockerfile"
EXAMPLES = ROOT / "examples" / "container"
ECS = EXAMPLES / "ecs-scheduled-task.yaml", EXAMPLES / "ecs-worker.yaml"
KUBERNETES = ("kubernetes-cronjob.yaml", "kubernetes-worker.yaml")
ACCEPTED = Path(__file__).with_name("accepted.toml")
YAML_RULES = Path(__file__).with_name("yamllint.yaml")
TIMEOUT_S = 100.0

# The tools work without network access, but they require a region.
OFFLINE = {"AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0", "AWS_EC2_METADATA_DISABLED": "true"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a tool reports about a resource; `resource` is `Type.LogicalId` if the tool names one."""

    tool: str
    check: str
    resource: str
    text: str

    def __str__(self) -> str:
        return f"{self.tool} {self.check} {self.resource}: {self.text}"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The reason why the matching resources may fail a check of a tool."""

    tool: str
    check: str
    resources: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        return (self.tool, self.check) == (finding.tool, finding.check) and fnmatch(finding.resource, self.resources)


class Tools:
    """Runs the programs one after the other; each method yields the findings of one."""

    def __init__(self, directory: Path, translation: Path) -> None:
        self._directory = directory
        self._translation = str(translation)

    def findings(self) -> Iterator[Finding]:
        yield from self._sam()
        yield from self._cfn_lint()
        yield from self._checkov()
        yield from self._cfripper()
        yield from self._hadolint()
        yield from self._yamllint()
        yield from self._kubernetes()

    def _sam(self) -> Iterator[Finding]:
        done = self._run("sam/bin/sam", "validate", "--lint", "--template-file", str(TEMPLATE))
        if done.returncode:
            yield Finding("sam", "validate", TEMPLATE.name, (done.stdout + done.stderr).strip())

    def _cfn_lint(self) -> Iterator[Finding]:
        done = self._run("lint/bin/cfn-lint", "--format", "json", "--", self._translation, *map(str, ECS))
        for found in json.loads(done.stdout):
            path = found["Location"]["Path"] or []
            yield Finding("cfn-lint", found["Rule"]["Id"], ".".join(map(str, path)), found["Message"])

    def _checkov(self) -> Iterator[Finding]:
        options = ("--skip-download", "--quiet", "--compact", "--framework", "cloudformation", "--output", "json")
        done = self._run("lint/bin/checkov", *options, "--file", self._translation)
        result = json.loads(done.stdout)
        for found in result["results"]["failed_checks"]:
            yield Finding("checkov", found["check_id"], found["resource"], found["check_name"])
        if result["summary"]["parsing_errors"]:
            yield Finding("checkov", "parsing", TEMPLATE.name, "unreadable")

    def _cfripper(self) -> Iterator[Finding]:
        done = self._run("lint/bin/cfripper", "--resolve", "--format", "json", self._translation)
        result = json.loads(done.stdout[done.stdout.index("{") :])
        for found in result["failures"]:
            yield Finding("cfripper", found["rule"], ",".join(found["resource_ids"] or []), found["reason"])
        for text in result["exceptions"]:
            yield Finding("cfripper", "exception", TEMPLATE.name, str(text))

    def _hadolint(self) -> Iterator[Finding]:
        done = self._run("container/bin/hadolint", "--format", "json", "--no-fail", str(DOCKERFILE))
        for found in json.loads(done.stdout):
            yield Finding("hadolint", found["code"], f"{DOCKERFILE.name}:{found['line']}", found["message"])

    def _yamllint(self) -> Iterator[Finding]:
        options = ("--config-file", str(YAML_RULES), "--format", "parsable", "--strict")
        done = self._run("container/bin/yamllint", *options, str(EXAMPLES))
        for line in done.stdout.splitlines():
            place, _, text = line.partition(": ")
            yield Finding("yamllint", "rules", Path(place.split(":")[0]).name, text)

    def _kubernetes(self) -> Iterator[Finding]:
        done = self._run(
            "container/bin/kubernetes-validate", "--strict", "--quiet", *(str(EXAMPLES / name) for name in KUBERNETES)
        )
        if done.returncode:
            yield Finding("kubernetes-validate", "schema", "kubernetes", (done.stdout + done.stderr).strip())

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self._directory / program), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)


def accepted() -> list[Acceptance]:
    entries: list[Mapping[str, Any]] = tomllib.loads(ACCEPTED.read_text())["accepted"]
    return [Acceptance(**entry) for entry in entries]


def main() -> int:
    """Print findings without a reason, and reasons without a finding; return the exit code, 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=Path, default=ROOT / ".tools")
    tools_directory = parser.parse_args().tools.absolute()
    os.environ.update(OFFLINE)
    with TemporaryDirectory() as directory:
        translation = Path(directory, "template.json")
        translation.write_text(json.dumps(translated(TEMPLATE)))
        findings = list(Tools(tools_directory, translation).findings())
    reasons = accepted()
    open_findings = [found for found in findings if not any(reason.covers(found) for reason in reasons)]
    unused = [reason for reason in reasons if not any(reason.covers(found) for found in findings)]
    for found in open_findings:
        print(found)
    for reason in unused:
        print(f"{ACCEPTED.name}: no finding matches {reason.tool} {reason.check} {reason.resources}")
    print(f"{len(findings)} findings, {len(findings) - len(open_findings)} of them accepted")
    return 1 if open_findings or unused else 0


if __name__ == "__main__":
    sys.exit(main())
