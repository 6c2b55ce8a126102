"""A vendor that is down, a function that dies between create and bind, an unreadable message."""

from __future__ import annotations

from tests.acceptance.inbox import rows
from tests.support.cloud.functions import kill, processes_of, stop
from tests.support.cloud.running import Cloud, rolling
from tests.support.cloud.stack import until

LIFE_S = 20
"""With less than ten seconds left a function begins nothing new."""

WITHIN_S = 240.0
"""The vendor is asked once a minute, and a message may wait for two questions, for itself and for its result."""


def test_files_that_land_while_the_vendor_is_down_are_imported_once_it_is_back(cloud: Cloud) -> None:
    down = [{"operation": name, "kind": "error", "status": 503} for name in ("create", "retrieve", "list", "upload")]
    cloud.vendor.faults(*down)
    batch_id = rolling("down")
    with cloud.stack.short_lived("Submit", timeout_s=LIFE_S):
        files = cloud.land({f"down/{number}.csv": rows(number) for number in range(500, 504)})
        until(lambda: _is_logged(cloud, "the vendor does not answer"))
        assert cloud.vendor.received() == {}
        cloud.vendor.faults()
        cloud.expect(batch_id, dict.fromkeys(files, "collected"), within_s=WITHIN_S)
    assert _is_logged(cloud, "the vendor answers again")
    cloud.assert_imported(files, batch_id=batch_id)


def _is_logged(cloud: Cloud, text: str) -> bool:
    """Return whether a function that calls the vendor has logged a text."""
    return any(text in message for name in ("Submit", "Upload", "Collect") for message in cloud.stack.log(name))


def test_a_function_that_dies_between_create_and_bind_leaves_one_import_of_the_data(cloud: Cloud) -> None:
    batch_id = rolling("killed")
    cloud.vendor.faults({"operation": "create", "kind": "slow", "delay_s": 1, "times": 1})
    with cloud.stack.short_lived("Submit", timeout_s=LIFE_S):
        files = cloud.land({"killed/a.csv": rows(510)})
        until(lambda: cloud.vendor.counters()["faults"])
        dying = processes_of(cloud.stack, "Submit")
        stop(dying)
        (orphan,) = until(lambda: cloud.vendor.counters()["created_ids"])
        kill(dying)
        assert cloud.vendor.received() == {}
        cloud.expect(batch_id, dict.fromkeys(files, "collected"), within_s=90)
    assert cloud.vendor.counters()["created_ids"] == [orphan], "the import was not adopted"
    cloud.assert_imported(files, batch_id=batch_id)


def test_an_unreadable_message_reaches_the_dead_letter_queue_alone(cloud: Cloud) -> None:
    poison = '{"kind": "item_ref", "batch_id": 7}'
    batch_id = rolling("poison")
    with cloud.stack.impatient("Submit", receives=1):
        cloud.stack.send("Submit", poison)
        files = cloud.land({f"poison/{number}.csv": rows(number) for number in range(520, 524)})
        cloud.stack.send("Submit", "not even JSON")
        cloud.expect(batch_id, dict.fromkeys(files, "collected"))
        until(cloud.stack.is_quiet, within_s=90, what=cloud.stack.depths)
    assert sorted(cloud.stack.dead_letters()) == sorted([poison, "not even JSON"])
    cloud.assert_imported(files, batch_id=batch_id)
