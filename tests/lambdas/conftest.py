"""What the functions find around them: what the template makes, on ministack."""

from __future__ import annotations

import pytest

from tests.support.aws import LocalAws
from tests.support.functions import Stack


@pytest.fixture
def stack(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A deployment without its functions; the environment is what the template gives them."""
    made = Stack(aws.client_arguments)
    for name, value in {**aws.variables, **made.variables}.items():
        monkeypatch.setenv(name, value)
    return made
