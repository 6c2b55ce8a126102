"""HookRunner: runs the hooks of one import in one process, kind by kind."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from sandbox.hooks.cells import Batch, Changes, HookColumn
from sandbox.hooks.deno import HookLimits
from sandbox.hooks.errors import HookFailed
from sandbox.hooks.orders import Orders
from sandbox.hooks.process import HookProcess, too_deep
from sandbox.hooks.sources import Hook, Hooks, form_problems
from sandbox.hooks.wire import TooDeep

Mode = Literal["init", "update"]
ROWS_PER_MESSAGE = 1000
_CHUNK_ROWS = 5000
_START = "hooks"
_COMPILE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Finish:
    """The result of a beforeFinish callback: cancelled with a message, or not."""

    cancelled: bool
    message: str
    orders: Orders


class HookRunner:
    """Runs the hooks of one import; a context manager for one thread at a time.

    Every method raises HookFailed; after that, only close() works.
    """

    def __init__(self, hooks: Hooks, process: HookProcess, *, limits: HookLimits) -> None:
        self.hooks = hooks
        self._process = process
        self._limits = limits
        self._numbers = {hook.path: number for number, hook in enumerate(hooks.all())}

    @classmethod
    def start(
        cls,
        hooks: Mapping[str, Any],
        *,
        fields: Sequence[Mapping[str, Any]],
        limits: HookLimits | None = None,
        program: Path | None = None,
    ) -> Self:
        """Start the process and compile every hook of a schema's `hooks`, for its `fields`.

        `program` replaces the Deno of the extra. Raises ValueError for malformed hooks, HooksUnavailable without Deno,
        and HookFailed for a hook that does not compile.
        """
        parsed = Hooks.of(hooks)
        limits = limits or HookLimits()
        process = HookProcess(limits=limits, program=program)
        try:
            process.call(
                _START,
                {
                    "op": "start",
                    "hooks": [{"path": hook.path, "source": hook.source} for hook in parsed.all()],
                    "fields": [{"key": field["key"], "type": field.get("type")} for field in fields],
                    "replyMaxBytes": limits.reply_max_bytes,
                    "consoleMaxBytes": limits.console_max_bytes,
                },
            )
        except BaseException:
            process.close()
            raise
        return cls(parsed, process, limits=limits)

    @property
    def console(self) -> str:
        """What the hooks wrote to their console, up to the limit; complete after close()."""
        return self._process.console

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.close()

    def upload_step(self, *, filename: str | None, preview: Sequence[Sequence[str]], session: str | None) -> Orders:
        """Run the hooks of the upload step; `preview` are the file's first rows as read, at most 20."""
        data = {"filename": filename, "dataPreview": preview, "sessionId": session}
        return self._step("UPLOAD_STEP", data)

    def review_step(
        self, *, raw_headers: Sequence[str] | None, header_mapping: Mapping[str, str], fields: Mapping[str, Any]
    ) -> Orders:
        """Run the review step's hooks, before column hooks. `header_mapping` maps headers to field keys.

        `fields` is the metadata of each mapped field.
        """
        data = {"rawHeaders": raw_headers, "headerMapping": header_mapping, "fields": fields}
        return self._step("REVIEW_STEP", data)

    def review_step_post_hooks(self, *, header_mapping: Mapping[str, str], fields: Mapping[str, Any]) -> Orders:
        return self._step("REVIEW_STEP_POST_HOOKS", {"headerMapping": header_mapping, "fields": fields})

    def review_step_pre_submit(self, *, header_mapping: Mapping[str, str], fields: Mapping[str, Any]) -> Orders:
        return self._step("REVIEW_STEP_PRE_SUBMIT", {"headerMapping": header_mapping, "fields": fields})

    def column(
        self,
        hook: Hook,
        column: HookColumn,
        *,
        indexes: Sequence[int] | None = None,
        ids: Sequence[str] | None = None,
    ) -> Changes:
        """Run a column hook over a whole column; the returned infos are additions to a cell's own."""
        batch = Batch(columns=[column], indexes=range(len(column.texts)) if indexes is None else indexes, ids=ids)
        return self._changes(hook, {"op": "column", "batch": batch.to_wire()}, count=len(batch.indexes))

    def rows(self, hook: Hook, batch: Batch, *, mode: Mode = "init") -> Iterator[tuple[int, Changes]]:
        """Run a row hook over every row; yield (position of the part's first row, its changes) in order."""
        for start in range(0, len(batch.indexes), ROWS_PER_MESSAGE):
            part = batch if len(batch.indexes) <= ROWS_PER_MESSAGE else batch[start : start + ROWS_PER_MESSAGE]
            message = {"op": "rows", "mode": mode, "batch": part.to_wire()}
            yield start, self._changes(hook, message, count=len(part.indexes))

    def bulk(self, hook: Hook, batches: Iterable[Batch], *, mode: Mode = "init") -> Iterator[Changes]:
        """Run a bulk hook over all rows at once; return an iterator over the changes of each batch.

        The rows stay in the hook's process: `batches` may be read from disk one by one. The hook runs during the call,
        not during the iteration.
        """
        counts = self._load(hook, batches)
        self._call(hook, {"op": "bulkRun", "mode": mode})
        return (self._changes(hook, {"op": "bulkTake"}, count=count) for count in counts)

    def deleted(self, hook: Hook, batch: Batch) -> Orders:
        """Call a row delete hook for every row; its return value is ignored."""
        return self._orders(hook, self._call(hook, {"op": "deleted", "batch": batch.to_wire()}))

    def before_finish(self, rows: Iterable[Mapping[str, Any]], *, metadata: Mapping[str, Any]) -> Finish:
        """Call the beforeFinish callback with the rows to submit; without one, nothing is cancelled."""
        hook = self.hooks.before_finish
        if hook is None:
            return Finish(cancelled=False, message="", orders=Orders())
        for chunk in _chunks(rows):
            self._call(hook, {"op": "finishLoad", "rows": chunk})
        reply = self._call(hook, {"op": "finishRun", "metadata": metadata})
        return Finish(
            cancelled=reply.get("cancelled") is True,
            message=str(reply.get("message") or ""),
            orders=self._orders(hook, reply),
        )

    def _step(self, step: str, data: Mapping[str, Any]) -> Orders:
        orders = Orders()
        for hook in self.hooks.at_step(step):
            orders += self._orders(hook, self._call(hook, {"op": "step", "data": data}))
        return orders

    def _load(self, hook: Hook, batches: Iterable[Batch]) -> list[int]:
        """Send all rows of a bulk hook; return how many each batch had."""
        counts: list[int] = []
        for batch in batches:
            counts.append(len(batch.indexes))
            if sum(counts) > self._limits.bulk_max_rows:
                sentence = f"would get more than the {self._limits.bulk_max_rows} rows allowed for a bulk hook."
                raise HookFailed(hook.path, sentence, reason="memory")
            self._call(hook, {"op": "bulkLoad", "batch": batch.to_wire()})
        return counts

    def _call(self, hook: Hook, message: dict[str, Any]) -> dict[str, Any]:
        return self._process.call(hook.path, {**message, "hook": self._numbers[hook.path]})

    def _changes(self, hook: Hook, message: dict[str, Any], *, count: int) -> Changes:
        reply = self._call(hook, message)
        with _translated(hook):
            return Changes.of_wire(reply, count=count)

    def _orders(self, hook: Hook, reply: Mapping[str, Any]) -> Orders:
        with _translated(hook):
            return Orders.of_wire(reply.get("orders"))


@contextmanager
def _translated(hook: Hook) -> Iterator[None]:
    """Turn what a reply of another form than the driver's raises into HookFailed."""
    try:
        yield
    except TooDeep as error:
        raise too_deep(hook.path, error) from error
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise HookFailed(hook.path, "disturbed the program that runs it.", reason="ended") from error


def _chunks(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    chunk: list[Mapping[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def hook_problems(
    hooks: Mapping[str, Any], *, call_s: float = _COMPILE_S, program: Path | None = None
) -> list[tuple[str, str]]:
    """Return (path, sentence) for every hook that cannot run, in the schema's order, without an import.

    Evaluates each source with the limits of an import, but does not call it. Raises HooksUnavailable if there are hooks
    but no Deno.
    """
    problems = list(form_problems(hooks))
    if problems:
        return problems
    found = Hooks.of(hooks).all()
    if not found:
        return []
    with HookProcess(limits=HookLimits(call_s=call_s), program=program) as process:
        for hook in found:
            try:
                process.call(hook.path, {"op": "check", "source": hook.source})
            except HookFailed as failed:
                problems.append((failed.path, failed.sentence))
                if failed.reason != "compile":
                    break
    return problems
