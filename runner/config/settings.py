"""Settings: every value that configures a run, with its origin; the only reader of the environment."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import platformdirs
from dotenv import dotenv_values
from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from runner.aws.s3 import canonical_folder, is_s3, refuse_foreign_folder
from runner.config.encodings import encoding_of
from runner.config.notify_values import (
    MASK,
    Occasion,
    command_of,
    flattened,
    masked_urls,
    occasions_of,
    shown_command,
    urls_of,
)
from runner.config.options import FailureLimit, RowLossLimit, RunOptions
from runner.config.origins import (
    DEFAULT_API_URL,
    FILES,
    IGNORED,
    REDIRECTS,
    WORKING_DIRECTORY,
    Confinement,
    export_line,
    is_loopback,
    refuse_redirect,
)
from runner.config.toml_text import SHOWN_CHARS, parsed
from runner.config.units import (
    Rate,
    duration_text,
    parse_create_quota,
    parse_duration,
    parse_failure_limit,
    parse_permissions,
    parse_rate,
    parse_row_loss_limit,
    parse_size,
)
from runner.config.value_forms import what_to_write
from runner.dromo.proxy import Proxy, masked, unused_variable
from runner.errors import ConfigError
from runner.ledger.location import LedgerTable, parse_location
from runner.permissions import PRIVATE, Permissions

CONFIG_NAME = "bulkhead.toml"
ENV_PREFIX = "BULKHEAD_"
KEY_VARIABLES = ("DROMO_LICENSE_KEY", "BULKHEAD_LICENSE_KEY")

_PATH_BYTES = 4000
_NAME_BYTES = 255
_PATHS = ("ledger", "ca_file", "quota_store", "fields_file", "settings_file", "hooks_file")
_ONE_OF = ("schema_id", "fields_file", "routes")
_FIELD_OF_ALIAS = dict.fromkeys(KEY_VARIABLES, "license_key")
_OTHER_VARIABLES = ("BULKHEAD_CONFIG", "BULKHEAD_DEBUG", "BULKHEAD_LOG_FILE", "BULKHEAD_STATS", "BULKHEAD_STOP_WITHIN")


def _text_by(parse: Callable[[str], Any]) -> BeforeValidator:
    """Return a validator that parses what a person wrote, and passes parsed values on."""

    def read(value: object) -> object:
        return value if isinstance(value, Rate | FailureLimit | RowLossLimit | None) else parse(str(value))

    return BeforeValidator(read)


def _globs(value: object) -> object:
    """Split a text at the commas outside braces."""
    if not isinstance(value, str):
        return value
    parts, depth = [""], 0
    for char in value:
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return tuple(part.strip() for part in parts if part.strip())


def _path(value: object) -> object:
    """Return a path with the home directory of `~`. Raises ValueError if no file can have it."""
    if value is None:
        return None
    text = str(value) if isinstance(value, str | Path) else ""
    if not text.strip() or "\0" in text:
        raise ValueError("write the path of a file or directory")
    if len(os.fsencode(text)) > _PATH_BYTES or any(len(os.fsencode(part)) > _NAME_BYTES for part in Path(text).parts):
        raise ValueError("the path is too long")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("the path begins with a user that this machine does not have") from None


def _ledger(value: object) -> object:
    if isinstance(value, LedgerTable):
        return value
    place = parse_location(str(value)) if isinstance(value, str | Path) else value
    return place if isinstance(place, LedgerTable) else _path(place)


def _out(value: object) -> object:
    """Return a path, or an `s3://` url in its canonical form, as text."""
    try:
        refuse_foreign_folder(str(value))
        if value is not None and is_s3(str(value)):
            return canonical_folder(str(value))
    except ConfigError as error:
        raise ValueError(f"{error}; {error.hint}") from None
    return value and str(_path(value))


def _mode(value: object) -> object:
    """Return the permissions of a text; a number of TOML is not in octal digits."""
    return value if isinstance(value, Permissions) else parse_permissions(value if isinstance(value, str) else "")


def _proxy(value: object) -> object:
    return value if value is None or isinstance(value, Proxy) else Proxy.parse(str(value))


def _base_url(value: object) -> object:
    parts = urlsplit(str(value).strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write a url such as https://app.dromo.io/api/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("the url holds no user, password, query or fragment")
    return str(value).strip().rstrip("/")


Duration = Annotated[float, _text_by(parse_duration), Field(ge=0, allow_inf_nan=False)]
Wait = Annotated[float, _text_by(parse_duration), Field(gt=0, allow_inf_nan=False)]
Size = Annotated[int, Field(ge=1), _text_by(parse_size)]
Quota = Annotated[Rate, _text_by(parse_rate)]
CreateQuota = Annotated[Rate, _text_by(parse_create_quota)]
Mode = Annotated[Permissions, BeforeValidator(_mode)]
FilePath = Annotated[Path, BeforeValidator(_path)]
Globs = Annotated[tuple[str, ...], BeforeValidator(_globs)]


class Settings(BaseSettings):
    """`Settings(...)` takes its arguments and nothing else; `Settings.load` reads the layers.

    Durations are seconds, written as a number or as `90s`, `15m`, `2h30m`; sizes are bytes, written as `500K` or `10M`.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        enable_decoding=False,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    license_key: Annotated[SecretStr | None, Field(validation_alias=AliasChoices(*KEY_VARIABLES))] = None
    api_url: Annotated[str, BeforeValidator(_base_url)] = DEFAULT_API_URL
    proxy: Annotated[Proxy | None, BeforeValidator(_proxy)] = None
    ca_file: FilePath | None = None
    ledger: Annotated[Path | LedgerTable, BeforeValidator(_ledger)] = Path(".bulkhead/ledger.db")
    out: Annotated[str | None, BeforeValidator(_out)] = None
    """An absolute path, or `s3://bucket/prefix`."""
    quota_store: FilePath = Field(default_factory=lambda: platformdirs.user_state_path("bulkhead") / "quota.db")
    ledger_mode: Mode = PRIVATE
    out_mode: Mode | None = None

    schema_id: Annotated[str, Field(min_length=1, pattern=r"\S")] | None = None
    fields_file: FilePath | None = None
    settings_file: FilePath | None = None
    hooks_file: FilePath | None = None
    development_mode: bool | None = None
    encoding: Annotated[str, BeforeValidator(encoding_of)] | None = None
    accept_new_key: bool = False
    json_is_new: bool = False
    routes: tuple[dict[str, Any], ...] | None = None

    stack: Annotated[str, Field(min_length=1)] = "bulkhead"
    aws_region: Annotated[str, Field(min_length=1)] | None = None
    aws_endpoint_url: Annotated[str, BeforeValidator(_base_url)] | None = None

    include: Globs = ()
    exclude: Globs = ()
    min_age: Duration = 0.0
    order_by: Literal["name", "size", "mtime"] = "name"
    filename_tag: bool = True

    create_quota: CreateQuota = Rate(20, 60.0)
    poll_quota: Quota = Rate(12, 60.0)
    list_quota: Quota = Rate(12, 60.0)
    shared_quota_guard_s: Duration | None = None
    uploads: Annotated[int, Field(ge=1, le=64)] = 8
    bwlimit: Annotated[int, Field(ge=1024), _text_by(parse_size)] | None = None
    max_duration: Wait | None = None
    give_up_after: Duration = 900.0
    max_failures: Annotated[FailureLimit, _text_by(parse_failure_limit)] | None = None
    max_rows_lost: Annotated[RowLossLimit, _text_by(parse_row_loss_limit)] | None = None
    fail_on_lost_rows: bool = False

    track_by: Literal["list", "ledger"] | None = None
    safety_list_s: Wait = 300.0
    quiet_period_s: Duration = 900.0
    settle_s: Duration = 120.0
    stuck_after: Duration = 900.0
    stall_s: Wait = 30.0
    request_timeout_s: Wait = 30.0
    max_result: Size = 10 * 1024**3
    max_upload_answer: Size = 64 * 1024

    storage_hosts: Globs = ()
    review_hosts: Globs = ("dromo.io", "*.dromo.io")

    notify_urls: Annotated[tuple[SecretStr, ...], BeforeValidator(urls_of)] = ()
    notify_on: Annotated[tuple[Occasion, ...], BeforeValidator(occasions_of)] = tuple(Occasion)
    on_finish: Annotated[tuple[str, ...], BeforeValidator(command_of)] = ()

    @property
    def unused_proxy(self) -> str | None:
        """The variable of the environment that names a proxy for the API, if `proxy` is not set."""
        return None if self.proxy else unused_variable(self.api_url, os.environ)

    @property
    def ledger_is_there(self) -> bool:
        """Return whether the ledger exists; a table counts as existing, since only a request can tell."""
        return isinstance(self.ledger, LedgerTable) or self.ledger.exists()

    @property
    def own_directory(self) -> Path:
        """The directory for files of this machine's runs: that of the ledger if it is a file, else `.bulkhead`."""
        return Path(".bulkhead").absolute() if isinstance(self.ledger, LedgerTable) else self.ledger.parent

    @property
    def slowest_per_s(self) -> float:
        """The bytes per second at which a transfer as a whole is too slow: 5 kB, or half its share of `bwlimit`."""
        shares = 2 * (self.uploads + RunOptions().collects)
        return min(5000.0, self.bwlimit / shares) if self.bwlimit else 5000.0

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the caller only: `load` reads each layer separately, to know the origin of a value."""
        return (sources["init_settings"],)

    @classmethod
    def load(
        cls, flags: Mapping[str, Any], *, environ: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> LoadedSettings:
        """Merge flag, environment, `.env`, bulkhead.toml and default; the first that has a value wins.

        `flags` may hold `config`, the path of another bulkhead.toml; a flag that is None was not given. An empty
        environment variable counts as absent. Raises ConfigError, also if the working directory redirects secrets or
        data, see `runner.config.origins`.
        """
        environ = os.environ if environ is None else environ
        cwd = cwd or Path.cwd()
        dotenv = _read_dotenv(cwd / ".env")
        config, is_found = _config_file(flags.get("config"), environ=environ, dotenv=dotenv, cwd=cwd)
        in_config = _read_config(config) if config else {}
        layers = (
            _Layer("flag", {n: v for n, v in flags.items() if v is not None and n != "config"}, base=cwd),
            _Layer("environment", _from_variables(environ), base=cwd, variables=environ),
            _Layer(".env", _from_variables(dotenv), base=cwd, is_found=True),
            _Layer(CONFIG_NAME, in_config, base=config.parent if config else cwd, is_found=is_found),
        )
        values, sources = _merged([layer.heeded() for layer in layers])
        ignored = {name: layer.kind for layer in reversed(layers) if layer.is_found for name in layer.ignored()}
        origins = {name: layer.origin(name) for name, layer in sources.items()}
        settings = _validated(values, origins)
        _refuse_redirects(settings, sources, layers)
        absolute: dict[str, object] = {
            name: _absolute(getattr(settings, name), sources.get(name), cwd) for name in _PATHS
        }
        if settings.out is not None and not is_s3(settings.out):
            absolute["out"] = str(_absolute(Path(settings.out), sources.get("out"), cwd))
        if os.sep in "".join(settings.on_finish[:1]):
            program, *words = settings.on_finish
            absolute["on_finish"] = (str(_absolute(Path(program), sources["on_finish"], cwd)), *words)
        return LoadedSettings(
            settings=settings.model_copy(update=absolute),
            origins=origins,
            config_file=config,
            directory=cwd.resolve(),
            found=frozenset(name for name, layer in sources.items() if layer.is_found),
            ignored={name: kind for name, kind in ignored.items() if name not in sources},
            warnings=(*_address_warnings(settings.api_url), *_unknown_variables(environ), *_unknown_variables(dotenv)),
        )

    def overlaid(self, text: str, *, keys: Collection[str], hint: str) -> Settings:
        """Override these settings with the text of a bulkhead.toml, which may have only `keys`. Raises ConfigError."""
        values = _config_values(text.removeprefix("\ufeff"), CONFIG_NAME)
        if foreign := values.keys() - set(keys):
            raise ConfigError(f"{CONFIG_NAME}: {min(foreign)} has no meaning here", hint=hint)
        replaced = _ONE_OF if any(name in values for name in _ONE_OF) else ()
        kept = {name: getattr(self, name) for name in self.model_fields_set if name not in replaced}
        origins = {**dict.fromkeys(kept, "parameter"), **dict.fromkeys(values, CONFIG_NAME)}
        return _validated({**kept, **values}, origins)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSettings:
    """The settings, the origin of each, the bulkhead.toml that was read, and warnings for the user.

    `found` names the settings that files found in the working directory, `directory`, give; `ignored` those that they
    would give if somebody had named the file, which is its value.
    """

    settings: Settings
    origins: Mapping[str, str]
    config_file: Path | None = None
    directory: Path | None = None
    found: frozenset[str] = frozenset()
    ignored: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def origin(self, name: str) -> str:
        """Return `flag`, `environment NAME`, `.env`, `bulkhead.toml` or `default`."""
        return self.origins.get(name, "default")

    def place(self, name: str) -> str:
        """Return the origin, and whether it is in the working directory, or another value there is not used."""
        if name in self.ignored:
            return f"{self.origin(name)}; {self.ignored[name]} in {WORKING_DIRECTORY} is not used"
        return f"{self.origin(name)} in {WORKING_DIRECTORY}" if name in self.found else self.origin(name)

    def confinement(self, name: str) -> Confinement | None:
        """Return where files that a setting names have to be, None if anywhere."""
        if name not in self.found or self.directory is None:
            return None
        line = "add --config bulkhead.toml"
        if name in FILES:
            line = f"run: {export_line(name, os.path.realpath(getattr(self.settings, name)))}"
        return Confinement(self.directory, line)

    def masked(self) -> list[tuple[str, str, str]]:
        """Return (name, value, origin) of every setting; the license key only as set or not."""
        names = Settings.model_fields
        return [(name, _shown(name, getattr(self.settings, name)), self.place(name)) for name in names]


@dataclass(frozen=True, slots=True)
class _Layer:
    """The values of one origin, by the settings' names; relative paths in them start from `base`."""

    kind: str
    values: Mapping[str, Any]
    base: Path
    variables: Mapping[str, str] | None = None
    is_found: bool = False
    """Whether it is a file that was found in the working directory."""

    def ignored(self) -> list[str]:
        """Return the settings that a file gives in vain because it was found."""
        return [name for name in IGNORED if name in self.values] if self.is_found else []

    def heeded(self) -> _Layer:
        """Return the layer without its ignored settings."""
        ignored = self.ignored()
        return replace(self, values={name: value for name, value in self.values.items() if name not in ignored})

    def origin(self, name: str) -> str:
        if self.variables is None:
            return self.kind
        names = KEY_VARIABLES if name == "license_key" else (ENV_PREFIX + name.upper(),)
        given = {variable.upper(): variable for variable, value in self.variables.items() if value}
        return f"{self.kind} {next(given[name] for name in names if name in given)}"


