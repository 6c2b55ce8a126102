"""How a worker process of the sandbox is started: which modules it finds, and which variables it gets.

The runner has a module of the same name: neither may import the other.
"""

import os
import sys
from pathlib import Path

_VARIABLES = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "SSL_CERT_FILE", "LD_LIBRARY_PATH")
_PROGRAM = (
    "import sys; count = int(sys.argv[1]); sys.path[:] = sys.argv[2 : 2 + count]; del sys.argv[1 : 2 + count]; "
    "from {module} import main; sys.exit(main())"
)


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command line that calls `main()` of a module in a new Python process.

    `-P` keeps the working directory off the path until the program sets it, see `_import_path`.
    """
    utf8 = f"utf8={sys.flags.utf8_mode}"
    paths = _import_path()
    program = _PROGRAM.format(module=module)
    return [sys.executable, "-P", "-X", utf8, "-c", program, str(len(paths)), *paths, *arguments]


def child_environment() -> dict[str, str]:
    """Return the variables that a worker needs; license keys, credentials, and `PYTHON*` are not among them."""
    return {name: value for name, value in os.environ.items() if name in _VARIABLES or name.startswith("LC_")}


def _import_path() -> list[str]:
    """Return where this process finds modules; the working directory, if it is included, comes last.

    There it cannot replace a module of the standard library or of an installed package.
    """
    here = Path.cwd().resolve()
    paths = dict.fromkeys(str(Path(path).absolute()) for path in sys.path)
    return sorted(paths, key=lambda path: Path(path).resolve() == here)
