"""The bulkhead.toml of the stack: a valid one becomes active; an invalid one is reported and changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.cloud.context import Deployment
from runner.cloud.handlers.configure import CHANGED, MOVED, config_in_force, configure, parse_config
from runner.cloud.messages import StartLoad
from runner.cloud.protocols import Queue
from runner.config.settings import Settings
from runner.errors import ConfigError, HooksRefused, Unavailable
from tests.cloudcore.bench import Bench
from tests.support.dynamodb import keep_as_0_1_0

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


PLACE = "s3://config/config/bulkhead.toml"


async def configured(deployment: Deployment, text: str, *, place: str) -> list[str]:
    """Let the function read a text that was just written."""
    return await configure(deployment, text, place=place, before=await deployment.ledger.good_config())


ROUTE = '[[routes]]\nmatch = "**"\nschema_id = "a"\n'
FIELDS = '[[routes]]\nmatch = "**"\nfields = { fields = [{ key = "mark" }], '
HOOKS = [
    ROUTE + 'hooks = { rowHooks = ["row => row"] }\n',
    ROUTE + 'settings = { webhookUrl = "https://elsewhere.example/" }\n',
    ROUTE + 'settings = { needsReviewWebhookUrl = "https://elsewhere.example/" }\n',
    ROUTE + 'settings = { reviewStep = { on = [{ aCallback = "x" }] } }\n',
    FIELDS + 'hooks = { rowHooks = ["row => row"] } }\n',
    FIELDS + 'settings = { webhookUrl = "https://elsewhere.example/" } }\n',
    ROUTE + '[[routes]]\nmatch = "**"\nfields = [{ key = "mark", onChangeHook = "x" }]\n',
]


async def test_a_good_configuration_is_in_force(bench: Bench) -> None:
    assert await configured(bench.deployment, ROUTES, place=PLACE) == []
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
    await configured(bench.deployment, ROUTES, place=PLACE)
    (problem,) = await configured(bench.deployment, text, place=PLACE)
    assert said in problem
    assert "secret-value" not in problem
    assert await bench.ledger.good_config() == ROUTES
    assert len(bench.heard.notices) == 1


@pytest.mark.parametrize("text", HOOKS)
async def test_hooks_and_webhook_urls_need_a_parameter_and_the_last_good_configuration_stays(
    bench: Bench, text: str
) -> None:
    await configured(bench.deployment, ROUTES, place=PLACE)
    (problem,) = await configured(bench.deployment, text, place=PLACE)
    assert "AllowHooks=true" in problem
    assert "may send rows elsewhere" in problem
    assert await bench.ledger.good_config() == ROUTES
    bench.deployment = replace(bench.deployment, allow_hooks=True)
    assert await configured(bench.deployment, text, place=PLACE) == []
    assert await bench.ledger.good_config() == text


async def test_settings_and_fields_without_hooks_need_no_parameter(bench: Bench) -> None:
    text = """
[[routes]]
name = "hooks"
match = "hook/**"
settings = { title = "webhookUrl", importIdentifier = "hooks" }
fields = [{ key = "hook_no", label = "Callback", alternateMatches = ["webhookUrl"] }]
"""
    assert await configured(bench.deployment, text, place=PLACE) == []


async def test_hooks_that_the_stack_has_ceased_to_accept_are_never_used(bench: Bench) -> None:
    bench.deployment = replace(bench.deployment, allow_hooks=True)
    await configured(bench.deployment, HOOKS[0], place=PLACE)
    bench.deployment = replace(bench.deployment, allow_hooks=False)
    with pytest.raises(HooksRefused, match="AllowHooks=true"):
        await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"), receives=5)
    with pytest.raises(HooksRefused, match="AllowHooks=true"):
        await bench.do(Queue.LIST, StartLoad(uri="s3://inbox/", name="load"))
    assert bench.uploads == []
    assert await bench.ledger.batches() == []


async def test_a_change_is_published_with_what_has_changed_before_it_takes_effect(bench: Bench) -> None:
    await configured(bench.deployment, ROUTES, place=PLACE)
    await configured(bench.deployment, ROUTES.replace("orders", "customers"), place=PLACE)
    await configured(bench.deployment, ROUTES.replace("orders", "customers"), place=PLACE)
    first, second = bench.heard.notices
    assert 'include: not set -> ["*.csv"]' in first[1]
    assert 'routes[1].schema_id: "orders" -> "customers"' in second[1]
    assert all(sentence == CHANGED for sentence, _ in (first, second))

    async def fails(*_: object, **__: object) -> None:
        raise Unavailable("SNS does not answer")

    bench.deployment.notifier.config_changed = fails  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await configured(bench.deployment, ROUTES, place=PLACE)
    assert await bench.ledger.good_config() == ROUTES.replace("orders", "customers")


async def test_a_slow_pass_over_the_former_text_does_not_bring_it_back(bench: Bench) -> None:
    await bench.ledger.keep_config('schema_id = "new"')
    assert await configure(bench.deployment, ROUTES, place=PLACE, before=ROUTES) == []
    assert await bench.ledger.good_config() == 'schema_id = "new"'
    assert bench.heard.notices == []


async def test_after_an_upgrade_the_move_is_published_once_and_the_configuration_stays_in_force(bench: Bench) -> None:
    await keep_as_0_1_0(bench.ledger, ROUTES)
    assert len((await config_in_force(bench.deployment)).routes.routes) == 2
    for _ in range(3):
        assert await configured(bench.deployment, ROUTES, place=PLACE) == []
    assert bench.heard.notices == [(MOVED, [f"s3://inbox/config/bulkhead.toml -> {PLACE}"])]


async def test_an_upgrade_with_hooks_says_that_they_are_refused_and_files_wait(bench: Bench) -> None:
    await keep_as_0_1_0(bench.ledger, HOOKS[0])
    (problem,) = await configured(bench.deployment, HOOKS[0], place=PLACE)
    assert "AllowHooks=true" in problem
    assert [sentence for sentence, _ in bench.heard.notices] == [MOVED]
    with pytest.raises(HooksRefused):
        await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"))


def test_a_schema_of_the_file_takes_the_place_of_the_parameters() -> None:
    parameters = Settings(schema_id="of-the-stack", settle_s=5)
    routes = parse_config(ROUTES, parameters, allow_hooks=False).routes.routes
    assert [route.schema_id for route in routes] == ["orders", None]
    config = parse_config('exclude = ["tmp/**"]', parameters, allow_hooks=False)
    assert [route.schema_id for route in config.routes.routes] == ["of-the-stack"]
    assert config.settings.settle_s == 5


async def test_without_a_file_the_parameters_are_in_force_which_may_name_no_schema(bench: Bench) -> None:
    assert (await config_in_force(bench.deployment)).routes.routes == ()


def test_a_mark_at_the_beginning_of_the_file_is_passed_over() -> None:
    assert parse_config('\ufeffschema_id = "a"', Settings(), allow_hooks=False).routes.routes[0].schema_id == "a"


def test_a_quoted_key_of_another_kind_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigError, match="uploads has no meaning here"):
        parse_config('uploads = 4\nschema_id = "a"', Settings(), allow_hooks=False)