def _from_variables(variables: Mapping[str, str]) -> dict[str, Any]:
    found = _Variables(Settings, variables)()
    return {_FIELD_OF_ALIAS.get(name, name): value for name, value in found.items()}


class _Variables(EnvSettingsSource):
    """Given variables, in place of the process's own."""

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str]) -> None:
        self._variables = {name.lower(): value for name, value in variables.items() if value}
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._variables


def _read_dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        found = dotenv_values(path, interpolate=False)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{path} cannot be read: {_reason(error)}") from error
    return {name: value for name, value in found.items() if value}


def _config_file(
    flag: object, *, environ: Mapping[str, str], dotenv: Mapping[str, str], cwd: Path
) -> tuple[Path | None, bool]:
    """Return the bulkhead.toml to read, None if there is none, and whether it was found in the working directory.

    Raises ConfigError if a named file does not exist, or if `.env` names one outside the working directory.
    """
    variable = ENV_PREFIX + "CONFIG"
    named = flag or environ.get(variable)
    of_dotenv = None if named else dotenv.get(variable)
    path = cwd / Path(str(named or of_dotenv or CONFIG_NAME)).expanduser()
    if of_dotenv and not path.resolve().is_relative_to(cwd.resolve()):
        raise ConfigError(
            f"{variable} = {of_dotenv} (.env in {WORKING_DIRECTORY}): this file is outside {WORKING_DIRECTORY}",
            hint=f"if it is right, run: {export_line('config', path)}",
        )
    if path.is_file():
        return path.resolve(), not named
    if (named or of_dotenv) and path.is_dir():
        inside = os.path.normpath(Path(str(named or of_dotenv), CONFIG_NAME))
        raise ConfigError(
            f"the configuration file {os.path.normpath(path)} is a directory",
            hint=f"name a file in it: --config {shlex.quote(inside)}",
        )
    if named or of_dotenv:
        raise ConfigError(f"the configuration file {path} does not exist", hint=f"--config or {variable} names it")
    return None, False


