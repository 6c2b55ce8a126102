"""`bulkhead sandbox`: a local stand-in of the vendor's API, in this terminal until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SERVER = "Server"
BEHAVIOUR = "Behaviour"


_Port = Annotated[
    int, typer.Option(metavar="PORT", help="Listen on this port; 0 takes a free one.", rich_help_panel=SERVER)
]
_Host = Annotated[str, typer.Option(metavar="HOST", help="Listen on this address.", rich_help_panel=SERVER)]
_LicenseKey = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Take only this license key; without it any key will do.", rich_help_panel=SERVER),
]
_Schemas = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Start with the saved schemas in this directory, a JSON file each.",
        rich_help_panel=SERVER,
    ),
]
_Data = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Keep everything here, and go on with it next time.", rich_help_panel=SERVER),
]
_Keep = Annotated[
    int | None,
    typer.Option(metavar="N", help="Keep the newest N imports, and drop older ones.", rich_help_panel=SERVER),
]
_WebhookHosts = Annotated[
    str | None,
    typer.Option(
        metavar="HOST,...",
        help="Send webhooks to these hosts too, not only to this machine.",
        rich_help_panel=SERVER,
    ),
]
_HookHosts = Annotated[
    str | None,
    typer.Option(
        metavar="HOST,...",
        help="Let the hooks of schemas fetch from these hosts; by default they reach none.",
        rich_help_panel=SERVER,
    ),
]
_CreateQuota = Annotated[
    str | None,
    typer.Option(metavar="N/TIME", help="Refuse more creates than this, as 20/60s.", rich_help_panel=BEHAVIOUR),
]
_PollQuota = Annotated[
    str | None,
    typer.Option(
        metavar="N/TIME", help="Refuse more polls of one import than this, as 12/60s.", rich_help_panel=BEHAVIOUR
    ),
]
_Speed = Annotated[
    float | None,
    typer.Option(metavar="FACTOR", help="Let its clock run this much faster.", rich_help_panel=BEHAVIOUR),
]
_ProcessingS = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Let an import take this long once uploaded.", rich_help_panel=BEHAVIOUR),
]

_Workers = Annotated[
    int | None,
    typer.Option(metavar="N", help="Run this many imports at a time; by default one a core.", rich_help_panel=SERVER),
]
_WorkerMemory = Annotated[
    int | None,
    typer.Option(metavar="MB", help="Fail an import that needs more memory than this.", rich_help_panel=SERVER),
]


def sandbox(
    *,
    port: _Port = 8700,
    host: _Host = "127.0.0.1",
    license_key: _LicenseKey = None,
    schemas: _Schemas = None,
    data: _Data = None,
    keep: _Keep = None,
    webhook_hosts: _WebhookHosts = None,
    hook_hosts: _HookHosts = None,
    create_quota: _CreateQuota = None,
    poll_quota: _PollQuota = None,
    speed: _Speed = None,
    processing_s: _ProcessingS = None,
    workers: _Workers = None,
    worker_memory: _WorkerMemory = None,
) -> None:
    """Run the vendor's API on this machine, to try Bulkhead without an account."""
    from sandbox.__main__ import main

    options = {
        "--port": port,
        "--host": host,
        "--license-key": license_key,
        "--schemas": schemas,
        "--data": data,
        "--keep": keep,
        "--webhook-hosts": webhook_hosts,
        "--hook-hosts": hook_hosts,
        "--create-quota": create_quota,
        "--poll-quota": poll_quota,
        "--speed": speed,
        "--processing-s": processing_s,
        "--workers": workers,
        "--worker-memory": worker_memory,
    }
    given = {name: value for name, value in options.items() if value is not None}
    raise typer.Exit(main([part for name, value in given.items() for part in (name, str(value))]))
