"""The settings of a sandbox: what the real vendor configures or does not document."""

from dataclasses import dataclass
from typing import Literal

from sandbox.problems import RetryAfter
from sandbox.quotas import CREATE_QUOTA, POLL_QUOTA, Rate

IfNoneMatch = Literal["accept", "not_implemented", "not_signed"]


@dataclass(frozen=True, kw_only=True)
class SandboxSettings:
    """What the real vendor configures or does not document. Durations are in seconds.

    `license_key` None accepts any key that is not empty. `upload_lag_s` is the time from the end of an upload until
    the import notices it. `import_max_s` limits a run in real time, whatever the clock's speed. `if_none_match` is how
    storage treats `If-None-Match: *`, and `retry_after` the form of that header in a 429. With `fresh_upload_url`
    False, an import always shows its first upload URL. With `absent_as_null`, keys that do not apply are null instead
    of missing. With `refuse_leaked_key`, storage refuses a request that has the license key; a bucket ignores it.

    Raises ValueError for a negative duration or a limit of 0.
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
    refuse_leaked_key: bool = False

    def __post_init__(self) -> None:
        durations_s = (self.upload_ttl_s, self.result_ttl_s, self.upload_lag_s, self.pending_s, self.running_s)
        if self.import_max_s <= 0:
            raise ValueError("import_max_s must be positive")
        if any(duration_s < 0 for duration_s in durations_s):
            raise ValueError("a duration must not be negative")
