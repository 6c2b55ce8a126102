"""Metrics of a process that is no function: written to CloudWatch under the name of the function it stands in for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.aws.services import Aws

NAMESPACE = "Bulkhead"


@dataclass(slots=True)
class _Values:
    """The values of one metric since the last flush."""

    count: int = 0
    total: float = 0.0
    least: float = float("inf")
    most: float = float("-inf")

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.least, self.most = min(self.least, value), max(self.most, value)

    def document(self) -> dict[str, float]:
        return {"SampleCount": self.count, "Sum": self.total, "Minimum": self.least, "Maximum": self.most}


class CloudWatchMetrics:
    """Implements `protocols.Metrics`: collects values, which `flush` writes."""

    def __init__(self, aws: Aws, *, service: str) -> None:
        self._aws = aws
        self._dimensions = [{"Name": "service", "Value": service}]
        self._values: dict[tuple[str, str], _Values] = {}

    def add_metric(self, name: str, value: float, unit: str = "Count") -> None:
        """Record a value; `unit` is one of CloudWatch's, such as `Count` or `Seconds`."""
        self._values.setdefault((name, unit), _Values()).add(value)

    async def flush(self) -> None:
        """Write what was recorded since the last call; keep it if that fails. Raises AwsRefused, Unavailable."""
        values = dict(self._values)
        if not values:
            return
        data: list[dict[str, Any]] = [
            {"MetricName": name, "Dimensions": self._dimensions, "Unit": unit, "StatisticValues": one.document()}
            for (name, unit), one in values.items()
        ]
        self._values = {}
        try:
            await self._aws.call("cloudwatch", "put_metric_data", Namespace=NAMESPACE, MetricData=data)
        except BaseException:
            self._keep(values)
            raise

    def _keep(self, values: dict[tuple[str, str], _Values]) -> None:
        for key, one in values.items():
            later = self._values.setdefault(key, one)
            if later is not one:
                later.count, later.total = later.count + one.count, later.total + one.total
                later.least, later.most = min(later.least, one.least), max(later.most, one.most)
