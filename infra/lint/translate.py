"""Translates template.yaml to plain CloudFormation offline: resolves its include and translates its SAM resources."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

_PACKAGED_CODE = "s3://bucket/functions.zip"


def translated(template: Path) -> dict[str, Any]:
    """Return the template as plain CloudFormation; AWS_DEFAULT_REGION must be set to any region."""
    raw = yaml_parse(template.read_text())
    _include(raw["Resources"], template.parent)
    raw["Globals"]["Function"]["CodeUri"] = _PACKAGED_CODE
    defaults = {name: spec["Default"] for name, spec in raw["Parameters"].items()}
    return dict(Translator({}, Parser()).translate(raw, defaults))


def _include(resources: dict[str, Any], directory: Path) -> None:
    """Apply the transform AWS::Include."""
    location = resources.pop("Fn::Transform")["Parameters"]["Location"]
    resources.update(yaml_parse((directory / location).read_text()))


if __name__ == "__main__":
    print(json.dumps(translated(Path(sys.argv[1])), indent=1))
