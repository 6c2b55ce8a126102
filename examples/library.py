"""Import a directory from Python: watch what happens, then read the manifest.

    python examples/library.py DIRECTORY SCHEMA_ID

The license key and all other settings come from the environment, .env and bulkhead.toml, as for the command.
"""

import asyncio
import json
import sys

from runner import Bulkhead, Routes, RunSpec, Settings, source_spec
from runner.events import BatchFinished, ItemMoved


async def main(directory: str, schema_id: str) -> int:
    settings = Settings.load({}).settings
    spec = RunSpec(source=source_spec(directory), routes=Routes.single(schema_id=schema_id))
    exit_code = 1
    async with Bulkhead(settings) as bulkhead:
        async for event in bulkhead.watch(spec):
            if isinstance(event, ItemMoved):
                print(f"{event.source}: {event.new}")
            elif isinstance(event, BatchFinished):
                print(event.reason)
                exit_code = event.exit_code
        lines = b"".join([chunk async for chunk in bulkhead.manifest()])
    for item in map(json.loads, lines.splitlines()):
        print(item["source"], item["row_count"], item["review_url"] or item["error_message"] or "")
    return exit_code


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
