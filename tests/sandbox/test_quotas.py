"""The sliding log against Django REST framework's own throttle."""

import pytest
from django.conf import settings as django_settings
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from sandbox.problems import throttled
from sandbox.quotas import Rate, SlidingLog, parse_rate

if not django_settings.configured:
    django_settings.configure(USE_I18N=False)

from rest_framework.exceptions import Throttled
from rest_framework.throttling import SimpleRateThrottle


class _Cache(dict):
    def set(self, key, value, _ttl):
        self[key] = list(value)


class _Vendor(SimpleRateThrottle):
    """The real throttle on a clock that the test sets."""

    def __init__(self, rate):
        self.rate = rate
        self.cache = _Cache()
        super().__init__()

    def get_cache_key(self, request, view):
        return "the account"

    def ask(self, now):
        self.timer = lambda: now
        if self.allow_request(None, None):
            return None
        return Throttled(self.wait())


GAPS_S = st.lists(st.one_of(st.floats(0, 10), st.sampled_from([0.0, 0.001, 3.0, 20.0, 60.0])), max_size=150)


@given(GAPS_S, st.sampled_from([("20/min", Rate(20, 60.0)), ("12/min", Rate(12, 60.0)), ("3/s", Rate(3, 1.0))]))
@examples(max_examples=200, deadline=None)
def test_the_log_admits_refuses_and_hints_as_django_rest_framework_does(gaps_s, rates):
    vendor, log, now = _Vendor(rates[0]), SlidingLog(rates[1]), 1_700_000_000.0
    for gap_s in gaps_s:
        now += gap_s
        refusal = vendor.ask(now)
        assert log.admit(now) == (refusal is None)
        if refusal is not None:
            ours = throttled(log.retry_after_s(now), now=now)
            assert ours.headers.get("Retry-After") == (str(refusal.wait) if refusal.wait else None)
            assert ours.body["detail"] == str(refusal.detail)


def test_a_lowered_rate_gives_no_hint_while_the_log_is_over_full():
    vendor, log = _Vendor("5/min"), SlidingLog(Rate(5, 60.0))
    for second in range(5):
        assert vendor.ask(1000.0 + second) is None
        assert log.admit(1000.0 + second)
    vendor.num_requests, log.rate = 2, Rate(2, 60.0)
    assert vendor.ask(1010.0).wait is None
    assert not log.admit(1010.0)
    assert log.retry_after_s(1010.0) is None
    assert "Retry-After" not in throttled(None, now=1010.0).headers


def test_a_request_exactly_one_window_later_passes():
    log = SlidingLog(Rate(1, 60.0))
    assert log.admit(1000.0)
    assert not log.admit(1059.999)
    assert log.admit(1060.0)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20/60s", Rate(20, 60.0)),
        ("20/60", Rate(20, 60.0)),
        ("20/minute", Rate(20, 60.0)),
        ("20/m", Rate(20, 60.0)),
        ("100/2h", Rate(100, 7200.0)),
        (" 5/DAY ", Rate(5, 86400.0)),
    ],
)
def test_a_rate_is_read_from_its_text(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "20", "20/", "/60s", "20/0s", "20/fortnight", "-1/60s", "20/60 s", "²/60s"])
def test_a_text_that_is_no_rate_is_refused(text):
    with pytest.raises(ValueError, match="rate"):
        parse_rate(text)
