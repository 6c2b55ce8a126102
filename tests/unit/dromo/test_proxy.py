"""The address of a proxy: what can be written, what is shown of it, and which variables name one for other tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.config.settings import Settings
from runner.dromo.proxy import Proxy, is_loopback_host, masked, unused_variable
from runner.errors import ConfigError

API = "https://app.dromo.io/api/v1"


@pytest.mark.parametrize(
    ("text", "url", "credentials"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128", ""),
        ("http://proxy.example:3128/", "http://proxy.example:3128", ""),
        (" proxy.example:3128 ", "http://proxy.example:3128", ""),
        ("proxy.example", "http://proxy.example:80", ""),
        ("https://proxy.example", "https://proxy.example:443", ""),
        ("http://[::1]:3128", "http://[::1]:3128", ""),
        ("http://jo:secret@proxy.example:3128", "http://proxy.example:3128", "jo:secret"),
        ("http://jo:p@ss:w@proxy.example:3128", "http://proxy.example:3128", "jo:p@ss:w"),
        ("http://dom%5Cjo:p%40ss%2F@proxy.example", "http://proxy.example:80", "dom\\jo:p@ss/"),
    ],
)
def test_an_address_is_read_with_or_without_scheme_user_and_port(text: str, url: str, credentials: str) -> None:
    proxy = Proxy.parse(text)
    assert (proxy.url, proxy.credentials) == (url, credentials)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "such as http://proxy.example:3128"),
        ("http://", "such as http://proxy.example:3128"),
        ("ftp://proxy.example", "such as http://proxy.example:3128"),
        ("socks5://proxy.example:1080", "a SOCKS proxy is not supported"),
        ("socks5h://jo:secret@proxy.example:1080", "a SOCKS proxy is not supported"),
        ("http://jo:sec/ret@proxy.example", "write / as %2F"),
        ("http://jo:sec#ret@proxy.example", "# as %23"),
        ("http://proxy.example:99999", "its port is a number"),
        ("http://jo:secret", "its port is a number"),
        ("http://jo:sec\u2100ret@proxy.example", "such as http://proxy.example:3128"),
        ("http://jo:sec%0d%0aret@proxy.example", "cannot be sent"),
        ("http://[proxy", "such as http://proxy.example:3128"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_password(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.load({"proxy": text}, environ={}, cwd=tmp_path)
    assert says in str(caught.value)
    assert "sec" not in str(caught.value).replace("%", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("jo:secret@proxy.example:3128", "****@proxy.example:3128"),
        ("http://jo:a://b@c@proxy.example", "http://****@proxy.example"),
        ("http://jo:secret", "http://jo:****"),
        ("http://[::1]:3128", "http://[::1]:3128"),
    ],
)
def test_what_is_shown_of_an_address_has_no_password(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_settings_show_a_proxy_without_its_password(tmp_path: Path) -> None:
    loaded = Settings.load({"proxy": "http://jo:secret@proxy.example:3128"}, environ={}, cwd=tmp_path)
    shown = {name: value for name, value, _ in loaded.masked()}
    assert shown["proxy"] == "http://****@proxy.example:3128"
    assert "secret" not in repr(loaded)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://p"}, "HTTPS_PROXY"),
        ({"https_proxy": "http://p", "HTTP_PROXY": "http://p"}, "https_proxy"),
        ({"ALL_PROXY": "socks5://p"}, "ALL_PROXY"),
        ({"HTTP_PROXY": "http://p"}, "HTTP_PROXY"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "localhost, .dromo.io"}, None),
        ({"HTTPS_PROXY": "http://p", "no_proxy": "app.dromo.io"}, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "notdromo.io,omo.io,"}, "HTTPS_PROXY"),
    ],
)
def test_a_variable_counts_as_unused_if_other_tools_would_follow_it(environ: dict[str, str], name: str | None) -> None:
    assert unused_variable(API, environ) == name


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]", "a.localhost"])
def test_no_variable_counts_for_this_machine(host: str) -> None:
    assert unused_variable(f"http://{host}:8700/api/v1", {"HTTPS_PROXY": "http://p"}) is None


def test_names_that_only_look_like_this_machine_are_others() -> None:
    assert not is_loopback_host("localhost.example")
    assert not is_loopback_host("127.0.0.1.example")
