"""Configuring: the bulkhead.toml of the inbox, held to the rules of the local file; the last good one is in force."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.config.routes import Routes
from runner.config.run_spec import RunSpec
from runner.config.settings import CONFIG_NAME, LoadedSettings
from runner.errors import ConfigError
from runner.globs import Globs
from runner.sources import SourceSpec

if TYPE_CHECKING:
    from runner.cloud.context import Deployment
    from runner.config.settings import Settings

logger = logging.getLogger(__name__)

CLOUD_KEYS = ("routes", "schema_id", "development_mode", "include", "exclude", "min_age")
"""What a bulkhead.toml may say to the stack: what becomes of a file. All else is a parameter of the template."""

MAX_CONFIG_BYTES = 256 * 1024

_KEYS_HINT = f"the keys are {', '.join(CLOUD_KEYS)}; the rest are parameters of the stack"
_FILE_KEYS = ("fields", "settings", "hooks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What becomes of a file: whether it is listed, and its route."""

    settings: Settings
    routes: Routes

    def run_spec(self, deployment: Deployment, uri: str) -> RunSpec:
        """Return what a batch over an `s3://` url is asked to do; the configuration itself is never imported."""
        source = SourceSpec(
            kind="s3",
            path=uri,
            include=self.settings.include,
            exclude=self.settings.exclude,
            leave_out=(deployment.config_folder,),
            min_age_s=self.settings.min_age,
        )
        return RunSpec(source=source, routes=self.routes, driver="stack")


async def configure(deployment: Deployment, text: str) -> list[str]:
    """Keep the text of a bulkhead.toml if it is good; returns what is wrong with it, which is nothing then."""
    try:
        parsed(text, deployment.settings)
    except ConfigError as error:
        logger.warning("configuration refused", extra={"reason": str(error)})
        return [f"{error}; {error.hint}" if error.hint else str(error)]
    await deployment.ledger.keep_config(text)
    logger.info("configuration in force")
    return []


async def in_force(deployment: Deployment) -> Config:
    """Return the last good configuration; without one the parameters of the stack, which may name no schema at all."""
    text = await deployment.ledger.good_config()
    if text is not None:
        return parsed(text, deployment.settings)
    settings = deployment.settings
    routes = Routes.single(schema_id=settings.schema_id) if settings.schema_id else Routes([])
    return Config(settings=settings, routes=routes)


def parsed(text: str, parameters: Settings) -> Config:
    """Lay a bulkhead.toml over the parameters of the stack. Raises ConfigError."""
    settings = parameters.overlaid(text, keys=CLOUD_KEYS, hint=_KEYS_HINT)
    for number, route in enumerate(settings.routes or (), start=1):
        _refuse_files(route, number)
    for globs in (settings.include, settings.exclude):
        Globs(globs)
    routes = Routes.of(LoadedSettings(settings=settings, origins={}, config_file=Path(CONFIG_NAME)))
    return Config(settings=settings, routes=routes)


def _refuse_files(route: Mapping[str, Any], number: int) -> None:
    for key in _FILE_KEYS:
        if isinstance(route.get(key), str):
            raise ConfigError(
                f"{CONFIG_NAME}, route {number}: {key} names a file, and there are none beside it here",
                hint=f"write {key} into {CONFIG_NAME} itself, or name a saved schema by schema_id",
            )
