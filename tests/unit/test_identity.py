"""Identifiers are deterministic."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import identity
from runner.models import tag_of


def test_a_tag_is_found_again_in_the_name_that_bears_it() -> None:
    tag = identity.tag("file:///a/customers.csv", "sha256:1", "b", endpoint="e")
    assert identity.tagged_filename("a/customers.csv", tag) == f"customers.~{tag}.csv"
    assert tag_of(f"customers.~{tag}.csv") == tag


@given(st.text())
def test_whatever_the_name_its_tag_is_found_and_it_fits_a_file_system(source: str) -> None:
    name = identity.tagged_filename(source, "abcdefghijklm")
    assert tag_of(name) == "abcdefghijklm"
    assert len(name.encode()) <= 200
    assert name.isprintable()


@pytest.mark.parametrize("name", [None, "", "customers.csv", "customers.~short.csv", "a.~ABCDEFGHIJKLM.csv"])
def test_a_name_without_a_tag_has_none(name: str | None) -> None:
    assert tag_of(name) is None


def test_source_content_binding_and_endpoint_each_change_the_tag() -> None:
    same = identity.tag("u", "f", "b", endpoint="e")
    others = {
        identity.tag("u2", "f", "b", endpoint="e"),
        identity.tag("u", "f2", "b", endpoint="e"),
        identity.tag("u", "f", "b2", endpoint="e"),
        identity.tag("u", "f", "b", endpoint="e2"),
    }
    assert len(others | {same}) == 5


def test_a_binding_does_not_depend_on_the_order_of_keys() -> None:
    assert identity.binding({"a": 1, "b": {"c": 2, "d": 3}}) == identity.binding({"b": {"d": 3, "c": 2}, "a": 1})


def test_an_account_names_its_endpoint_and_never_shows_the_key() -> None:
    account = identity.account("https://a.test/api/v1/", "secret-key")
    assert account.startswith(identity.endpoint("https://a.test/api/v1") + "-")
    assert "secret" not in account


def test_a_batch_is_named_after_its_second_and_its_source() -> None:
    at = datetime(2026, 7, 23, 10, 15, 2, tzinfo=UTC)
    assert identity.batch_id("file:///in", at).startswith("20260723-101502-")
    assert identity.batch_id("file:///in", at) != identity.batch_id("file:///other", at)
