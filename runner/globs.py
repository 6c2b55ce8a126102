"""Which relative paths a source lists: include and exclude globs, and the names that are left out unless asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runner.errors import ConfigError

MAX_ALTERNATIVES = 1000
"""Patterns that the braces of one glob may unfold to (choice)."""

OWN_AND_LITTER = ("Thumbs.db", "desktop.ini", "Icon\r", "bulkhead.toml", "bulkhead-out")
"""Names that no wildcard meets in an include, beside those that begin with `.` or `~$`."""

_HIDDEN_NAME = r"(?:\.|~\$|(?:" + "|".join(re.escape(name) for name in OWN_AND_LITTER) + r")(?=/|\Z))"
_VISIBLE = f"(?!{_HIDDEN_NAME})"
_IS_HIDDEN = re.compile(_HIDDEN_NAME)
_NAMES_HIDDEN = re.compile(rf"(?:^|/){_HIDDEN_NAME}")


class Globs:
    """Globs compiled into one regular expression; case-sensitive, `/` only matched by `**`.

    `*`, `?`, `[a-z]`, `[!a-z]`, `{a,b}` and `**`; a backslash takes the next character literally. A pattern without
    `/` is matched against the base name, one with `/` against the whole relative path; a trailing `/` means all that
    lies below. With `visible_only` a wildcard at the start of a name does not meet a hidden name, as in a shell.
    Raises ConfigError where a pattern cannot be read.
    """

    def __init__(self, patterns: Iterable[str], *, visible_only: bool = False) -> None:
        self.patterns = tuple(patterns)
        flat = [anchored for pattern in self.patterns for anchored in _flattened(pattern)]
        self._match = _union(flat, visible_only=visible_only).fullmatch
        self._below = _union([p[:-3] for p in flat if p.endswith("/**")], visible_only=visible_only).fullmatch
        self._all = not visible_only and "**" in self.patterns
        self.names_hidden = any(_NAMES_HIDDEN.search(pattern) for pattern in flat)

    def matches(self, path: str) -> bool:
        """Tell whether any of the globs matches a relative POSIX path."""
        return self._all or self._match(path) is not None

    def covers(self, directory: str) -> bool:
        """Tell whether everything below a directory is matched, so that it need not be walked."""
        return self._below(directory) is not None


class PathFilter:
    """What `include`, `exclude` and the hidden names leave of a tree; exclude wins."""

    def __init__(self, *, include: Iterable[str] = (), exclude: Iterable[str] = (), hidden: bool = False) -> None:
        self._include = Globs(include, visible_only=not hidden)
        self._exclude = Globs(exclude)
        self._hidden = hidden or self._include.names_hidden
        self._includes, self._excludes = bool(self._include.patterns), bool(self._exclude.patterns)
        self._hides_files = not (hidden or self._includes)

    def takes(self, path: str, name: str) -> bool:
        """Tell whether a file is listed; `name` is its base name, `path` relative to the root."""
        if self._hides_files and _IS_HIDDEN.match(name):
            return False
        if self._includes and not self._include.matches(path):
            return False
        return not (self._excludes and self._exclude.matches(path))

    def enters(self, path: str, name: str) -> bool:
        """Tell whether a directory is walked."""
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
    """Return (start, end, alternatives) of the first `{...}`, None where there is none."""
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


def _union(patterns: list[str], *, visible_only: bool) -> re.Pattern[str]:
    if not patterns:
        return re.compile(r"(?!)")
    visible = _VISIBLE if visible_only else ""
    return re.compile("|".join(_regex(pattern, visible) for pattern in patterns), re.DOTALL)


def _regex(pattern: str, visible: str) -> str:
    """Translate one pattern without braces; `visible` guards each wildcard that begins a name."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        guard = visible if position == 0 or pattern[position - 1] == "/" else ""
        regex, position = _token(pattern, position, guard=guard, any_name=f"(?:{visible}[^/]*/)*")
        parts.append(regex)
    return "".join(parts)


def _token(pattern: str, position: int, *, guard: str, any_name: str) -> tuple[str, int]:
    """Return the regular expression of the token at `position`, and where the next begins."""
    char = pattern[position]
    if char == "*":
        return _star(pattern, position, guard=guard, any_name=any_name)
    if char == "?":
        return f"{guard}[^/]", position + 1
    if char == "[":
        end = _class_end(pattern, position)
        return guard + _character_class(pattern[position + 1 : end - 1], pattern), end
    if char != "\\":
        return re.escape(char), position + 1
    if position + 1 == len(pattern):
        raise ConfigError(f"the pattern {pattern!r} ends in a backslash that has nothing to escape")
    return re.escape(pattern[position + 1]), position + 2


def _star(pattern: str, position: int, *, guard: str, any_name: str) -> tuple[str, int]:
    """Translate `*` within a name, `**/` as any directories, and `**` as anything."""
    begins_name = position == 0 or pattern[position - 1] == "/"
    if not pattern.startswith("**", position):
        return f"{guard}[^/]*", position + 1
    if begins_name and pattern.startswith("/", position + 2):
        return any_name, position + 3
    if begins_name and position + 2 == len(pattern):
        return f"{any_name}{guard}[^/]+", position + 2
    return f"{guard}.*", position + 2


def _character_class(body: str, pattern: str) -> str:
    """Translate what stands between `[` and `]`; a backslash is a plain character there."""
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
