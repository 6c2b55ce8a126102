"""The doctor of a stack: every check, in the order in which a person fixes problems."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import aiohttp

from runner import identity
from runner.cloud.context import require_encryption
from runner.cloud.handlers.configure import ALLOW_HOOKS, MAX_CONFIG_BYTES, parse_config
from runner.cloud.handlers.sweep import LATE_OBJECTS, LOOKED_FOR, SWEEP_EVERY, swept
from runner.cloud.ops.activity_checks import ActivityChecks
from runner.cloud.ops.endpoint_checks import LicenseKey, self_test_findings, vendor_finding
from runner.cloud.ops.stack import CONFIG, INBOX
from runner.cloud.ops.stack_checks import StackChecks, run_check
from runner.cloud.webhooks import WebhookUrls
from runner.config.route_remarks import name_findings, remarks_of_routes
from runner.config.settings import CONFIG_NAME
from runner.config.webhook_remarks import WebhookUse, webhook_findings
from runner.errors import AwsRefused, ConfigError, HooksRefused, Unavailable
from runner.findings import Finding, Level, fail, ok, warn
from runner.formatting import counted, lasting, sized

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from runner.aws.services import Aws
    from runner.cloud.ops.stack import Stack
    from runner.config.settings import Settings
    from runner.ledger.leases import Leases
    from runner.ledger.protocol import CloudLedger
    from runner.quota.pacer import CreatePacer

CONFIG_KEY = f"config/{CONFIG_NAME}"

WEBHOOK_PER_IMPORT = "WebhookPerImport"

_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
_AGAIN = "fix it, and upload it to {} again"

_RECONCILE_MINUTES = 5
_LATE_AFTER = 3
"""Reconcile is late after this many intervals of its schedule."""

_SWEPT_WITHIN = timedelta(days=1)
"""A sweep of an inbox of any size is over by then."""


class Doctor:
    """Checks a deployment; creates nothing at the vendor."""

    def __init__(
        self,
        stack: Stack,
        aws: Aws,
        *,
        settings: Settings,
        ledger: CloudLedger,
        leases: Leases,
        pacer: Callable[[str], Awaitable[CreatePacer]],
        now: Callable[[], datetime],
        options: str = "",
    ) -> None:
        """`settings` are the stack's parameters; `pacer` opens the create slots of a license key.

        `options` is appended to the commands in hints.
        """
        self._stack = stack
        self._aws = aws
        self._settings = settings
        self._ledger = ledger
        self._leases = leases
        self._pacer = pacer
        self._now = now
        self._options = options

    async def findings(self) -> list[Finding]:
        """Run all checks; a check that fails with an error is a finding."""
        activity = ActivityChecks(self._stack, self._aws, now=self._now)
        window_s = self._settings.create_quota.per_s
        return [
            *await StackChecks(self._stack, self._aws, options=self._options).findings(),
            *await run_check("triggers", activity.triggers),
            *await run_check("worker", lambda: activity.worker(self._leases, window_s=window_s)),
            *await run_check("oldest messages", activity.ages),
            *await run_check("configuration", self._configuration),
            *await run_check("old configuration", self._old_configuration),
            *await run_check("license key", self._key),
            *await run_check("webhook", self._webhook),
            *await run_check("webhook arrivals", activity.webhooks),
            *await run_check("reconcile", self._reconcile),
            *await run_check("sweep", self._sweep),
        ]

    async def _configuration(self) -> list[Finding]:
        place = f"s3://{self._stack.output(CONFIG)}/{CONFIG_KEY}"
        text, good = await self._config_text(), await self._ledger.good_config()
        if text is None:
            return [await self._without_configuration(place, good)]
        try:
            config = parse_config(text, self._settings, allow_hooks=self._allow_hooks)
        except ConfigError as error:
            return [fail("configuration", f"{error}{self._consequence(good)}", error.hint or _AGAIN.format(place))]
        if good != text:
            hint = f"wait five minutes; if it stays so: {self._logs('ConfigureFunction')}"
            return [warn("configuration", f"{place} is valid but not active yet", hint)]
        active = ok("configuration", f"{place} is active: {counted(len(config.routes.routes), 'route')}")
        routes, per_import = config.routes.routes, self._stack.parameters.get(WEBHOOK_PER_IMPORT) == "true"
        silent = webhook_findings(routes, use=WebhookUse(per_import=per_import))
        return [active, *name_findings(remarks_of_routes(routes)), *silent]

    @property
    def _allow_hooks(self) -> bool:
        return self._stack.parameters.get(ALLOW_HOOKS) == "true"

    def _consequence(self, good: str | None) -> str:
        """Return what the functions do while the configuration is invalid."""
        if good is None:
            return ""
        try:
            parse_config(good, self._settings, allow_hooks=self._allow_hooks)
        except HooksRefused:
            return "; the active one has hooks, too, so files wait, and none is sent"
        except ConfigError:
            return ""
        return "; the last valid one stays active"

    async def _without_configuration(self, place: str, good: str | None) -> Finding:
        if await self._ledger.config_is_from_inbox():
            hint = f"wait five minutes; if it stays so: {self._logs('ConfigureFunction')}"
            return warn(
                "configuration", f"the one of the version before is active, and is about to move to {place}", hint
            )
        if good is not None:
            return warn("configuration", f"{place} is missing; the last valid one stays active", "upload it again")
        if self._settings.schema_id:
            return ok("configuration", f"every file uses schema {self._settings.schema_id}, from the parameters")
        hint = f"aws s3 cp {CONFIG_NAME} {place}, or deploy with the parameter SchemaId"
        return fail("configuration", "no schema is configured for files", hint)

    async def _old_configuration(self) -> list[Finding]:
        """Say that the place of version 0.1.0 is no longer read, if there is still a file."""
        if self._stack.has_existing_inbox:
            return []
        inbox = self._stack.output(INBOX)
        try:
            await self._aws.call("s3", "head_object", Bucket=inbox, Key=CONFIG_KEY)
        except AwsRefused as error:
            if error.code not in _ABSENT:
                raise
            return []
        old = f"s3://{inbox}/{CONFIG_KEY}"
        hint = f"change s3://{self._stack.output(CONFIG)}/{CONFIG_KEY} instead, and delete the old one: aws s3 rm {old}"
        return [warn("old configuration", f"{old} is no longer read", hint)]

    async def _config_text(self) -> str | None:
        try:
            answer = await self._aws.call("s3", "get_object", Bucket=self._stack.output(CONFIG), Key=CONFIG_KEY)
        except AwsRefused as error:
            if error.code != "NoSuchKey":
                raise
            return None
        if answer["ContentLength"] > MAX_CONFIG_BYTES:
            raise ConfigError(f"{CONFIG_KEY} is too large: {sized(answer['ContentLength'])}")
        try:
            async with answer["Body"] as body:
                content: bytes = await body.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"{CONFIG_KEY} could not be read completely ({type(error).__name__})") from error
        return content.decode("utf-8", "replace")

    async def _key(self) -> list[Finding]:
        key = LicenseKey(self._stack, self._aws)
        found = await key.finding()
        text = await key.read() if found.level is Level.OK else None
        if text is None:
            return [found]
        require_encryption(self._settings.api_url)
        vendor = await vendor_finding(self._settings, text)
        return [found, vendor, *await run_check("quota", lambda: self._quota(text))]

    async def _quota(self, key: str) -> list[Finding]:
        free, count = await (await self._pacer(key)).free_slots(), self._settings.create_quota.count
        detail = f"{free} of {count} create slots are free"
        if free:
            return [ok("quota", detail)]
        return [warn("quota", detail, "normal while a load runs; otherwise another program uses the same key")]

    async def _webhook(self) -> list[Finding]:
        urls = WebhookUrls(self._stack, self._aws)
        return await self_test_findings(urls, options=self._options, logs=self._logs("WebhookFunction"))

    async def _reconcile(self) -> list[Finding]:
        minutes = int(self._stack.parameters.get("ReconcileMinutes") or _RECONCILE_MINUTES)
        at = await self._ledger.reconciled_to(identity.endpoint(self._settings.api_url))
        if at is None:
            return [warn("reconcile", "has never completed", f"it should run every {minutes} min; {self._why()}")]
        ago = self._now() - at
        detail = f"completed {lasting(ago.total_seconds())} ago"
        if ago > timedelta(minutes=_LATE_AFTER * minutes):
            return [fail("reconcile", f"{detail}, but should run every {minutes} min", self._why())]
        return [ok("reconcile", detail)]

    async def _sweep(self) -> list[Finding]:
        """Say when the inbox was swept, and whether a file stays missing; nothing before the first pass."""
        inbox = f"s3://{self._stack.output(INBOX)}/{self._stack.inbox_prefix}"
        found = await swept(self._ledger, inbox)
        if found is None:
            return []
        now = self._now()
        detail = f"{inbox} was compared with the ledger {lasting((now - found.at).total_seconds())} ago"
        if now - found.at > _SWEPT_WITHIN:
            return [warn("sweep", f"{detail}, but should be every hour", self._logs("ListPrefixFunction"))]
        if found.at - found.to > SWEEP_EVERY + LATE_OBJECTS:
            missing = f"a file that arrived {lasting((now - found.to).total_seconds())} ago is not in the ledger"
            hint = f"see why it is not registered: {self._logs('RegisterFunction')}"
            days = lasting(LOOKED_FOR.total_seconds())
            return [warn("sweep", f"{detail}; {missing}. Sweeps send it to register for {days}", hint)]
        return [ok("sweep", detail)]

    def _why(self) -> str:
        return f"see its log: {self._logs('ReconcileFunction')}"

    def _logs(self, function: str) -> str:
        return f"sam logs --stack-name {self._stack.name} --name {function}"
