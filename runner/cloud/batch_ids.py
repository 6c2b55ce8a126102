"""Names of the batches that the stack drives: the rolling batch of a day and folder, and that of a load."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from runner import identity

ROLLING = "landed-"
_NO_FOLDER = "all"
_LONGEST_SLUG = 40
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")
_DAY = re.compile(rf"{ROLLING}(\d{{8}})-")


def slug(name: str) -> str:
    """Return a name as lower-case letters, digits and dashes, 40 at most; empty where nothing of it is left."""
    return _NOT_PLAIN.sub("-", name.lower()).strip("-")[:_LONGEST_SLUG].rstrip("-")


def rolling_id(source: str, at: datetime) -> str:
    """Name the batch of a file that landed, such as `landed-20260723-orders`: its day (UTC) and first folder.

    Folders whose names are the same once they are made plain are told apart by a few characters of a hash.
    """
    folder, found, _ = source.partition("/")
    plain = slug(folder) if found else _NO_FOLDER
    day = at.astimezone(UTC).strftime("%Y%m%d")
    if found and plain != folder:
        plain = f"{plain}-{identity.short(folder)}".lstrip("-")
    return f"{ROLLING}{day}-{plain}"


def is_rolling(batch_id: str) -> bool:
    return _DAY.match(batch_id) is not None


def day_is_over(batch_id: str, now: datetime, *, grace: timedelta = timedelta()) -> bool:
    """Tell whether no file can land any more that belongs to a rolling batch."""
    found = _DAY.match(batch_id)
    if found is None:
        return True
    day = datetime.strptime(found[1], "%Y%m%d").replace(tzinfo=UTC)
    return now >= day + timedelta(days=1) + grace


def load_id(uri: str, name: str, at: datetime) -> str:
    """Name the batch of a load, such as `nightly-20260723-020000-k3f9x2`: the same for the same uri, name and time."""
    plain = slug(name) or "load"
    plain = f"load-{plain}" if f"{plain}-".startswith(ROLLING) else plain
    return f"{plain}-{identity.batch_id(f'{name} {uri}', at)}"
