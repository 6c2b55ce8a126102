"""The task that carries webhooks out: plain POSTs, no redirect followed, no answer read."""

import asyncio
import logging

import aiohttp
from yarl import URL

from sandbox.context import World, wait_for_work
from sandbox.journal import Delivery

logger = logging.getLogger(__name__)

POST_TIMEOUT_S = 10.0
CONNECTIONS = 16


async def post_webhooks(world: World) -> None:
    """Make each delivery when it is due; ends by cancellation."""
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "bulkhead-sandbox"},
        ) as session,
        asyncio.TaskGroup() as posts,
    ):
        while True:
            world.posting.clear()
            for delivery in world.webhooks.due(world.now):
                posts.create_task(_post(world, session, delivery))
            await wait_for_work(world, world.posting, due_at=world.webhooks.next_due_at())


async def _post(world: World, session: aiohttp.ClientSession, delivery: Delivery) -> None:
    if not world.webhooks.allows(delivery.url):
        logger.warning("a webhook's address is not allowed", extra={"import_id": delivery.import_id})
        world.webhooks.refused(delivery)
    elif await _is_taken(session, delivery):
        world.webhooks.sent(delivery, world.now)
    else:
        world.webhooks.failed(delivery, world.now)
    world.commit()
    world.posting.set()


async def _is_taken(session: aiohttp.ClientSession, delivery: Delivery) -> bool:
    """Whether the receiver answers with 2xx. The address may hold its secret, so that no error is shown."""
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
