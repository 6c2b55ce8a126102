"""The task that delivers webhooks: plain POSTs that follow no redirect and read no answer."""

import asyncio
import logging

import aiohttp
from yarl import URL

from sandbox.context import SandboxContext, wait_for_work
from sandbox.journal import Delivery

logger = logging.getLogger(__name__)

POST_TIMEOUT_S = 10.0
CONNECTIONS = 16


async def deliver_webhooks(context: SandboxContext) -> None:
    """Make each delivery when it is due. Runs until it is cancelled."""
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "bulkhead-sandbox"},
        ) as session,
        asyncio.TaskGroup() as posts,
    ):
        while True:
            context.webhooks_due.clear()
            for delivery in context.webhooks.due(context.now):
                posts.create_task(_post(context, session, delivery))
            await wait_for_work(context, context.webhooks_due, due_at=context.webhooks.next_due_at())


async def _post(context: SandboxContext, session: aiohttp.ClientSession, delivery: Delivery) -> None:
    if not context.webhooks.allows(delivery.url):
        logger.warning("a webhook's address is not allowed", extra={"import_id": delivery.import_id})
        context.webhooks.refused(delivery)
    elif await _is_taken(session, delivery):
        context.webhooks.sent(delivery, context.now)
    else:
        context.webhooks.failed(delivery, context.now)
    context.commit()
    context.webhooks_due.set()


async def _is_taken(session: aiohttp.ClientSession, delivery: Delivery) -> bool:
    """Return whether the receiver answers with 2xx. Show no error: the URL may contain the receiver's secret."""
    try:
        async with (
            asyncio.timeout(POST_TIMEOUT_S),
            session.post(
                URL(delivery.url, encoded=True),
                data=delivery.body.encode(),
                headers={"Content-Type": delivery.content_type},
                allow_redirects=False,
            ) as response,
        ):
            return 200 <= response.status < 300
    except (aiohttp.ClientError, OSError, ValueError):
        return False