def _read_config(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{path} cannot be read: {_reason(error)}") from error
    return _config_values(text, str(path))


def _config_values(text: str, path: str) -> dict[str, Any]:
    """Return the values in the text of a bulkhead.toml, by the settings' names."""
    raw = flattened(parsed(text, path), path)
    values = {_name(key): value for key, value in raw.items()}
    if twice := next((key for key in reversed(raw) if sum(_name(other) == _name(key) for other in raw) > 1), None):
        raise ConfigError(f"{path}: {twice} is given twice, with - and with _", hint="remove one of them")
    if "license_key" in values:
        raise ConfigError(
            f"{path}: license_key does not belong in a file that is shared",
            hint=f"set {KEY_VARIABLES[0]} in the environment or in .env",
        )
    for key, name in zip(raw, values, strict=True):
        if name not in Settings.model_fields:
            raise ConfigError(f"{path}: the key {key[:SHOWN_CHARS]} is not known", hint=_nearest(name))
    return values


def _name(key: str) -> str:
    return key.replace("-", "_")


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _nearest(name: str) -> str:
    known = [known for known in Settings.model_fields if known != "license_key"]
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"the keys are {', '.join(known)}"


def _merged(layers: Sequence[_Layer]) -> tuple[dict[str, Any], dict[str, _Layer]]:
    """Return each value and its layer. The first layer that names a schema overrides later ones."""
    values: dict[str, Any] = {}
    sources: dict[str, _Layer] = {}
    for layer in layers:
        schema_named = any(name in values for name in _ONE_OF)
        for name, value in layer.values.items():
            if name not in values and not (schema_named and name in _ONE_OF):
                values[name] = value
                sources[name] = layer
    return values, sources


def _refuse_redirects(settings: Settings, sources: Mapping[str, _Layer], layers: Sequence[_Layer]) -> None:
    """Refuse to send secrets or data where only the working directory says. Raises ConfigError."""
    key = sources.get("license_key")
    for name in REDIRECTS:
        source, reason = sources.get(name), ""
        if source is None or not source.is_found:
            continue
        if name == "api_url":
            if key is None or _is_of_working_directory(key, layers):
                continue
            reason = f"; the key is from the {key.origin('license_key')}"
        trusted = [layer.values[name] for layer in layers if not layer.is_found and name in layer.values]
        refuse_redirect(name, getattr(settings, name), origin=source.kind, trusted=trusted, reason=reason)


def _is_of_working_directory(key: _Layer, layers: Sequence[_Layer]) -> bool:
    """Return whether the working directory has the license key, even if it is given elsewhere, too."""
    found = [layer.values.get("license_key") for layer in layers if layer.is_found]
    return key.is_found or key.values["license_key"] in found


def _validated(values: Mapping[str, Any], origins: Mapping[str, str]) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = _FIELD_OF_ALIAS.get(str(first["loc"][0]), str(first["loc"][0]))
        form = what_to_write(name, first)
        shown = _shown(name, values[name])
        shown = shown if len(shown) <= SHOWN_CHARS else f"{shown[:SHOWN_CHARS]}…"
    raise ConfigError(f"{name} = {shown} ({origins[name]}): {form}")


def _absolute(path: Path | LedgerTable | None, layer: _Layer | None, cwd: Path) -> Path | LedgerTable | None:
    if path is None or isinstance(path, LedgerTable):
        return path
    return Path(os.path.normpath((layer.base if layer else cwd) / path.expanduser()))


def _address_warnings(api_url: str) -> list[str]:
    parts, found = urlsplit(api_url), []
    if parts.scheme != "https" and not is_loopback(api_url):
        found.append(f"the license key is sent unencrypted to {api_url}; use https")
    if not parts.path:
        found.append(f"the API URL {api_url} has no path; the API is usually at {api_url}/api/v1")
    return found


def _unknown_variables(variables: Mapping[str, str]) -> list[str]:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields} | set(_OTHER_VARIABLES)
    unknown = [name for name in variables if name.startswith(ENV_PREFIX) and name not in known]
    near = {name: get_close_matches(name, known, n=1) for name in unknown}
    return [
        f"the variable {name} is not known" + (f"; did you mean {near[name][0]}?" if near[name] else "")
        for name in sorted(unknown)
    ]


def _shown(name: str, value: object) -> str:
    """Return a value as text, with secrets masked."""
    if name == "routes" and isinstance(value, Sequence):
        return f"{len(value)} routes"
    if name == "proxy" and isinstance(value, str):
        return masked(value)
    if name == "notify_urls":
        return masked_urls(value)
    if name == "on_finish":
        return shown_command(value)
    secret = name == "license_key" or (name == "api_url" and "@" in str(value))
    return MASK if secret and value is not None else _plain(value)


def _plain(value: object) -> str:
    match value:
        case None:
            text = "not set"
        case list() | tuple():
            text = ", ".join(map(str, value)) or "none"
        case FailureLimit() | RowLossLimit():
            text = f"{value.count}" if value.percent is None else f"{value.percent:g}%"
        case bool():
            text = str(value).lower()
        case float():
            text = duration_text(value)
        case _:
            text = str(value)
    return text
