"""Globs: what they match, what they leave out, and which of them are refused."""

from __future__ import annotations

import pickle
import re
from fnmatch import fnmatchcase
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import ConfigError
from runner.globs import OWN_AND_LITTER, Globs, PathFilter, Simulation

NAMES = st.text(alphabet="abX1-_. \n[]{}é$~", min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@given(path=PATHS, pattern=st.text(alphabet="abX1.*?", min_size=1, max_size=6).filter(lambda p: "**" not in p))
def test_a_simple_pattern_matches_base_names_as_fnmatch_does(path: str, pattern: str) -> None:
    assert Globs([pattern]).matches(path) == fnmatchcase(path.rpartition("/")[2], pattern)


@given(path=PATHS, body=st.text(alphabet="abX1.", min_size=1, max_size=4), negated=st.booleans())
def test_a_character_class_matches_as_fnmatch_does(path: str, body: str, negated: bool) -> None:
    pattern = f"*[{'!' if negated else ''}{body}]"
    assert Globs([pattern]).matches(path) == fnmatchcase(path.rpartition("/")[2], pattern)


@given(
    path=PATHS,
    pattern=st.lists(st.sampled_from(["a", "*", "?b", "**", "a*", "X"]), min_size=2, max_size=4).map("/".join),
)
def test_a_pattern_with_a_slash_matches_as_a_walk_over_the_segments_does(path: str, pattern: str) -> None:
    def walk(names: list[str], globs: list[str]) -> bool:
        if not globs:
            return not names
        if globs[0] == "**":
            rest = globs[1:]
            return any(walk(names[n:], rest) for n in range(len(names) + 1)) if rest else bool(names)
        return bool(names) and fnmatchcase(names[0], globs[0]) and walk(names[1:], globs[1:])

    assert Globs([pattern]).matches(path) == walk(path.split("/"), pattern.split("/"))


@given(options=st.lists(st.text(alphabet="ab1*", min_size=1, max_size=3), min_size=1, max_size=4), path=PATHS)
def test_braces_match_what_any_of_their_alternatives_matches(options: list[str], path: str) -> None:
    whole = Globs(["x" + "{" + ",".join(options) + "}.csv"])
    assert whole.matches(path) == any(Globs([f"x{option}.csv"]).matches(path) for option in options)


@given(path=PATHS)
def test_an_escaped_path_matches_itself(path: str) -> None:
    assert Globs(["/" + re.sub(r"([\[\]{}*?\\])", r"\\\1", path)]).matches(path)


@settings(max_examples=300)
@given(pattern=st.text(alphabet="ab/*?[]{},!-\\^.", max_size=12), path=PATHS)
def test_any_text_is_either_a_pattern_or_refused(pattern: str, path: str) -> None:
    try:
        outcome = str(Globs([pattern]).matches(path))
    except ConfigError as error:
        outcome = str(error)
    assert outcome in ("True", "False") or "pattern" in outcome


HIDDEN = r"(?:\.|~\$|(?:" + "|".join(map(re.escape, OWN_AND_LITTER)) + r")(?=/|\Z))"
TOKENS = {"a": "a", "T": "T", ".": r"\.", "Thumbs.db": r"Thumbs\.db", "~$": r"~\$", "\\*": r"\*", "/": "/"}
WILDCARDS = {"?": "V[^/]", "[a.]": r"V[a\.]", "[!a]": "V(?!/)[^a]"}
STARS = {"*": "V[^/]*", "**/": "(?:V[^/]*/)*", "**": "V.*"}


def reference(tokens: list[str], *, visible_only: bool) -> re.Pattern[str]:
    """Translate tokens one by one into a backtracking regular expression; V marks where a name must be visible."""
    regex, begins_name = "", True
    for index, token in enumerate(tokens):
        if begins_name and token == "**" and index + 1 == len(tokens):
            part = "(?:V[^/]*/)*V[^/]+"
        elif token == "**/" and not begins_name:
            part = ".*/"
        else:
            part = {**TOKENS, **WILDCARDS, **STARS}[token]
        regex += part.replace("V", f"(?!{HIDDEN})" if begins_name and visible_only else "")
        begins_name = token.endswith("/")
    return re.compile(regex, re.DOTALL)


def is_a_pattern(tokens: list[str]) -> bool:
    """Tell whether the tokens are read as they are spelled, once they are joined."""
    apart = all(not (one[-1] == two[0] == "*") and (one, two) != ("**", "/") for one, two in pairwise(tokens))
    return apart and not tokens[-1].endswith("/")


@settings(max_examples=300)
@given(
    tokens=st.lists(st.sampled_from([*TOKENS, *WILDCARDS, *STARS]), min_size=1, max_size=6).filter(is_a_pattern),
    paths=st.lists(
        st.lists(st.sampled_from(["a", "T", ".", "Thumbs.db", "~$", "*", "/", "/a", "\n"]), max_size=6).map("".join),
        min_size=1,
        max_size=8,
    ),
    visible_only=st.booleans(),
)
def test_a_pattern_matches_what_a_backtracking_regular_expression_matches(
    tokens: list[str], paths: list[str], *, visible_only: bool
) -> None:
    pattern = "".join(tokens)
    globs, simulation = (
        Globs(["/" + pattern], visible_only=visible_only),
        Simulation(pattern, visible_only=visible_only),
    )
    expected = [reference(tokens, visible_only=visible_only).fullmatch(path) is not None for path in paths]
    assert [globs.matches(path) for path in paths] == expected
    assert [simulation.matches(path) for path in paths] == expected


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a*a*a*a*a*a*b", "a" * 5_000),
        ("**/*a*/**/*a*/**/*a*/b", "xax/" * 1_250),
        ("x**a**a**a**a**b", "x" + "a" * 5_000),
        ("**/T*/**/T*/**/T*/b", "T/" * 2_500),
        ("**/T*/**", "T/" * 2_500 + ".T/"),
    ],
)
@pytest.mark.parametrize("visible_only", [False, True])
def test_a_pattern_with_many_stars_takes_a_bounded_number_of_steps(
    pattern: str, path: str, *, visible_only: bool
) -> None:
    """The steps of the simulation are counted; one regular expression that backtracks would never end."""
    simulation = Simulation(pattern, visible_only=visible_only)
    assert sum(len(places) for places in simulation.walk(path)) <= 2 * (len(pattern) + 1) * (len(path) + 1)
    assert not Globs([pattern], visible_only=visible_only).matches(path)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*.csv", ["a.csv", "x/y/a.csv"], ["a.CSV", "a.csv.bak"]),
        ("customers/*.csv", ["customers/a.csv"], ["customers/x/a.csv", "old/customers/a.csv"]),
        ("customers/**/*.csv", ["customers/a.csv", "customers/x/y/a.csv"], ["a.csv"]),
        ("**/old/*.csv", ["old/a.csv", "x/old/a.csv"], ["x/old/y/a.csv"]),
        ("archive/", ["archive/a", "archive/x/a"], ["archive", "x/archive/a"]),
        ("/a.csv", ["a.csv"], ["x/a.csv"]),
        ("{a,b}/*.{csv,tsv}", ["a/1.csv", "b/1.tsv"], ["c/1.csv", "a/1.txt"]),
        ("x{1,2{a,b}}.csv", ["x1.csv", "x2a.csv", "x2b.csv"], ["x2.csv"]),
        ("[a-c]?.csv", ["a1.csv", "c_.csv"], ["d1.csv", "a.csv"]),
        ("[]-]x", ["]x", "-x"], ["ax"]),
        ("a[!/]b", ["a-b"], ["a/b"]),
        ("\\[1\\].csv", ["[1].csv"], ["1.csv"]),
        ("**", ["a", "x/y/a"], []),
    ],
)
def test_a_glob_matches(pattern: str, matching: list[str], other: list[str]) -> None:
    globs = Globs([pattern])
    assert [path for path in matching if not globs.matches(path)] == []
    assert [path for path in other if globs.matches(path)] == []


