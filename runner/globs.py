"""Globs: which relative paths a source lists, which files a route takes, and which items a command selects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from itertools import groupby

from runner.errors import ConfigError

MAX_ALTERNATIVES = 1000
"""Patterns that the braces of one glob may unfold to (choice)."""

OWN_AND_LITTER = ("Thumbs.db", "desktop.ini", "Icon\r", "bulkhead.toml", "bulkhead-out")
"""Names that count as hidden, in addition to those that begin with `.` or `~$`."""

_HIDDEN_NAME = r"(?:\.|~\$|(?:" + "|".join(re.escape(name) for name in OWN_AND_LITTER) + r")(?=/|\Z))"
_VISIBLE = f"(?!{_HIDDEN_NAME})"
_IS_HIDDEN = re.compile(_HIDDEN_NAME)
_NAMES_HIDDEN = re.compile(rf"(?:^|/){_HIDDEN_NAME}")


class Globs:
    """A set of globs, any of which may match; case-sensitive, `/` only matched by `**`.

    `*`, `?`, `[a-z]`, `[!a-z]`, `{a,b}` and `**`; a backslash takes the next character literally. A pattern without
    `/` is matched against the base name, one with `/` against the whole relative path; a trailing `/` means everything
    below. With `visible_only` a wildcard at the start of a name does not match a hidden name, as in a shell.
    Matching takes time in proportion to path x pattern (with braces unfolded) at most. Raises ConfigError if a pattern
    is malformed.
    """

    def __init__(self, patterns: Iterable[str], *, visible_only: bool = False) -> None:
        self.patterns = tuple(patterns)
        flat = [anchored for pattern in self.patterns for anchored in _flattened(pattern)]
        self._match = _Matcher(flat, visible_only=visible_only).quickest
        self._below = _Matcher([p[:-3] for p in flat if p.endswith("/**")], visible_only=visible_only).quickest
        self._all = not visible_only and "**" in self.patterns
        self.names_hidden = any(_NAMES_HIDDEN.search(pattern) for pattern in flat)
        self._visible_only = visible_only

    def __reduce__(self) -> tuple[Callable[[tuple[str, ...]], Globs], tuple[tuple[str, ...]]]:
        """Travel to another process as patterns, which it compiles again."""
        return partial(Globs, visible_only=self._visible_only), (self.patterns,)

    def matches(self, path: str) -> bool:
        """Return whether any of the globs matches a relative POSIX path."""
        return self._all or bool(self._match(path))

    def covers(self, directory: str) -> bool:
        """Return whether everything below a directory is matched, so that walking it is unnecessary."""
        return bool(self._below(directory))


class PathFilter:
    """The files of a tree that `include`, `exclude`, and the rule for hidden names select; exclude wins."""

    def __init__(self, *, include: Iterable[str] = (), exclude: Iterable[str] = (), hidden: bool = False) -> None:
        self._include = Globs(include, visible_only=not hidden)
        self._exclude = Globs(exclude)
        self._hidden = hidden or self._include.names_hidden
        self._includes, self._excludes = bool(self._include.patterns), bool(self._exclude.patterns)
        self._hides_files = not (hidden or self._includes)

    def takes(self, path: str, name: str) -> bool:
        """Return whether a file is listed; `name` is its base name, `path` relative to the root."""
        if self._hides_files and _IS_HIDDEN.match(name):
            return False
        if self._includes and not self._include.matches(path):
            return False
        return not (self._excludes and self._exclude.matches(path))

    def enters(self, path: str, name: str) -> bool:
        """Return whether a directory is walked."""
        if not self._hidden and _IS_HIDDEN.match(name):
            return False
        return not self._exclude.covers(path)


def _flattened(pattern: str) -> list[str]:
    """Return a glob's brace alternatives, each as a pattern for the whole path that begins and ends with a name."""
    if not pattern.strip("/"):
        raise ConfigError(f"the pattern {pattern!r} is empty")
    unfolded = _unfolded(pattern, pattern)
    rooted = "/" in pattern
    anchored = (p.removeprefix("/") if rooted else f"**/{p}" for p in unfolded)
    return [p + "**" if p.endswith("/") else p for p in anchored]


