"""What differs between two configurations: every value, no secret, and never more than a person reads."""

from __future__ import annotations

import pytest

from runner.cloud.config_changes import MOST_CHARS, MOST_LINES, ONLY_LAYOUT, config_changes

ROUTES = '[[routes]]\nname = "orders"\nmatch = "orders/**"\nschema_id = "a"\n'


def test_each_value_that_differs_is_shown_with_its_place_and_both_values() -> None:
    after = ROUTES.replace('"a"', '"b"') + 'user = { id = "x" }\n'
    assert config_changes(f"min_age = 5\n{ROUTES}", after) == [
        'routes[orders].schema_id: "a" -> "b"',
        'routes[orders].user.id: not set -> "x"',
        "min_age: 5 -> not set",
    ]


def test_the_first_configuration_is_shown_whole() -> None:
    assert config_changes(None, 'schema_id = "a"') == ['schema_id: not set -> "a"']


def test_another_order_of_the_routes_is_a_change_because_the_first_match_applies() -> None:
    other = ROUTES.replace("orders", "rest")
    assert config_changes(ROUTES + other, other + ROUTES) == [
        'routes (order): ["orders", "rest"] -> ["rest", "orders"]'
    ]


def test_routes_and_fields_without_or_with_the_same_name_are_told_apart() -> None:
    named = '[[routes]]\nname = "r"\nschema_id = "{}"\n'
    before = named.format("a") + named.format("b") + '[[routes]]\nschema_id = "c"\n'
    assert config_changes(before, before.replace('"b"', '"d"').replace('"c"', '"e"')) == [
        'routes[r 2].schema_id: "b" -> "d"',
        'routes[3].schema_id: "c" -> "e"',
    ]


def test_other_comments_are_no_change_of_a_value() -> None:
    assert config_changes('schema_id = "a"', '\ufeff# why\nschema_id = "a"') == [ONLY_LAYOUT]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hooks", '{ rowHooks = ["row => fetch(canary)"] }'),
        ("settings", '{ webhookUrl = "https://hooks.example/canary" }'),
        ("settings", '{ title = "Bearer canary0123456789" }'),
        ("settings", '{ apiKey = "canary", accessToken = "canary" }'),
        ("settings", '{ title = "see https://user:canary@host.example/canary?token=canary" }'),
    ],
)
def test_hooks_secrets_and_the_rest_of_a_url_are_never_quoted(key: str, value: str) -> None:
    route = f"{ROUTES}{key} = {value}\n"
    for before, after in ((ROUTES, route), (route, ROUTES), (route, route.replace("canary", "canary-2"))):
        lines = config_changes(before, after)
        assert "canary" not in "\n".join(lines)
        assert any(key in line for line in lines)


def test_a_name_that_sounds_like_a_secret_hides_nothing() -> None:
    before = ROUTES.replace('name = "orders"', 'name = "tokens"')
    assert config_changes(before, before.replace('"a"', '"b"')) == ['routes[tokens].schema_id: "a" -> "b"']


def test_long_values_and_many_changes_are_cut() -> None:
    (line,) = config_changes(None, f'schema_id = "{"x" * 10_000}"')
    assert len(line) < 2 * MOST_CHARS
    many = "".join(ROUTES.replace("orders", f"route-{number}") for number in range(500))
    lines = config_changes(None, many)
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == "and 1,401 more changes"


def test_what_could_change_the_look_of_a_letter_is_escaped() -> None:
    (line,) = config_changes(None, 'schema_id = "a\\u202eb\\u001b[2J\\n"')
    assert line.isprintable()
