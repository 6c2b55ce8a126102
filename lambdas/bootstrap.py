"""What every function but the webhook starts from: the one container of this process, and its tracer.

The tracer marks each invocation with cold starts and the service; it patches no library, since what X-Ray's own tool
notes of calls on one event loop gets mixed up. Where no daemon listens, it does nothing.
"""

from __future__ import annotations

from aws_lambda_powertools import Tracer

from lambdas.open_deployment import open_deployment
from lambdas.runtime import Container

container = Container(open_deployment)
tracer = Tracer(auto_patch=False)
