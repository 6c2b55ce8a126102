"""How a sandbox behaves where the real vendor is configured or silent."""

from dataclasses import dataclass
from typing import Literal

from sandbox.problems import RetryAfter
from sandbox.quotas import CREATE_QUOTA, POLL_QUOTA, Rate

IfNoneMatch = Literal["accept", "not_implemented", "not_signed"]


@dataclass(frozen=True, kw_only=True)
class SandboxSettings:
    """How this vendor behaves where the real one is configured or silent. Durations in seconds.

    `license_key` None takes any non-empty key. `upload_lag_s` lies between an upload's end and the import's notice
    of it. `import_max_s` is what a run may really take, whatever the clock's speed. `if_none_match` says what storage
    makes of `If-None-Match: *`, `retry_after` how a 429 says when to come back. `fresh_upload_url` False shows the
    first upload URL for ever. `absent_as_null` shows keys that do not apply as null instead of leaving them out.
    """

    license_key: str | None = None
    create_quota: Rate = CREATE_QUOTA
    poll_quota: Rate = POLL_QUOTA
    upload_ttl_s: int = 1800
    result_ttl_s: int = 1800
    upload_lag_s: float = 0.0
    pending_s: float = 0.2
    running_s: float = 0.3
    import_max_s: float = 600.0
    if_none_match: IfNoneMatch = "accept"
    retry_after: RetryAfter = "seconds"
    fresh_upload_url: bool = True
    absent_as_null: bool = False

    def __post_init__(self) -> None:
        durations_s = (self.upload_ttl_s, self.result_ttl_s, self.upload_lag_s, self.pending_s, self.running_s)
        if self.import_max_s <= 0:
            raise ValueError("an import needs some time")
        if any(duration_s < 0 for duration_s in durations_s):
            raise ValueError("a duration must not be negative")
