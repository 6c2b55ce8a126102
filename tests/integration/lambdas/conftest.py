"""What the functions find around them: what the template makes, on ministack."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from lambdas.runtime import Container
from tests.support.aws import LocalAws
from tests.support.functions import LICENSE_KEY, Opening, Stack


@pytest.fixture
def stack(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A deployment without its functions; the environment is what the template gives them."""
    made = Stack(aws.client_arguments)
    for name, value in {**aws.variables, **made.variables}.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def opening() -> Opening:
    return Opening()


@pytest.fixture
def container(stack: Stack, opening: Opening) -> Iterator[Container]:
    """A container of the deployment that `opening` opens; the license key is there."""
    stack.put_secret("license", LICENSE_KEY)
    made = Container(opening)
    yield made
    made.close()


@pytest.fixture
def log(container: Container, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the container's function logs."""
    stream = io.StringIO()
    monkeypatch.setattr(container.telemetry.logger.registered_handler, "stream", stream)
    return stream
