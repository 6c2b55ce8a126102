"""The container of this process and its tracer, shared by every function except the webhook.

The tracer marks each invocation with cold starts and the service name. It patches no library, because X-Ray's patches
mix up concurrent calls on one event loop. Without a daemon it does nothing.
"""

from __future__ import annotations

from aws_lambda_powertools import Tracer

from lambdas.open_deployment import open_deployment
from lambdas.runtime import Container

container = Container(open_deployment)
tracer = Tracer(auto_patch=False)
