"""Configure: validate the stack's bulkhead.toml by the rules of the local file; the last valid one is active."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.cloud.config_changes import config_changes
from runner.config.routes import Routes
from runner.config.run_spec import RunSpec
from runner.config.settings import CONFIG_NAME, LoadedSettings
from runner.errors import ConfigError, HooksRefused
from runner.globs import Globs
from runner.sources import SourceSpec

if TYPE_CHECKING:
    from runner.cloud.context import Deployment
    from runner.config.settings import Settings

logger = logging.getLogger(__name__)

CLOUD_KEYS = ("routes", "schema_id", "encoding", "development_mode", "include", "exclude", "min_age", "json_is_new")
"""The keys that bulkhead.toml may set for the stack: how files are imported. All else is a template parameter."""

MAX_CONFIG_BYTES = 256 * 1024

ALLOW_HOOKS = "AllowHooks"
"""The parameter of the stack that lets the configuration have hooks and webhook urls."""

CHANGED = "The configuration of the stack has changed. If you did not expect this, find out who wrote it."
MOVED = (
    "The configuration has moved to a bucket of its own. The file in the inbox is no longer read: "
    "change the one in the new place from now on, and delete the old one."
)

_HOOK = re.compile("hook|callback", re.IGNORECASE)
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


async def configure(deployment: Deployment, text: str, *, place: str, before: str | None) -> list[str]:
    """Store the text of a bulkhead.toml if it is valid, and return its problems, an empty list if there are none.

    A change is published before it is stored, so that none takes effect without a notice. `place` is the `s3://` url
    of the text. `before` is what was stored before the text was read: a pass that takes long does not bring back an
    older text. Raises LedgerError, AwsRefused, TransientError.
    """
    await moved_from_inbox(deployment, place=place)
    try:
        parse_config(text, deployment.settings, allow_hooks=deployment.allow_hooks)
    except ConfigError as error:
        logger.warning("configuration refused", extra={"reason": str(error)})
        return [f"{error}; {error.hint}" if error.hint else str(error)]
    if text != before:
        await deployment.notifier.config_changed(CHANGED, config_changes(before, text), place=place)
        await deployment.ledger.keep_config(text)
        logger.info("configuration is active")
    return []


async def moved_from_inbox(deployment: Deployment, *, place: str) -> None:
    """Publish, once after an upgrade from version 0.1.0, that the configuration is no longer read from the inbox."""
    text = await deployment.ledger.good_config()
    if text is None or not await deployment.ledger.config_is_from_inbox():
        return
    await deployment.notifier.config_changed(
        MOVED, [f"{deployment.config_folder}/{CONFIG_NAME} -> {place}"], place=place
    )
    await deployment.ledger.keep_config(text)


async def config_in_force(deployment: Deployment) -> Config:
    """Return the last valid configuration, or the stack's parameters, which may name no schema.

    Raises ConfigError, and HooksRefused if it has hooks that the stack has ceased to accept.
    """
    text = await deployment.ledger.good_config()
    if text is not None:
        return parse_config(text, deployment.settings, allow_hooks=deployment.allow_hooks)
    settings = deployment.settings
    routes = Routes.single(schema_id=settings.schema_id) if settings.schema_id else Routes([])
    return Config(settings=settings, routes=routes)


def parse_config(text: str, parameters: Settings, *, allow_hooks: bool) -> Config:
    """Apply a bulkhead.toml on top of the stack's parameters. Raises ConfigError, HooksRefused."""
    settings = parameters.overlaid(text, keys=CLOUD_KEYS, hint=_KEYS_HINT)
    for number, route in enumerate(settings.routes or (), start=1):
        _refuse_files(route, number)
    for globs in (settings.include, settings.exclude):
        Globs(globs)
    routes = Routes.of(LoadedSettings(settings=settings, origins={}, config_file=Path(CONFIG_NAME)))
    if not allow_hooks:
        _refuse_hooks(routes)
    return Config(settings=settings, routes=routes)


def _refuse_files(route: Mapping[str, Any], number: int) -> None:
    for key in _FILE_KEYS:
        if isinstance(route.get(key), str):
            raise ConfigError(
                f"{CONFIG_NAME}, route {number}: {key} names a file, which the stack cannot read",
                hint=f"write {key} into {CONFIG_NAME} itself, or name a saved schema by schema_id",
            )


def _refuse_hooks(routes: Routes) -> None:
    for route in routes.routes:
        found = "hooks" if route.hooks else _hook_in(route.settings) or _hook_in(route.fields)
        if found:
            raise HooksRefused(
                f"{CONFIG_NAME}, route {route.name}: {found} may send rows elsewhere, "
                f"so the stack accepts it only with the parameter {ALLOW_HOOKS}=true",
                hint=f"remove it, or, if all who can write the configuration may decide where rows go: "
                f'write {ALLOW_HOOKS} = "true" into parameters.toml, then: sam deploy',
            )


def _hook_in(value: object) -> str | None:
    """Return the first key that names a hook, a webhook, or a callback, at any depth."""
    inner: Iterable[object] = ()
    if isinstance(value, dict):
        if (key := next((key for key in value if _HOOK.search(key)), None)) is not None:
            return str(key)
        inner = value.values()
    elif isinstance(value, list | tuple):
        inner = value
    return next((key for one in inner if (key := _hook_in(one))), None)
