"""The check: what an import engine on this machine predicts of every file of a source, before anything is sent."""

from runner.check.engine import Engine, Outcome
from runner.check.gate import Gate, GateMode
from runner.check.pool import WorkerPool
from runner.check.predictions import Cell, Effect, FileCheck, Prediction, Problem
from runner.check.problem_groups import ProblemGroup
from runner.check.schemas import BoundRoute, SavedSchemas, bind_routes
from runner.check.source_check import SourceCheck
from runner.check.summary import CheckSummary, CheckTotals

__all__ = [
    "BoundRoute",
    "Cell",
    "CheckSummary",
    "CheckTotals",
    "Effect",
    "Engine",
    "FileCheck",
    "Gate",
    "GateMode",
    "Outcome",
    "Prediction",
    "Problem",
    "ProblemGroup",
    "SavedSchemas",
    "SourceCheck",
    "WorkerPool",
    "bind_routes",
]
