"""How a child process is started: which modules it finds if it runs our code, and which variables it gets."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path

_VARIABLES = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "SSL_CERT_FILE", "LD_LIBRARY_PATH")
_S3_VARIABLES = ("REQUESTS_CA_BUNDLE",)
_SECRET_VARIABLES = ("DROMO_LICENSE_KEY", "BULKHEAD_LICENSE_KEY", "BULKHEAD_NOTIFY_URLS")
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


def child_environment(*, reads_s3: bool = False) -> dict[str, str]:
    """Return the variables that a child needs: never a license key, and the AWS credentials only to read S3.

    `PYTHON*` variables are not among them: `child_command` passes on what matters.
    """
    return {name: value for name, value in os.environ.items() if _is_passed_on(name, reads_s3=reads_s3)}


def command_environment(secrets: Collection[str]) -> dict[str, str]:
    """Return the variables for a command of the user: all, but none that is or contains a secret of Bulkhead."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in _SECRET_VARIABLES and not any(secret in value for secret in secrets)
    }


def _is_passed_on(name: str, *, reads_s3: bool) -> bool:
    if name in _VARIABLES or name.startswith("LC_"):
        return True
    return reads_s3 and (name.startswith("AWS_") or name.upper().endswith("_PROXY") or name in _S3_VARIABLES)


def _import_path() -> list[str]:
    """Return where this process finds modules; the working directory, if it is included, comes last.

    There it cannot replace a module of the standard library or of an installed package.
    """
    here = Path.cwd().resolve()
    paths = dict.fromkeys(str(Path(path).absolute()) for path in sys.path)
    return sorted(paths, key=lambda path: Path(path).resolve() == here)