@pytest.mark.parametrize("pattern", ["", "/", "[a", "{a,b", "a\\", "[z-a]", "{a,b}" * 12, "x{[a}"])
def test_a_glob_that_cannot_be_read_is_refused_with_a_reason(pattern: str) -> None:
    with pytest.raises(ConfigError, match="pattern"):
        Globs([pattern])


@pytest.mark.parametrize("pattern", ["*.csv", "**/a/**/*.csv", "a**b*c/**"])
def test_globs_reach_other_processes(pattern: str) -> None:
    """The workers of a check get the routes, with the globs that they have used."""
    globs = Globs([pattern], visible_only=True)
    path = "a/b/c.csv"
    assert pickle.loads(pickle.dumps(globs)).matches(path) == globs.matches(path)


def test_exclude_wins_over_include() -> None:
    chosen = PathFilter(include=["*.csv"], exclude=["old/**"])
    assert chosen.takes("new/a.csv", "a.csv")
    assert not chosen.takes("old/a.csv", "a.csv")
    assert not chosen.enters("old", "old")


@pytest.mark.parametrize("name", [".hidden.csv", "~$book.xlsx", "Thumbs.db", ".DS_Store", "bulkhead.toml"])
def test_hidden_names_and_litter_are_left_out(name: str) -> None:
    assert not PathFilter().takes(f"x/{name}", name)


@pytest.mark.parametrize("include", ["*", "*.csv", "**/*.csv", "?hidden.csv", "[.]hidden.csv"])
def test_a_wildcard_does_not_meet_a_hidden_name(include: str) -> None:
    assert not PathFilter(include=[include]).takes("x/.hidden.csv", ".hidden.csv")


def test_an_include_that_spells_the_dot_lists_hidden_files_and_walks_their_directories() -> None:
    assert PathFilter(include=[".*.csv"]).takes("x/.hidden.csv", ".hidden.csv")
    chosen = PathFilter(include=[".stage/*.csv", "*.tsv"])
    assert chosen.enters(".stage", ".stage")
    assert chosen.takes(".stage/a.csv", "a.csv")
    assert not chosen.takes(".git/a.tsv", "a.tsv")


def test_hidden_directories_are_not_walked() -> None:
    assert not PathFilter(include=["**/*.csv"]).enters("x/.git", ".git")
    assert PathFilter().enters("x/data", "data")


def test_a_route_glob_meets_hidden_names_as_any_other() -> None:
    assert Globs(["*.csv"]).matches(".hidden.csv")


def test_globs_travel_to_another_process() -> None:
    globs = pickle.loads(pickle.dumps(Globs(["*.csv", "in/**"], visible_only=True)))
    assert globs.patterns == ("*.csv", "in/**")
    assert (globs.matches("a.csv"), globs.matches(".a.csv"), globs.covers("in")) == (True, False, True)
