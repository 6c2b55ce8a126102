"""The bulkhead.toml of the inbox: a valid one becomes active; an invalid one is reported and changes nothing."""

from __future__ import annotations

import pytest

from runner.cloud.handlers.configure import config_in_force, configure, parse_config
from runner.config.settings import Settings
from runner.errors import ConfigError
from tests.cloudcore.bench import Bench

pytestmark = pytest.mark.virtual_time

ROUTES = """
include = ["*.csv"]

[[routes]]
match = "orders/**"
schema_id = "orders"

[[routes]]
match = "**"
fields = [{ key = "mark", label = "Mark" }]
"""


async def test_a_good_configuration_is_in_force(bench: Bench) -> None:
    assert await configure(bench.deployment, ROUTES) == []
    config = await config_in_force(bench.deployment)
    assert [route.schema_id for route in config.routes.routes] == ["orders", None]
    assert config.settings.include == ("*.csv",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schema_id = ", "cannot be read"),
        ("shema_id = 'a'", "did you mean schema_id?"),
        ("license_key = 'secret-value'", "license_key does not belong"),
        ("schema_id = ''", "schema_id"),
        ("ledger = 'x.db'\nschema_id = 'a'", "ledger has no meaning here"),
        ("create_quota = '5/60s'\nschema_id = 'a'", "parameters of the stack"),
        ("[[routes]]\nmatch = '**'", "exactly one of schema_id and fields"),
        ("[[routes]]\nmatch = '{'\nschema_id = 'a'", "match"),
        ("[[routes]]\nmatch = '**'\nfields = 'fields.json'", "fields names a file"),
        ("[[routes]]\nmatch = '**'\nschema_id = 'a'\nhooks = 'hooks.json'", "hooks names a file"),
        ("include = ['{']\nschema_id = 'a'", "{"),
        ("include = ['*.csv']", "no schema is given"),
        ("routes = 5", "routes"),
    ],
)
async def test_a_broken_configuration_says_why_and_the_last_good_one_stays(bench: Bench, text: str, said: str) -> None:
    await configure(bench.deployment, ROUTES)
    (problem,) = await configure(bench.deployment, text)
    assert said in problem
    assert "secret-value" not in problem
    assert await bench.ledger.good_config() == ROUTES


def test_a_schema_of_the_file_takes_the_place_of_the_parameters() -> None:
    parameters = Settings(schema_id="of-the-stack", settle_s=5)
    assert [route.schema_id for route in parse_config(ROUTES, parameters).routes.routes] == ["orders", None]
    config = parse_config('exclude = ["tmp/**"]', parameters)
    assert [route.schema_id for route in config.routes.routes] == ["of-the-stack"]
    assert config.settings.settle_s == 5


async def test_without_a_file_the_parameters_are_in_force_which_may_name_no_schema(bench: Bench) -> None:
    assert (await config_in_force(bench.deployment)).routes.routes == ()


def test_a_mark_at_the_beginning_of_the_file_is_passed_over() -> None:
    assert parse_config('\ufeffschema_id = "a"', Settings()).routes.routes[0].schema_id == "a"


def test_a_quoted_key_of_another_kind_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigError, match="uploads has no meaning here"):
        parse_config('uploads = 4\nschema_id = "a"', Settings())
