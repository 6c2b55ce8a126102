"""EventMetrics: what the stages tell while they work, as figures for the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.events import CreateAnswered, CreateThrottled, Event, ItemMoved
from runner.models import ItemState

if TYPE_CHECKING:
    from runner.cloud.protocols import Metrics

_OF_STATE = {ItemState.COLLECTED: "ItemsCollected", ItemState.FAILED: "ItemsFailed"}


class EventMetrics:
    """A listener to the stages' events."""

    def __init__(self, gauges: Metrics) -> None:
        self._gauges = gauges

    def __call__(self, event: Event) -> None:
        match event:
            case CreateAnswered():
                self._gauges.gauge("CreatesAnswered", 1)
            case CreateThrottled():
                self._gauges.gauge("CreatesRefused", 1)
            case ItemMoved(new=state) if state in _OF_STATE:
                self._gauges.gauge(_OF_STATE[state], 1)
            case _:
                pass
