"""The image of the Dockerfile without Docker: the same steps, and a root of its own that nothing can write to.

The build stage runs on this machine. A command of the image runs in a mount namespace, with the image, this machine's
libraries, and Python mounted read-only, one writable directory, and the user and variables of the final stage.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from tests.support.command import DEADLINE_S
from tests.support.fork_server import ROOT

DOCKERFILE = ROOT / "Dockerfile"
IGNORED = ROOT / ".dockerignore"
OPT = "/opt/bulkhead"
DATA = "/data"

_OF_THE_MACHINE = ("/usr", "/bin", "/lib", "/lib64", "/etc")
_ENTER = """
set -e
root=$1; shift
mount --make-rprivate /
mount -t tmpfs tmpfs "$root"
mkdir -p "$root/proc" "$root/dev"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for pair in $BINDS; do
  mkdir -p "$root${pair#*=}"
  mount --bind "${pair%=*}" "$root${pair#*=}"
  mount -o remount,bind,ro "$root${pair#*=}"
done
mkdir -p "$root$DATA"
mount --bind "$VOLUME" "$root$DATA"
mount -o remount,ro "$root"
exec chroot "$root" setpriv --reuid "$OWNER" --regid "$OWNER" --clear-groups --no-new-privs --bounding-set=-all \\
  env --ignore-environment --chdir "$DATA" "$@"
"""


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile, its lines joined."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    @property
    def pairs(self) -> dict[str, str]:
        """Return the pairs of `ENV` and `LABEL`."""
        return dict(word.split("=", 1) for word in self.words)


@cache
def stages() -> list[list[Instruction]]:
    """Return the instructions of each stage, each beginning with its `FROM`."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[list[Instruction]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append(Instruction(name, rest.strip()))
    return found


def of_the_image(name: str) -> list[Instruction]:
    """Return the instructions of that name in the final stage."""
    return [one for one in stages()[-1] if one.name == name]


def variables() -> dict[str, str]:
    return {name: value for one in of_the_image("ENV") for name, value in one.pairs.items()}


def context(directory: Path) -> None:
    """Copy what `.dockerignore` leaves of this clone, as `docker build` sends it."""
    rules = [line for line in IGNORED.read_text().splitlines() if line and not line.startswith("#")]
    for top in (name.removeprefix("!") for name in rules if name.startswith("!")):
        if (ROOT / top).is_dir():
            shutil.copytree(ROOT / top, directory / top, ignore=shutil.ignore_patterns(*_deep(rules)))
        else:
            shutil.copyfile(ROOT / top, directory / top)


def _deep(rules: list[str]) -> Iterator[str]:
    return (rule.removeprefix("**/") for rule in rules if rule.startswith("**/"))


def is_sent(path: str, directory: Path) -> bool:
    """Return whether a path is in the context of the build."""
    return any(fnmatch(str(one.relative_to(directory)), path) for one in directory.rglob("*"))


class Image:
    """What the build stage makes, and the way to run it, in a directory `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._built = home / "image"
        self._root = home / "root"
        self._context = home / "context"

    @property
    def opt(self) -> str:
        """Return where the image's own directory is on this machine, and in the root."""
        return str(self._built)

    @classmethod
    def built(cls, home: Path) -> Image:
        """Return the image of a directory; the first process that asks builds it, and others wait for it."""
        home.mkdir(exist_ok=True)
        image, done = cls(home), home / "done"
        with (home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                image._build()
                done.touch()
        return image

    def _build(self) -> None:
        """Run the build stage: copy what it copies, and run what it runs, with this Python as the base's."""
        self._root.mkdir()
        self._context.mkdir()
        context(self._context)
        source = self._home / "src"
        source.mkdir()
        shell = {**os.environ, "PATH": f"{Path(sys.base_prefix, 'bin')}:{os.environ['PATH']}"}
        for one in stages()[0]:
            if one.name == "ARG":
                shell |= one.pairs
            elif one.name == "ENV":
                shell |= {name: self._here(value) for name, value in one.pairs.items()}
            elif one.name == "COPY":
                *names, target = one.words
                for name in names:
                    self._copy(name, source / target)
            elif one.name == "RUN":
                subprocess.run(["sh", "-c", self._here(one.text)], cwd=source, env=shell, check=True, timeout=500)

    def _copy(self, name: str, target: Path) -> None:
        if (self._context / name).is_dir():
            shutil.copytree(self._context / name, target)
        else:
            shutil.copyfile(self._context / name, target / name)

    def _here(self, text: str) -> str:
        return text.replace(OPT, self.opt).replace("/src/", f"{self._home}/src/")

    def volume(self, name: str) -> Path:
        """Return a new directory that belongs to the image's user, as a volume for `/data`."""
        path = self._home / name
        path.mkdir(mode=0o700)
        os.chown(path, *self.owner)
        return path

    @property
    def owner(self) -> tuple[int, int]:
        (user,) = of_the_image("USER")
        uid, _, gid = user.text.partition(":")
        return int(uid), int(gid)

    def command(self, *program: str, volume: Path, pid_1: bool = False, **environment: str) -> list[str]:
        """Return the command that runs a program in the image, its entry point if none is given."""
        given = {name: self._here(value) for name, value in variables().items()} | environment
        given["PATH"] = given["PATH"].replace("$PATH", "/usr/bin:/bin")
        binds = [f"{path}={path}" for path in _OF_THE_MACHINE if Path(path).exists()]
        binds += [f"{path}={path}" for path in {self.opt, sys.base_prefix} if not path.startswith("/usr")]
        settings = {"BINDS": " ".join(binds), "DATA": DATA, "VOLUME": str(volume), "OWNER": str(self.owner[0])}
        namespaces = ["unshare", "--mount", *(["--pid", "--fork", "--kill-child"] if pid_1 else [])]
        assigned = [f"{name}={value}" for name, value in given.items()]
        return [
            "env", *(f"{name}={value}" for name, value in settings.items()),
            *namespaces, "sh", "-c", _ENTER, "enter", str(self._root), *assigned, *program,
        ]  # fmt: skip

    def run(self, *program: str, volume: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the image to its end."""
        command = self.command(*program, volume=volume, **environment)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)


def entry_point() -> list[str]:
    (one,) = of_the_image("ENTRYPOINT")
    words: list[str] = json.loads(one.text)
    return words


def why_not() -> str | None:
    """Return why this machine cannot run a root of its own, None if it can."""
    if os.geteuid() != 0:
        return "only root can mount a root of its own"
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "--make-rprivate", "/"], capture_output=True, text=True, check=False
    )
    return tried.stderr.strip() or None if tried.returncode else None
