"""Alarms and dashboard use metrics that exist, and the runbook has an entry for each alarm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tests.support.alarms import alarms
from tests.support.template import METRICS, ROOT, RUNBOOK, references, template

QUOTA_WORDS = "Creates per minute"
PERIODS_S = (60, 300, 3600)
TOPICS = {
    kind.lower(): {"Fn::If": [f"Has{kind}Topic", {"Ref": f"{kind}TopicArn"}, {"Ref": "AlarmTopic"}]}
    for kind in ("Page", "Ticket")
}


def test_every_alarm_has_an_entry_in_the_runbook_and_every_entry_an_alarm() -> None:
    alarms = {name.removesuffix("Alarm") for name in template().of_type("AWS::CloudWatch::Alarm")}
    entries = re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert len(entries) == len(set(entries))
    assert set(entries) == alarms


def test_every_entry_of_the_runbook_says_what_to_check_and_what_to_run() -> None:
    for entry in RUNBOOK.read_text().split("\n### ")[1:]:
        lower = entry.lower()
        assert "*check*" in lower, entry.split("\n")[0]
        assert "*run*" in lower, entry.split("\n")[0]


def test_there_are_at_most_ten_alarms_each_a_page_or_a_ticket_that_goes_to_its_own_topic() -> None:
    assert len(alarms()) <= 10
    for name, alarm in alarms().items():
        (action,) = alarm.actions["ALARM"]
        assert action == TOPICS[alarm.severity], name
        assert alarm.actions["OK"] == [action]
        assert alarm.properties["AlarmDescription"].endswith(".")


def test_an_alarm_on_a_missing_metric_ends_by_itself_or_says_that_it_has_no_data() -> None:
    for name, alarm in alarms().items():
        (action,) = alarm.actions["ALARM"]
        no_data = alarm.properties["TreatMissingData"] == "missing"
        assert no_data == (name == "ReconcileMissing")
        assert alarm.actions["INSUFFICIENT_DATA"] == ([action] if no_data else [])
        assert no_data or alarm.properties["TreatMissingData"] == "notBreaching"


def test_the_runbook_lists_an_alarm_below_its_severity() -> None:
    pages, tickets = RUNBOOK.read_text().split("\n## Pages\n")[1].split("\n## Tickets\n")
    for severity, text in (("page", pages), ("ticket", tickets)):
        entries = set(re.findall(r"^### (\w+)$", text, re.MULTILINE))
        assert entries == {name for name, alarm in alarms().items() if alarm.severity == severity}


def test_alarms_and_dashboard_use_the_metrics_that_the_functions_write() -> None:
    assert set(_used()) <= _documented()


def test_the_dashboard_shows_every_metric_of_the_functions() -> None:
    assert {(name, service) for name, service in _on_dashboard()} == _documented()


def test_every_dead_letter_queue_and_every_function_has_an_alarm() -> None:
    watched = {name for alarm in template().of_type("AWS::CloudWatch::Alarm").values() for name in references(alarm)}
    assert set(template().functions()) <= watched
    assert {name for name in template().of_type("AWS::SQS::Queue") if name.endswith("DeadLetterQueue")} <= watched


def test_the_dashboard_refers_to_what_is_in_the_template_and_shows_creates_against_the_quota() -> None:
    known = template().resources.keys() | template().parameters.keys()
    text, values = template().resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    known |= values.keys()
    text = {"Fn::Sub": text}
    assert {name for name in references(text) if not name.startswith("AWS::")} <= known
    widgets = _widgets()
    assert any(QUOTA_WORDS in widget["properties"].get("title", "") for widget in widgets)
    taken = [(w["x"] + dx, w["y"] + dy) for w in widgets for dx in range(w["width"]) for dy in range(w["height"])]
    assert len(taken) == len(set(taken)), "two widgets overlap"
    assert all(w["properties"]["period"] in PERIODS_S for w in widgets if w["type"] == "metric")


def test_widgets_of_functions_show_every_function() -> None:
    shown = [
        set(re.findall(r"\$\{(\w+Function)\}", json.dumps(widget)))
        for widget in _widgets()
        if "AWS/Lambda" in json.dumps(widget)
    ]
    assert len(shown) == 3
    assert all(functions == template().functions().keys() for functions in shown)


def test_the_cost_table_counts_the_alarms_and_metrics_there_are() -> None:
    text = (ROOT / "infra" / "cost.md").read_text()
    rows = re.findall(r"^\| (Metrics|Metrics in alarms) \| (\d+) ", text, re.MULTILINE)
    in_alarms = sum(len(alarm.metrics) for alarm in alarms().values())
    assert {name: int(count) for name, count in rows} == {
        "Metrics": len(_documented()),
        "Metrics in alarms": in_alarms,
    }


def _documented() -> set[tuple[str, str]]:
    """Return (metric, function) of each row of the table in metrics.md."""
    rows = re.findall(r"^\| `(\w+)` \| \w+ \| ([\w, ]+) \|", METRICS.read_text(), re.MULTILINE)
    return {(metric, function) for metric, functions in rows for function in functions.split(", ")}


def _used() -> Iterator[tuple[str, str]]:
    yield from _on_dashboard()
    for alarm in alarms().values():
        yield from ((metric.name, metric.place) for metric in alarm.metrics.values() if metric.namespace == "Bulkhead")


def _on_dashboard() -> Iterator[tuple[str, str]]:
    for widget in _widgets():
        for namespace, name, *rest in widget["properties"].get("metrics", []):
            if namespace == "Bulkhead":
                assert rest[0] == "service"
                yield name, rest[1].removeprefix("${AWS::StackName}-")


def _widgets() -> list[dict]:
    return json.loads(template().resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"][0])["widgets"]
