"""Converts batches and items to DynamoDB rows and back.

An item stays below 1 KB, the size of one write unit, unless rows are left out of its result for many reasons.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from runner.ledger import rules
from runner.ledger.dynamodb import keys
from runner.ledger.dynamodb.keys import Row, Value, number, text, text_of
from runner.models import (
    OPEN_STATES,
    SENT_STATES,
    Batch,
    BatchState,
    HistoryEntry,
    Item,
    ItemKind,
    ItemState,
    RemoteImport,
)
from runner.row_counts import NO_ROWS, ROW_COUNTERS, RowTotals

MAX_ENTRIES = 40
MAX_REASON = 200
"""Longest reason that is stored, in characters."""

_CODES = {
    ItemState.QUEUED: "q",
    ItemState.PACKED: "a",
    ItemState.CREATING: "c",
    ItemState.CREATED: "b",
    ItemState.PROCESSING: "p",
    ItemState.NEEDS_REVIEW: "n",
    ItemState.SUCCEEDED: "s",
    ItemState.COLLECTED: "k",
    ItemState.FAILED: "f",
    ItemState.REJECTED: "r",
    ItemState.SKIPPED: "x",
    ItemState.UNCERTAIN: "u",
}
_STATES = {code: state for state, code in _CODES.items()}
_TEXTS = {
    "file_key": "fk", "version": "v", "binding": "b", "schema_id": "sc", "fingerprint": "f", "tag": "t",
    "original_filename": "n", "status": "ss", "import_id": "i", "review_url": "u", "error_code": "ec",
    "error_message": "em", "result": "re", "result_sha256": "rs", "earlier_batch_id": "eb", "earlier_import_id": "ei",
    "pack": "pa", "pack_import_id": "pi",
}  # fmt: skip
_NUMBERS = {
    "size_bytes": "sz", "revision": "r", "attempts": "a", "row_count": "rc", "rows_in": "ri", "pack_row": "pr",
    "pack_rows": "pn",
}  # fmt: skip
_KINDS = {ItemKind.JSON: "j", ItemKind.PACK: "p"}
"""The codes of kinds; a row without one is of a file."""

_KIND_OF = {code: kind for kind, code in _KINDS.items()}
_INSTANTS = {"intent_at": "ti", "created_at": "tc", "uploaded_at": "tu", "finished_at": "tf"}
_EMPTY_IF_ABSENT = frozenset({"file_key", "version", "binding"})
_HASHES = {"fingerprint": ("fh", "sha256:"), "result_sha256": ("rh", "")}
"""Texts that are usually a prefix and a SHA-256 in hex. If so, 32 bytes are stored under another name."""

_HEX = re.compile(r"[0-9a-f]{64}")
_COUNTER, _STATE_COUNT, _ROW_COUNT = "c_", "n_", "r_"
_COUNTED = "rt"
"""The attribute of items whose rows are in the totals of their batch; those of earlier versions lack it."""

_SHARDS = "sh"
"""The attribute with the number of shards that the counters of a batch have; batches without it have none."""

_OPEN_IN_DOUBT = sorted(OPEN_STATES, key=lambda state: state is ItemState.QUEUED)
"""The open states; a function that died may have left an item counted in the state that it came from: the first."""

_BATCH_TEXTS = {"source_uri": "su", "account": "ac", "out": "o"}


def item_row(item: Item, history: Sequence[HistoryEntry], *, token: bytes) -> Row:
    """Return the row of an item; `token` identifies the write."""
    row = keys.item_key(item.batch_id, item.source)
    group = keys.group_of(item.state)
    if group != keys.UNLISTED:
        row["gpk"] = {"S": f"{item.batch_id}#{group}"}
    row |= {
        "gsk": {"B": keys.ranked_place(item.rank, item.source)},
        "st": {"S": _CODES[item.state]},
        "w": {"B": token},
        "h": {"L": _entries(history)},
    }
    if item.kind in _KINDS:
        row["kd"] = {"S": _KINDS[item.kind]}
    if len(rules.source_key(item.source)) > keys.MAX_PLACE_BYTES:
        row["s"] = {"B": rules.source_key(item.source)}
    if item.state is ItemState.COLLECTED:
        row[_COUNTED] = {"BOOL": True}
    if item.left_out_reasons is not None:
        row["lr"] = {"S": rules.reasons_text(item.left_out_reasons)}
    if item.earlier_state is not None:
        row["es"] = {"S": _CODES[item.earlier_state]}
    if item.version_key:
        is_indexed = item.state in SENT_STATES and not item.file_key
        row["vk" if is_indexed else "k"] = {"S": item.version_key}
    row |= {short: number(value) for name, short in _NUMBERS.items() if (value := getattr(item, name)) is not None}
    row |= {short: number(rules.to_ms(value)) for name, short in _INSTANTS.items() if (value := getattr(item, name))}
    for name in _TEXTS:
        value = getattr(item, name)
        if value is not None and not (value == "" and name in _EMPTY_IF_ABSENT):
            short, stored = _short_text(name, value)
            row[short] = stored
    return row


def _short_text(name: str, value: str) -> tuple[str, Value]:
    short, prefix = _HASHES.get(name, ("", ""))
    if short and value.startswith(prefix) and _HEX.fullmatch(value, len(prefix)):
        return short, {"B": bytes.fromhex(value[len(prefix) :])}
    return _TEXTS[name], text(value)


def item_of(row: Row) -> Item:
    values: dict[str, Any] = {name: int(row[short]["N"]) for name, short in _NUMBERS.items() if short in row}
    values |= {name: rules.from_ms(int(row[short]["N"])) for name, short in _INSTANTS.items() if short in row}
    values |= {name: text_of(row[short]) for name, short in _TEXTS.items() if short in row}
    values |= {name: prefix + row[short]["B"].hex() for name, (short, prefix) in _HASHES.items() if short in row}
    version_key = row.get("vk") or row.get("k")
    return Item(
        batch_id=row["pk"]["S"].partition("#")[2],
        source=rules.source_of((row.get("s") or row["sk"])["B"]),
        kind=_KIND_OF[row["kd"]["S"]] if "kd" in row else ItemKind.FILE,
        rank=keys.rank_in(row["gsk"]["B"]),
        earlier_state=_STATES[row["es"]["S"]] if "es" in row else None,
        left_out_reasons=rules.reasons_of(row["lr"]["S"]) if "lr" in row else None,
        state=_STATES[row["st"]["S"]],
        version_key=version_key["S"] if version_key else "",
        **values,
    )


def entry(item: Item, *, at: int, reason: str) -> HistoryEntry:
    """Return the history entry of a transition; `at` is in ms."""
    return HistoryEntry(
        at=rules.from_ms(at),
        state=item.state,
        reason=reason,
        attempts=item.attempts,
        import_id=item.import_id,
    )


def bounded(history: Sequence[HistoryEntry]) -> list[HistoryEntry]:
    """Drop the oldest entries to keep MAX_ENTRIES, but never the first, the last, or one that changed the import."""
    kept = list(history)
    while len(kept) > MAX_ENTRIES:
        spare = next((n for n in range(1, len(kept) - 1) if kept[n].import_id == kept[n - 1].import_id), None)
        if spare is None:
            break
        del kept[spare]
    return kept


def _entries(history: Sequence[HistoryEntry]) -> list[Value]:
    """Encode each entry as bytes, relative to the entry before."""
    texts: list[Value] = []
    at, import_id = 0, None
    for step in history:
        now = rules.to_ms(step.at)
        bound = "" if step.import_id == import_id else "-" if step.import_id is None else f"={step.import_id}"
        line = f"{_CODES[step.state]}|{now - at}|{step.attempts or ''}|{bound}|{step.reason[:MAX_REASON]}"
        texts.append({"B": line.encode("utf-8", "surrogateescape")})
        at, import_id = now, step.import_id
    return texts


def history_of(row: Row) -> list[HistoryEntry]:
    steps: list[HistoryEntry] = []
    at, import_id = rules.from_ms(0), None
    for value in row["h"]["L"]:
        code, since, attempts, bound, reason = value["B"].decode("utf-8", "surrogateescape").split("|", 4)
        at += timedelta(milliseconds=int(since))
        if bound:
            import_id = None if bound == "-" else bound[1:]
        steps.append(
            HistoryEntry(at=at, state=_STATES[code], reason=reason, attempts=int(attempts or 0), import_id=import_id)
        )
    return steps


def batch_row(batch: Batch, *, token: bytes, number_in_order: int, shards: int = 0) -> Row:
    """Return the row of a new batch, without its configuration; see `batch_order` for the number."""
    row = keys.batch_key(batch.batch_id) | {"w": {"B": token}, "moves": number(0), "nr": number(number_in_order)}
    row |= {short: text(getattr(batch, name)) for name, short in _BATCH_TEXTS.items()}
    row |= {"ts": number(rules.to_ms(batch.started_at))} | ({_SHARDS: number(shards)} if shards else {})
    row |= {_COUNTER + name: number(count) for name, count in batch.counters.items()}
    changes, _ = batch_changes(
        batch.batch_id, {name: getattr(batch, name) for name in rules.BATCH_CHANGES - {"config"}}
    )
    return row | changes


def batch_changes(batch_id: str, changes: dict[str, Any]) -> tuple[Row, list[str]]:
    """Return the attributes to set for changed fields other than `config`, and the names of those to remove."""
    found: dict[str, Value | None] = {}
    for name, value in changes.items():
        match name:
            case "state":
                found["st"] = {"S": str(value)}
                complete = value == BatchState.COMPLETE
                found["gpk"] = None if complete else {"S": keys.INCOMPLETE}
                found["gsk"] = None if complete else {"B": batch_id.encode()}
            case "listed":
                found["l"] = {"BOOL": value}
            case "out":
                found["o"] = text(value)
            case "finished_at":
                found["tf"] = None if value is None else number(rules.to_ms(value))
            case "account":
                found["ac"] = text(value)
            case "reason":
                found["rn"] = None if value is None else text(value)
            case "exit_code":
                found["xc"] = None if value is None else number(value)
    return {k: v for k, v in found.items() if v is not None}, [k for k, v in found.items() if v is None]


def batch_order(row: Row) -> tuple[int, int]:
    """Return the sort key of a batch: its number in the order of creation, 0 in rows of 0.1.0, then its start."""
    return int(row.get("nr", number(0))["N"]), int(row["ts"]["N"])


def batch_of(row: Row, config: Row | None) -> Batch:
    finished, exit_code, reason = row.get("tf"), row.get("xc"), row.get("rn")
    return Batch(
        batch_id=row["sk"]["B"].decode(),
        config=text_of(config["config"]) if config else "",
        state=BatchState(row["st"]["S"]),
        listed=row["l"]["BOOL"],
        started_at=rules.from_ms(int(row["ts"]["N"])),
        finished_at=rules.from_ms(int(finished["N"])) if finished else None,
        exit_code=int(exit_code["N"]) if exit_code else None,
        reason=text_of(reason) if reason else None,
        number=batch_order(row)[0],
        counters={k.removeprefix(_COUNTER): int(v["N"]) for k, v in row.items() if k.startswith(_COUNTER)},
        **{name: text_of(row[short]) for name, short in _BATCH_TEXTS.items()},
    )


def counter(name: str) -> str:
    """Return the attribute name of one of `models.COUNTERS`."""
    return _COUNTER + name


def state_count(state: ItemState) -> str:
    """Return the attribute name for the number of items in a state."""
    return _STATE_COUNT + state


def shards_of(row: Row) -> int:
    """Return how many shards the counters of a batch have, 0 if they are in its own row."""
    return int(row.get(_SHARDS, number(0))["N"])


def moves_in(row: Row) -> int:
    """Return how many transactions a row of counters has counted."""
    return int(row.get("moves", number(0))["N"])


def with_counts(row: Row, others: Sequence[Row]) -> Row:
    """Return the row of a batch with the counters of other rows added to its own."""
    total: Counter[str] = Counter()
    for one in (row, *others):
        total.update({name: int(value["N"]) for name, value in one.items() if _is_sharded(name)})
    return row | {name: number(count) for name, count in total.items()}


def is_of_items(name: str) -> bool:
    """Return whether an attribute is the number of items in a state."""
    return name.startswith(_STATE_COUNT)


def _is_sharded(name: str) -> bool:
    return name == "moves" or name.startswith((_STATE_COUNT, _ROW_COUNT))


def counts_of(row: Row) -> dict[ItemState, int]:
    """Return {state: number of items}, never more in the open states than are open in all."""
    found = {state: int(row.get(state_count(state), number(0))["N"]) for state in ItemState}
    left = sum(found[state] for state in OPEN_STATES)
    for state in _OPEN_IN_DOUBT:
        found[state] = max(0, min(found[state], left))
        left -= found[state]
    return {state: count for state, count in found.items() if count > 0}


def row_counter(name: str) -> str:
    """Return the attribute name of one of `row_counts.ROW_COUNTERS`."""
    return _ROW_COUNT + name


def counted_rows(row: Row) -> RowTotals:
    """Return what an item has added to the rows of its batch."""
    return item_of(row).row_totals if _COUNTED in row else NO_ROWS


def row_totals_of(row: Row) -> RowTotals:
    """Return the rows of a batch's results."""
    counters = {name: int(row.get(row_counter(name), number(0))["N"]) for name in ROW_COUNTERS}
    return RowTotals.of(counts_of(row).get(ItemState.COLLECTED, 0), counters)


def orphan_row(orphan: RemoteImport, tag: str) -> Row:
    row = keys.key(f"ORPHAN#{tag}", orphan.import_id.encode()) | {"ss": text(orphan.status)}
    for name, value in (("sc", orphan.schema_id), ("n", orphan.original_filename)):
        if value is not None:
            row[name] = text(value)
    return row | ({"tc": number(rules.to_ms(orphan.created_at))} if orphan.created_at else {})


def orphan_of(row: Row) -> RemoteImport:
    return RemoteImport(
        import_id=row["sk"]["B"].decode(),
        status=text_of(row["ss"]),
        schema_id=text_of(row["sc"]) if "sc" in row else None,
        original_filename=text_of(row["n"]) if "n" in row else None,
        created_at=rules.from_ms(int(row["tc"]["N"])) if "tc" in row else None,
    )
