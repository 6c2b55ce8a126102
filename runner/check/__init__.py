"""The check: what an import engine on this machine predicts for every file of a source, before anything is sent.

May import everything below `cloud` and `bulkhead`; only `sandbox_engine` imports the sandbox.

- Engine: what imports a file on this machine; `sandbox_engine` returns the sandbox's.
- Outcome: how an engine's import of one file ends.
- Prediction: how the file's import would end at the vendor.
- File check: what the check says about one file: its prediction and its problems.
- Worker pool: the processes that run the engine.
- Gate: the check inside a run; it can reject a file before its first create.
- Bound route: a route and the schema that its imports run with.
- Judged: the engine could predict the outcome. A file that it cannot read for want of a library is not judged.
"""

from runner.check.engine import Engine, Outcome
from runner.check.gate import Gate, GateMode
from runner.check.pool import WorkerPool
from runner.check.predictions import FileCheck, Prediction
from runner.check.schemas import BoundRoute, SavedSchemas, bind_routes
from runner.check.source_check import SourceCheck
from runner.check.summary import CheckSummary, CheckTotals

__all__ = [
    "BoundRoute",
    "CheckSummary",
    "CheckTotals",
    "Engine",
    "FileCheck",
    "Gate",
    "GateMode",
    "Outcome",
    "Prediction",
    "SavedSchemas",
    "SourceCheck",
    "WorkerPool",
    "bind_routes",
]