def _unfolded(pattern: str, whole: str) -> list[str]:
    found = _first_braces(pattern, whole)
    if found is None:
        return [pattern]
    start, end, options = found
    head, tail = pattern[:start], _unfolded(pattern[end:], whole)
    middle = [inner for option in options for inner in _unfolded(option, whole)]
    if len(middle) * len(tail) > MAX_ALTERNATIVES:
        raise ConfigError(f"the braces of the pattern {whole!r} unfold to more than {MAX_ALTERNATIVES} patterns")
    return [head + inner + rest for inner in middle for rest in tail]


def _first_braces(pattern: str, whole: str) -> tuple[int, int, list[str]] | None:
    """Return (start, end, alternatives) of the first `{...}`, None if there is none."""
    depth, start, since = 0, 0, 0
    options: list[str] = []
    for position, char in _outside_classes(pattern):
        if char == "{":
            if depth == 0:
                start = position
                since = position + 1
            depth += 1
        elif depth == 1 and char in ",}":
            options.append(pattern[since:position])
            since = position + 1
        if char == "}" and depth:
            depth -= 1
            if depth == 0:
                return start, position + 1, options
    if depth:
        raise ConfigError(f"the pattern {whole!r} has a {{ without its }}", hint="write \\{ for the character itself")
    return None


def _outside_classes(pattern: str) -> Iterable[tuple[int, str]]:
    """Yield the characters that are neither escaped nor within `[...]`, with their positions."""
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if char == "\\":
            position += 2
        elif char == "[":
            position = _class_end(pattern, position)
        else:
            yield position, char
            position += 1


def _class_end(pattern: str, start: int) -> int:
    """Return the position after the `]` of the class that begins at `start`."""
    first = start + (2 if pattern[start + 1 : start + 2] in ("!", "^") else 1)
    end = pattern.find("]", first + 1)
    if end < 0:
        raise ConfigError(f"the pattern {pattern!r} has a [ without its ]", hint="write \\[ for the character itself")
    return end + 1


_Place = tuple[int, bool]
"""Where a simulation is in a pattern: before the token of this index, or inside what the token matches."""


class _Kind(Enum):
    """What a token of a pattern matches."""

    CHAR = auto()
    """One character; `/` only if it is that literal."""
    STAR = auto()
    """`*`: any characters within a name."""
    ANYTHING = auto()
    """`**` next to other characters of a name: any characters, `/` included."""
    NAMES = auto()
    """`**/` at the start of a name: any number of whole names, each with its `/`."""
    REST = auto()
    """`**` as the last name: any number of names, then a name of at least one character, at the path's end."""


@dataclass(frozen=True, slots=True)
class _Token:
    """One token; `guarded` if it is a wildcard at the start of a name, `regex` matches the character of a CHAR."""

    kind: _Kind
    regex: str = ""
    guarded: bool = False

    @property
    def is_slash(self) -> bool:
        return self.regex == "/"

    @property
    def is_part_of_a_name(self) -> bool:
        return self.kind in (_Kind.STAR, _Kind.ANYTHING) or (self.kind is _Kind.CHAR and not self.is_slash)


class _Matcher:
    """Paths against any of several patterns without braces: one regular expression for those that have a linear one."""

    def __init__(self, patterns: Iterable[str], *, visible_only: bool) -> None:
        linear: list[str] = []
        self._others: list[_Simulated] = []
        for pattern in patterns:
            regex = _linear_regex(_tokens(pattern), visible_only=visible_only)
            if regex is None:
                self._others.append(_Simulated(pattern, visible_only=visible_only))
            else:
                linear.append(regex)
        self._fullmatch = re.compile("|".join(linear) if linear else "(?!)", re.DOTALL).fullmatch

    @property
    def quickest(self) -> Callable[[str], object]:
        """Return a function that is true of the paths that match: nothing but the regular expression if it decides."""
        return self._matches if self._others else self._fullmatch

    def _matches(self, path: str) -> bool:
        return self._fullmatch(path) is not None or any(other.matches(path) for other in self._others)


