"""Scripted misbehavior: which fault, if any, applies to the next call of an operation."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

SLOW_S = 1.0
STALL_S = 600.0
HOLD_S = 30.0

Operation = Literal["create", "retrieve", "list", "url", "upload", "download", "schema", "webhook"]
FaultKind = Literal[
    "lost_reply",  # the effect happens, the connection is cut without an answer
    "drop_before",  # no effect, the connection is cut
    "error",  # `status` instead of the effect
    "error_after",  # the effect happens, the answer is `status`
    "slow",  # everything happens `delay_s` late
    "truncate",  # the effect happens, the answer's body is cut midway
    "throttle",  # 429 without effect, with `retry_after` as the header (None: no header)
    "expire_url",  # storage answers as if the URL had expired
    "stall",  # the upload's body is not read; the connection is cut after `delay_s`
    "lost",  # the webhook is never sent
    "duplicate",  # it is sent twice
    "reorder",  # it is held back until a later one was sent, at most for `delay_s`
    "delay",  # it is sent `delay_s` late
    "forge",  # before it, another one like it is sent for an import that does not exist
]
WEBHOOK_KINDS = ("lost", "duplicate", "reorder", "delay", "forge")
_DELAYS_S = {"stall": STALL_S, "reorder": HOLD_S}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One misbehavior. `retry_after` is sent verbatim: seconds or an HTTP date."""

    kind: FaultKind
    status: int = 503
    delay_s: float = SLOW_S
    retry_after: str | None = None


@dataclass(kw_only=True)
class FaultRule:
    """A fault for calls of `operation`: skips `skip` calls, then applies with `probability`, at most `times` times."""

    operation: Operation
    fault: Fault
    probability: float = 1.0
    times: int | None = None
    skip: int = 0

    def strikes(self, rng: random.Random) -> bool:
        if self.times == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.probability < 1.0 and rng.random() >= self.probability:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class FaultPlan:
    """The rules in force; the first one that applies decides."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.rules: list[FaultRule] = []

    def decide(self, operation: Operation) -> Fault | None:
        """Return the fault for this call of `operation`, or None. Each rule that is tried counts the call once."""
        matching = (rule for rule in self.rules if rule.operation == operation)
        return next((rule.fault for rule in matching if rule.strikes(self._rng)), None)


def parse_rule(given: Mapping[str, Any]) -> FaultRule:
    """Read a rule from its JSON object. Raises ValueError for an unknown key, operation, kind, or type."""
    unknown = set(given) - {"operation", "kind", "probability", "times", "skip", "status", "delay_s", "retry_after"}
    if unknown:
        raise ValueError(f"unknown key in a fault rule: {min(unknown)}")
    operation, kind = given.get("operation"), given.get("kind")
    if operation not in get_args(Operation) or kind not in get_args(FaultKind):
        raise ValueError(f"unknown operation or kind in a fault rule: {operation}, {kind}")
    if (operation == "webhook") != (kind in WEBHOOK_KINDS):
        raise ValueError(f"{operation} has no fault of this kind: {kind}")
    retry_after = given.get("retry_after")
    times = given.get("times")
    return FaultRule(
        operation=cast(Operation, operation),
        fault=Fault(
            kind=cast(FaultKind, kind),
            status=int(given.get("status", 503)),
            delay_s=float(given.get("delay_s", _DELAYS_S.get(str(kind), SLOW_S))),
            retry_after=None if retry_after is None else str(retry_after),
        ),
        probability=float(given.get("probability", 1.0)),
        times=None if times is None else int(times),
        skip=int(given.get("skip", 0)),
    )
