"""Telemetry: log lines as JSON, and metrics in CloudWatch's embedded metric format.

Both carry the service in POWERTOOLS_SERVICE_NAME. Events are never logged: they hold tokens, names, and rows.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers
from aws_lambda_powertools.metrics import EphemeralMetrics

from runner.masking import log_fields

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

NAMESPACE = "Bulkhead"

_CHATTY = ("aiobotocore", "aiohttp", "asyncio", "boto3", "botocore", "s3transfer", "stamina", "urllib3")
"""Libraries that log headers, URLs, and bodies of requests at DEBUG."""


class Telemetry:
    """The log and the metrics of one function; made once for each container."""

    def __init__(self) -> None:
        self.logger = Logger()
        self._metrics = EphemeralMetrics(namespace=NAMESPACE)
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        for name in ("runner", "lambdas"):
            logging.getLogger(name)
        copy_config_to_registered_loggers(source_logger=self.logger, include={"runner", "lambdas"})

    def begin(self, context: LambdaContext) -> None:
        """Add the invocation's id to the log lines."""
        self.logger.append_keys(request_id=context.aws_request_id, function=context.function_name)

    def failure(self, sentence: str, error: BaseException, **fields: object) -> None:
        """Log an error; the text of another library's error is left out: it may contain a signed URL or a row."""
        self.logger.error(sentence, extra={**log_fields(error), **fields})

    def add_metric(self, name: str, value: float, unit: str = "Count") -> None:
        """Record a metric; `unit` is one of CloudWatch's, such as `Count`, `Seconds`, or `Milliseconds`."""
        self._metrics.add_metric(name=name, unit=unit, value=value)

    def flush(self) -> None:
        """Print the metrics recorded since the last call as one line, which CloudWatch reads from the log."""
        if self._metrics.metric_set:
            self._metrics.flush_metrics()