class _Simulated:
    """A pattern that is simulated for the paths about which a regular expression cannot decide."""

    def __init__(self, pattern: str, *, visible_only: bool) -> None:
        self._simulation = Simulation(pattern, visible_only=visible_only)
        regex = _linear_regex(_tokens(pattern), visible_only=False)
        self._fullmatch = None if regex is None else re.compile(regex, re.DOTALL).fullmatch

    def matches(self, path: str) -> bool:
        if self._fullmatch is not None and (self._fullmatch(path) is None or _NAMES_HIDDEN.search(path) is None):
            return self._fullmatch(path) is not None
        return self._simulation.matches(path)


def _tokens(pattern: str) -> list[_Token]:
    """Split one pattern without braces into its tokens."""
    tokens: list[_Token] = []
    position = 0
    while position < len(pattern):
        token, position = _token(pattern, position)
        tokens.append(token)
    return tokens


def _token(pattern: str, position: int) -> tuple[_Token, int]:
    """Return the token at `position`, and where the next begins."""
    char, begins_name = pattern[position], position == 0 or pattern[position - 1] == "/"
    if char == "*":
        return _star(pattern, position, begins_name=begins_name)
    if char == "?":
        return _Token(_Kind.CHAR, "[^/]", guarded=begins_name), position + 1
    if char == "[":
        end = _class_end(pattern, position)
        regex = _character_class(pattern[position + 1 : end - 1], pattern)
        return _Token(_Kind.CHAR, regex, guarded=begins_name), end
    if char != "\\":
        return _Token(_Kind.CHAR, re.escape(char)), position + 1
    if position + 1 == len(pattern):
        raise ConfigError(f"the pattern {pattern!r} ends in a backslash that has nothing to escape")
    return _Token(_Kind.CHAR, re.escape(pattern[position + 1])), position + 2


def _star(pattern: str, position: int, *, begins_name: bool) -> tuple[_Token, int]:
    if not pattern.startswith("**", position):
        return _Token(_Kind.STAR, guarded=begins_name), position + 1
    if begins_name and pattern.startswith("/", position + 2):
        return _Token(_Kind.NAMES, guarded=True), position + 3
    if begins_name and position + 2 == len(pattern):
        return _Token(_Kind.REST, guarded=True), position + 2
    return _Token(_Kind.ANYTHING, guarded=begins_name), position + 2


def _character_class(body: str, pattern: str) -> str:
    """Translate the inside of `[` and `]`; a backslash is a plain character there."""
    negated = body[0] in "!^"
    chars = body[1:] if negated else body
    parts: list[str] = []
    position = 0
    while position < len(chars):
        low, high = chars[position], chars[position + 2 : position + 3]
        if high and chars[position + 1] == "-":
            if high < low:
                raise ConfigError(f"the pattern {pattern!r} has a range {low}-{high} that is empty")
            parts.append(f"{_literal(low)}-{_literal(high)}")
            position += 3
        else:
            parts.append(_literal(low))
            position += 1
    return f"(?!/)[{'^' if negated else ''}{''.join(parts)}]"


def _literal(char: str) -> str:
    return char if char.isalnum() else f"\\{char}"


def _linear_regex(tokens: Sequence[_Token], *, visible_only: bool) -> str | None:
    """Return a regular expression that takes at most pattern x path steps, or None for a pattern that may take more.

    A `**/` is tried at the start of each name, and then each name of the pattern is compared with each name of the
    path at most once; `_name_regex` bounds the steps within a name. What is between two `**/` is matched at its
    leftmost place, which is as good as any later one because a `**/` takes whatever follows; with `visible_only` it
    does not, so there is no regular expression then. What is before a final `**` is matched at its rightmost place:
    fewer names are left that could be hidden. Atomic groups settle on these places. A `**` next to other characters of
    a name, together with another star, has no such order.
    """
    stars = [token.kind for token in tokens if token.kind is not _Kind.CHAR]
    loops_left = stars.count(_Kind.NAMES)
    if (visible_only and loops_left > 1) or (_Kind.ANYTHING in stars and len(stars) > 1):
        return None
    visible = _VISIBLE if visible_only else ""
    regex, group_end = "", ""
    for is_name, group in groupby(tokens, key=lambda token: token.is_part_of_a_name):
        for token in group if not is_name else ():
            if token.kind is _Kind.REST:
                return f"(?>{regex}{group_end})" + (
                    f"(?>(?:{visible}[^/]*+/)*){visible}[^/]++" if visible else ".++(?<!/)"
                )
            if token.is_slash:
                regex += "/"
                continue
            loops_left -= 1
            regex += group_end + ("(?>(?:[^/]*+/)*?" if loops_left else f"(?:{visible}[^/]*+/)*")
            group_end = ")" if loops_left else ""
        if is_name:
            regex += _name_regex(list(group), visible)
    return regex


