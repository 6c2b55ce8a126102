"""The import engine: a file's bytes or JSON rows and a schema go in, an outcome comes out; no HTTP."""

from sandbox.engine.outcome import Outcome
from sandbox.engine.problems import schema_problems
from sandbox.engine.run import run_import

__all__ = ["Outcome", "run_import", "schema_problems"]
