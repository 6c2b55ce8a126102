"""How CloudWatch evaluates the alarms of the template, as far as they use it: statistics, metric math, missing data.

Series are values by minute; a metric that nothing writes has none. Unlike CloudWatch, an alarm looks at exactly its
evaluation periods here, and never at older ones instead of missing ones.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.support.template import template

OK, ALARM, NO_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"

Series = Mapping[tuple[str, str], Sequence[float | None]]
"""The values of each minute, None where nothing was written, by metric and the place that its dimension names."""

_STATISTICS: dict[str, Callable[[list[float]], float]] = {"Sum": sum, "Maximum": max, "Minimum": min}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
}


@dataclass(frozen=True)
class Metric:
    """One metric in the period and statistic of an alarm."""

    namespace: str
    name: str
    place: str
    statistic: str
    period_s: int

    @classmethod
    def of(cls, metric: Mapping[str, Any], statistic: str, period_s: int) -> Metric:
        (dimension,) = metric["Dimensions"]
        match dimension["Value"]:
            case {"Fn::Sub": str(text)}:
                place = text.replace("${AWS::StackName}-", "")
            case {"Fn::GetAtt": [str(place), _]} | {"Ref": str(place)}:
                pass
        return cls(metric["Namespace"], metric["MetricName"], place, statistic, period_s)

    def points(self, series: Series, *, minutes: int) -> list[float | None]:
        """Return a value for each whole period, None for one without data."""
        values = series.get((self.name, self.place), [])
        per_period = self.period_s // 60
        found: list[float | None] = []
        for start in range(0, minutes - per_period + 1, per_period):
            present = [value for value in values[start : start + per_period] if value is not None]
            found.append(_STATISTICS[self.statistic](present) if present else None)
        return found


@dataclass(frozen=True)
class Alarm:
    """An alarm of the template; `states` evaluates it."""

    name: str
    properties: Mapping[str, Any]

    @property
    def severity(self) -> str:
        return str(self.properties["AlarmDescription"]).partition(":")[0].lower()

    @property
    def metrics(self) -> dict[str, Metric]:
        """Return the metrics by their ids."""
        if "Metrics" not in self.properties:
            return {"m": Metric.of(self.properties, self.properties["Statistic"], self.properties["Period"])}
        stats = {one["Id"]: one["MetricStat"] for one in self.properties["Metrics"] if "MetricStat" in one}
        return {name: Metric.of(stat["Metric"], stat["Stat"], stat["Period"]) for name, stat in stats.items()}

    @property
    def expression(self) -> str:
        expressions = [one["Expression"] for one in self.properties.get("Metrics", ()) if "Expression" in one]
        return str(expressions[0]) if expressions else "m"

    @property
    def actions(self) -> dict[str, list[Any]]:
        names = {ALARM: "AlarmActions", OK: "OKActions", NO_DATA: "InsufficientDataActions"}
        return {state: self.properties.get(name, []) for state, name in names.items()}

    def states(self, series: Series, *, minutes: int) -> list[str]:
        """Return the state after each period; before the first full window, an alarm has no data."""
        points = self._points(series, minutes=minutes)
        count = self.properties["EvaluationPeriods"]
        return [self._state(points[end - count : end]) for end in range(count, len(points) + 1)]

    def notifies(self, series: Series, *, minutes: int) -> list[str]:
        """Return the states whose begin is notified as trouble, in order; a new alarm has no data."""
        states = [NO_DATA, *self.states(series, minutes=minutes)]
        begun = [new for old, new in pairwise(states) if new != old]
        return [state for state in begun if state != OK and self.actions[state]]

    def _points(self, series: Series, *, minutes: int) -> list[float | None]:
        found = {name: metric.points(series, minutes=minutes) for name, metric in self.metrics.items()}
        tree = ast.parse(re.sub(r"\b(AND|OR)\b", lambda word: word[0].lower(), self.expression), mode="eval").body
        length = min(map(len, found.values()))
        return [_value(tree, {name: values[at] for name, values in found.items()}) for at in range(length)]

    def _state(self, window: list[float | None]) -> str:
        compare = _COMPARISONS[self.properties["ComparisonOperator"]]
        present = [point for point in window if point is not None]
        if not present and self.properties["TreatMissingData"] == "missing":
            return NO_DATA
        breaching = sum(compare(point, self.properties["Threshold"]) for point in present)
        if self.properties["TreatMissingData"] == "breaching":
            breaching += len(window) - len(present)
        return ALARM if breaching >= self.properties.get("DatapointsToAlarm", len(window)) else OK


def _value(node: ast.AST, names: Mapping[str, float | None]) -> float | None:
    """Evaluate one point of an expression; what is missing makes everything missing but FILL."""
    match node:
        case ast.Constant(value=int(number) | float(number)):
            return float(number)
        case ast.Name(id=name):
            return names[name]
        case ast.Call(func=ast.Name(id="FILL"), args=[inner, filler]):
            found = _value(inner, names)
            return _value(filler, names) if found is None else found
        case ast.Call(func=ast.Name(id="MAX"), args=[ast.List(elts=inner)]):
            return _of_all([_value(one, names) for one in inner], max)
        case ast.Call(func=ast.Name(id="IF"), args=[condition, then, otherwise]):
            is_true = _value(condition, names)
            return None if is_true is None else _value(then if is_true else otherwise, names)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _of_all([_value(left, names), _value(right, names)], sum)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _of_all([_value(left, names), _value(right, names)], math.prod)
        case ast.BoolOp(op=ast.And(), values=inner):
            return _of_all([_value(one, names) for one in inner], lambda found: float(all(found)))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _of_all([_value(left, names), _value(right, names)], lambda found: float(_compared(op, *found)))
    raise AssertionError(f"not known: {ast.dump(node)}")


def _of_all(values: list[float | None], combine: Callable[[list[float]], float]) -> float | None:
    present = [value for value in values if value is not None]
    return combine(present) if len(present) == len(values) else None


def _compared(op: ast.cmpop, left: float, right: float) -> bool:
    return left > right if isinstance(op, ast.Gt) else left == right


def alarms() -> dict[str, Alarm]:
    """Return the alarms of the template by the names that the runbook gives them."""
    found = template().of_type("AWS::CloudWatch::Alarm")
    return {name.removesuffix("Alarm"): Alarm(name, properties) for name, properties in found.items()}