def _name_regex(tokens: Sequence[_Token], visible: str) -> str:
    """Return the regular expression of one name of a pattern; linear, because no star is ever reconsidered.

    What is between two stars is matched at its leftmost place, which is as good as any later one: an atomic group
    settles on it. What follows the last star has one place, since it ends where the name ends.
    """
    stars_left = sum(token.kind is not _Kind.CHAR for token in tokens)
    regex, group_end = "", ""
    for token in tokens:
        guard = visible if token.guarded else ""
        if token.kind is _Kind.CHAR:
            regex += guard + token.regex
            continue
        stars_left -= 1
        regex += group_end + guard
        group_end = ")" if stars_left else ""
        if token.kind is _Kind.ANYTHING:
            regex += ".*"
        else:
            regex += "(?>[^/]*?" if stars_left else "[^/]*"
    return regex


class Simulation:
    """One pattern without braces, matched by following all of its places at once: linear for every pattern.

    Each character of a path moves every place that is reached, of which there are fewer than 2 x (length of the
    pattern + 1).
    """

    def __init__(self, pattern: str, *, visible_only: bool = False) -> None:
        self._tokens = _tokens(pattern)
        self._accepts = [re.compile(token.regex, re.DOTALL).match for token in self._tokens]
        self._visible_only = visible_only

    def matches(self, path: str) -> bool:
        """Return whether the pattern matches a whole path."""
        places: set[_Place] = set()
        for places in self.walk(path):
            if not places:
                return False
        return (len(self._tokens), False) in places

    def walk(self, path: str) -> Iterator[set[_Place]]:
        """Yield the places that are reached before each character of a path, and at its end."""
        places = self._with_followers([(0, False)], path, 0)
        yield places
        for position in range(len(path)):
            after = [place for before in places for place in self._after(before, path, position)]
            places = self._with_followers(after, path, position + 1)
            yield places

    def _with_followers(self, places: list[_Place], path: str, position: int) -> set[_Place]:
        """Return places and what they lead to without a character, but no wildcard where a hidden name begins."""
        is_hidden = self._visible_only and _IS_HIDDEN.match(path, position) is not None
        found: set[_Place] = set()
        while places:
            index, inside = place = places.pop()
            if place in found:
                continue
            found.add(place)
            if index == len(self._tokens):
                continue
            token = self._tokens[index]
            if inside and token.kind in (_Kind.STAR, _Kind.ANYTHING):
                places.append((index + 1, False))
            elif not inside:
                if token.kind is _Kind.NAMES:
                    places.append((index + 1, False))
                if token.guarded and is_hidden:
                    found.discard(place)
                elif token.kind is not _Kind.CHAR:
                    places.append((index, True))
        return found

    def _after(self, place: _Place, path: str, position: int) -> tuple[_Place, ...]:
        """Return where a place is after the character at `position`."""
        index, inside = place
        if not inside:
            is_char = index < len(self._tokens) and self._tokens[index].kind is _Kind.CHAR
            return ((index + 1, False),) if is_char and self._accepts[index](path, position) else ()
        kind, is_slash = self._tokens[index].kind, path[position] == "/"
        if not is_slash:
            return (place, (index + 1, False)) if kind is _Kind.REST else (place,)
        if kind is _Kind.ANYTHING:
            return (place,)
        return () if kind is _Kind.STAR else ((index, False),)
