"""The options are declared once, for two command lines."""

import argparse

import pytest

from sandbox.options import OPTIONS, add_options, as_arguments
from sandbox.quotas import CREATE_QUOTA, POLL_QUOTA


@pytest.fixture
def parser():
    made = argparse.ArgumentParser()
    add_options(made)
    return made


def test_without_arguments_every_option_has_its_default(parser):
    values = vars(parser.parse_args([]))
    assert (values["port"], values["create_quota"], values["poll_quota"]) == (8700, CREATE_QUOTA, POLL_QUOTA)
    assert values["license_key"] is None
    assert list(values) == [option.name for option in OPTIONS]


def test_another_command_line_passes_on_the_texts_that_it_was_given(parser):
    arguments = as_arguments({"port": "0", "hook_hosts": "a.example,b.example", "schemas": None})
    assert arguments == ["--port", "0", "--hook-hosts", "a.example,b.example"]
    values = parser.parse_args(arguments)
    assert (values.port, values.hook_hosts, values.schemas) == (0, ("a.example", "b.example"), None)


def test_the_help_shows_each_option_with_its_default(parser):
    text = " ".join(parser.format_help().split())
    for option in OPTIONS:
        assert option.help in text
        assert option.default is None or f"[default: {option.default}]" in text
