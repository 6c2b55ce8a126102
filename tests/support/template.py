"""template.yaml as data, with its includes, and with CloudFormation's functions in their long form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template.yaml"
RUNBOOK = ROOT / "infra" / "runbook.md"
METRICS = ROOT / "infra" / "metrics.md"


class _Loader(yaml.SafeLoader):
    """Knows `!Ref`, and reads every other tag as the function of its name."""


def _function(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    match node:
        case yaml.ScalarNode():
            value: Any = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _function)


@dataclass(frozen=True)
class Template:
    """The sections of the template; `resources` and the properties of functions include the globals."""

    parameters: dict[str, Any]
    resources: dict[str, Any]
    outputs: dict[str, Any]
    function_globals: dict[str, Any]

    def of_type(self, kind: str) -> dict[str, Any]:
        """Return {logical id: properties} of the resources of a type."""
        return {name: one.get("Properties", {}) for name, one in self.resources.items() if one["Type"] == kind}

    def functions(self) -> dict[str, Any]:
        return {name: self.function_globals | own for name, own in self.of_type("AWS::Serverless::Function").items()}


def load_template(path: Path) -> dict[str, Any]:
    """Return a template of CloudFormation with its functions in their long form."""
    raw: dict[str, Any] = yaml.load(path.read_text(), _Loader)
    return raw


@cache
def template() -> Template:
    raw = load_template(TEMPLATE)
    include = raw["Resources"].pop("Fn::Transform")
    included = yaml.safe_load((ROOT / include["Parameters"]["Location"]).read_text())
    assert not raw["Resources"].keys() & included.keys()
    return Template(
        parameters=raw["Parameters"],
        resources=raw["Resources"] | included,
        outputs=raw["Outputs"],
        function_globals=raw["Globals"]["Function"],
    )


def indexes_of(function: str) -> frozenset[str]:
    """Return the indexes of the table that the role of a function, such as `Submit`, may query."""
    (policy,) = template().of_type("AWS::IAM::Role")[f"{function}Role"]["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    granted = [one["Resource"] for one in statements if one.get("Sid") == "LedgerIndexes"]
    resources = [one for found in granted for one in (found if isinstance(found, list) else [found])]
    return frozenset(one["Fn::Sub"].rpartition("/")[2] for one in resources)


def references(value: Any) -> Iterator[str]:
    """Yield the names that a value of the template refers to by `Ref`, `Fn::GetAtt` or a plain `Fn::Sub`."""
    match value:
        case {"Ref": str(name)}:
            yield name
        case {"Fn::GetAtt": [str(name), *_]}:
            yield name
        case {"Fn::Sub": str(text)}:
            yield from (part.split("}")[0].split(".")[0] for part in text.split("${")[1:])
        case {"Fn::If": [str(condition), *branches]}:
            yield condition
            yield from (name for branch in branches for name in references(branch))
        case dict():
            yield from (name for inner in value.values() for name in references(inner))
        case list():
            yield from (name for inner in value for name in references(inner))
