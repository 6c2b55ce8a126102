"""The limits of a worker, and what to say about an import that is stopped."""

import contextlib
import resource
import signal
from dataclasses import dataclass

MEGABYTE = 1_000_000
MEMORY_MIN_BYTES = 256 * MEGABYTE
MEMORY_BYTES = 2000 * MEGABYTE
_SIGNALS_WITHOUT_MEMORY = {signal.SIGABRT}


@dataclass(frozen=True)
class StopReason:
    """Why a run was stopped: the sentence to show, and the name of the error or signal."""

    sentence: str
    error: str


class RunStopped(Exception):
    """A run was stopped; `reason` says why."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.sentence)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class WorkerLimits:
    """`memory_bytes` limits a worker's data; a hook's process has its own limits. Raises ValueError below 256 MB."""

    memory_bytes: int = MEMORY_BYTES

    def __post_init__(self) -> None:
        if self.memory_bytes < MEMORY_MIN_BYTES:
            raise ValueError(f"a worker needs at least {MEMORY_MIN_BYTES // MEGABYTE} MB of memory")

    @property
    def sentence(self) -> str:
        """The sentence about an import that needed more."""
        size_mb = self.memory_bytes / MEGABYTE
        size = f"{size_mb:g} MB" if size_mb < 1000 else f"{size_mb / 1000:g} GB"
        return f"The import needed more than {size} of memory."

    def apply(self) -> None:
        """Limit this process. Only the soft limit of memory is set: the processes of hooks set their own."""
        with contextlib.suppress(ValueError, OSError):
            _, most = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (self.memory_bytes, most))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def death(self, code: int) -> StopReason:
        """Read the exit code of a worker that died; C and Rust libraries abort if they get no memory."""
        name = f"exit code {code}" if code >= 0 else f"signal {-code}"
        if -code in _SIGNALS_WITHOUT_MEMORY:
            return StopReason(self.sentence, error=name)
        if -code == signal.SIGKILL:
            return StopReason("The import was killed, perhaps because the machine ran out of memory.", error=name)
        return engine_crashed(name)


def engine_crashed(error: str) -> StopReason:
    return StopReason("The import engine crashed.", error=error)


def out_of_time(time_s: float) -> StopReason:
    return StopReason(f"The import took longer than the {time_s:g} seconds allowed.", error="TimeoutError")
