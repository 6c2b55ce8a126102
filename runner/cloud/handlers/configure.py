"""Configure: validate the inbox's bulkhead.toml by the rules of the local file; the last valid one is active."""

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

CLOUD_KEYS = ("routes", "schema_id", "development_mode", "include", "exclude", "min_age", "json_is_new")
"""The keys that bulkhead.toml may set for the stack: how files are imported. All else is a template parameter."""

MAX_CONFIG_BYTES = 256 * 1024

_KEYS_HINT = f"the keys are {', '.join(CLOUD_KEYS)}; set everything else by the parameters of the stack"
_FILE_KEYS = ("fields", "settings", "hooks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Which files are imported, and by which route."""

    settings: Settings
    routes: Routes

    def run_spec(self, deployment: Deployment, uri: str) -> RunSpec:
        """Return the spec of a batch over an `s3://` url; it excludes the configuration file itself."""
        source = SourceSpec(
            kind="s3",
            path=uri,
            include=self.settings.include,
            exclude=self.settings.exclude,
            leave_out=(deployment.config_folder,),
            min_age_s=self.settings.min_age,
        )
        return RunSpec(source=source, routes=self.routes, json_is_new=self.settings.json_is_new, driver="stack")


async def configure(deployment: Deployment, text: str) -> list[str]:
    """Store the text of a bulkhead.toml if it is valid, and return its problems, an empty list if there are none.

    Raises LedgerError, TransientError.
    """
    try:
        parse_config(text, deployment.settings)
    except ConfigError as error:
        logger.warning("configuration refused", extra={"reason": str(error)})
        return [f"{error}; {error.hint}" if error.hint else str(error)]
    await deployment.ledger.keep_config(text)
    logger.info("configuration is active")
    return []


async def config_in_force(deployment: Deployment) -> Config:
    """Return the last valid configuration, or the stack's parameters, which may name no schema. Raises ConfigError."""
    text = await deployment.ledger.good_config()
    if text is not None:
        return parse_config(text, deployment.settings)
    settings = deployment.settings
    routes = Routes.single(schema_id=settings.schema_id) if settings.schema_id else Routes([])
    return Config(settings=settings, routes=routes)


def parse_config(text: str, parameters: Settings) -> Config:
    """Apply a bulkhead.toml on top of the stack's parameters. Raises ConfigError."""
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
                f"{CONFIG_NAME}, route {number}: {key} names a file, which the stack cannot read",
                hint=f"write {key} into {CONFIG_NAME} itself, or name a saved schema by schema_id",
            )
