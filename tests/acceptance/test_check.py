"""`bulkhead check` says beforehand what `bulkhead run` then comes to, sends nothing, and can hold a run back."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.inbox import Workspace, assert_each_once, rows
from tests.acceptance.vendors import SandboxVendor
from tests.support.command import CANARY_KEY, Finished
from tests.support.engine import sheets, zipped
from tests.support.fork_server import ROOT

PACE = ("--create-quota", "1000/2s")
DAMAGED = b"PK\x03\x04 the rest of this workbook was lost"
ENDS = {"collected": "succeed", "needs_review": "review", "failed": "fail", "rejected": "reject", "skipped": "skip"}

Work = Callable[..., Workspace]


def predictions(finished: Finished) -> dict[str, str]:
    return {line["source"]: line["prediction"] for line in finished.events if line["event"] == "file_checked"}


def ends(work: Workspace) -> dict[str, str]:
    return {source: ENDS[state] for source, state in work.states().items()}


def last(finished: Finished) -> dict[str, Any]:
    assert finished.events[-1]["event"] == "check_finished"
    return finished.events[-1]


@pytest.fixture
def examples(work: Work, sandbox: SandboxVendor) -> Workspace:
    mine = work(sandbox)
    shutil.copytree(ROOT / "examples" / "schemas", mine.home / "schemas")
    shutil.copytree(ROOT / "examples" / "inbox", mine.inbox, dirs_exist_ok=True)
    shutil.copy(ROOT / "examples" / "bulkhead.toml", mine.home)
    return mine


def test_the_examples_end_as_the_check_says_and_the_rows_are_as_many(examples: Workspace) -> None:
    checked = examples.command("check", "inbox", "--schemas", "schemas/saved", "--json").expect(4)
    assert not (examples.home / ".bulkhead").exists()
    examples.command("run", "inbox", "--sandbox", "--out", "out").expect(4)

    assert predictions(checked) == ends(examples)
    predicted = {line["source"]: line for line in checked.events if line["event"] == "file_checked"}
    manifest = examples.manifest()
    for source, line in manifest.items():
        if line["state"] == "collected":
            assert line["row_count"] == predicted[source]["row_count"] - predicted[source]["removed_row_count"]
        if line["state"] in ("failed", "rejected"):
            assert (line["error_code"], line["error_message"]) == (
                predicted[source]["code"],
                predicted[source]["message"],
            )


@pytest.mark.slow
def test_messy_files_end_as_the_check_says(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.fill(3)
    mine.add("damaged.xlsx", DAMAGED)
    mine.add("headerless.csv", b"one,two\nthree,four\n")
    mine.add("no-name.csv", b"Email,Plan\na@b.example,x\n")
    mine.add("invalid.csv", b"Full Name,Email\nA,nowhere\nB,b@b.example\n")
    mine.add("all-invalid.csv", b"Full Name,Email\nA,nowhere\n")
    mine.add("blank.csv", b"\n\n  \n")
    mine.add("binary.txt", bytes(range(256)) * 40)
    mine.add("mixed.json", b'[{"name": "A"}, ["B"]]')
    mine.add("good.json", b'[{"name": "A", "email": "a@b.example"}]')
    mine.add("lines.ndjson", b'["A", "a@b.example"]\n["", "b@b.example"]\n')
    mine.add("utf16.csv", "Full Name,Email\nÅsa,a@b.example\n".encode("utf-16"))
    mine.add("notes.md", b"nothing")
    mine.add("empty.csv", b"")
    for schema in ("customers", "strict"):
        checked = mine.command("check", "inbox", "--schema-id", schema, "--json").expect(4)
        out = f"out-{schema}"
        mine.command("run", "inbox", "--schema-id", schema, "--out", out, *PACE).expect(4)
        manifest = mine.manifest(mine.home / out)
        assert predictions(checked) == {source: ENDS[line["state"]] for source, line in manifest.items()}


def test_what_was_sent_before_is_skipped_and_nothing_is_created(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(4)
    mine.command(*mine.arguments(*PACE)).expect(0)
    touched, *_, changed = sorted(files)
    mine.add(touched, files[touched])
    mine.add(changed, rows(70))
    before = sandbox.counters()["created_ids"]

    checked = mine.command("check", "inbox", "--schema-id", "customers", "--json").expect(0)
    assert predictions(checked) == {**dict.fromkeys(files, "skip"), changed: "succeed"}
    again = mine.command("check", "inbox", "--schema-id", "customers", "--again", "--json").expect(0)
    assert predictions(again) == dict.fromkeys(files, "succeed")
    assert sandbox.counters()["created_ids"] == before


def test_rows_that_would_be_lost_are_told_first_though_the_import_succeeds(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.add("invalid.csv", b"Full Name,Email\nA,nowhere\nB,b@b.example\n")
    finished = mine.command("check", "inbox", "--schema-id", "customers").expect(0)
    assert "1 row of 1 file that would succeed would be left out as invalid" in finished.text
    assert '"nowhere" (invalid.csv, row 1)' in finished.text
    hidden = mine.command("check", "inbox", "--schema-id", "customers", "--no-samples", "--report", "report.html", "-v")
    assert "nowhere" not in hidden.text + (mine.home / "report.html").read_text()


@pytest.mark.slow
def test_four_hundred_bad_files_read_as_three_problems_largest_first(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    for number in range(180):
        mine.add(f"a{number}.csv", f"Full name of customer,Email\nA{number},a@b.example\n".encode())
    for number in range(140):
        mine.add(f"b{number}.csv", f"Full Name,Email\nB,mail {number}\n".encode())
    for number in range(80):
        mine.add(f"c{number}.xlsx", DAMAGED + str(number).encode())
    clusters = last(mine.command("check", "inbox", "--schema-id", "strict", "--json").expect(4))["clusters"]
    assert [(one["file_count"], one["kind"]) for one in clusters if one["effect"] != "note"] == [
        (180, "not_mapped"),
        (140, "cell"),
        (80, "import_failed"),
    ]
    assert clusters[0]["advice"].startswith('Add "Full name of customer" to the alternateMatches of Full Name, if')


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["elsewhere", "--schema-id", "customers"], 3, "elsewhere does not exist"),
        (["inbox"], 2, "no schema is given"),
        (["inbox", "--schema-id", "customers", "--file-timeout", "soon"], 2, "--file-timeout soon"),
        (["inbox", "--schema-id", "customers", "--report", "no/such/report.html"], 2, "there is no directory no/such"),
        (["inbox", "--schema-id", "customers"], 0, "No file was found"),
        (["inbox", "--schema-id", "customers", "--fail-if-empty"], 9, "No file was found"),
        (["inbox", "--schema-id", "customers", "--api-url", "http://127.0.0.1:9/api/v1"], 5, "cannot connect"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_checked_is_said_with_the_code_of_a_run(
    work: Work, sandbox: SandboxVendor, arguments: list[str], code: int, said: str
) -> None:
    mine = work(sandbox)
    finished = mine.command("check", *arguments).expect(code)
    assert said in finished.text
    assert "Traceback" not in finished.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "key", "said"),
    [
        ([], "any", "does not accept the license key"),
        ([], CANARY_KEY, "the vendor has no saved schema absent"),
        (["--schemas", "inbox"], "", "inbox has no schema with the id absent"),
        ([], "", "--schemas DIR"),
    ],
    ids=["wrong key", "no such schema", "not in the directory", "no key"],
)
def test_a_missing_schema_ends_the_check_with_a_hint(
    work: Work, sandbox: SandboxVendor, arguments: list[str], key: str, said: str
) -> None:
    mine = work(sandbox)
    mine.fill(1)
    command = ["check", "inbox", "--schema-id", "absent", *arguments]
    finished = mine.command(*command, variables={"DROMO_LICENSE_KEY": key}).expect(7)
    assert said in finished.text
    assert "hint: " in finished.text


@pytest.mark.slow
def test_a_schema_that_no_file_needs_may_be_missing(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.fill(3)
    (mine.home / "bulkhead.toml").write_text(
        '[[routes]]\nmatch = "[abc]/**"\nschema_id = "customers"\n[[routes]]\nmatch = "z/**"\nschema_id = "absent"\n'
    )
    mine.command("check", "inbox").expect(0)
    mine.add("z/one.csv", rows(9))
    assert "no saved schema absent" in mine.command("check", "inbox").expect(7).text


def packages_without(name: str, directory: Path) -> Path:
    """Make a directory for PYTHONPATH with which Python, and its child processes, do not find one package."""
    installed, kept = Path(sysconfig.get_path("purelib")), directory / "kept"
    kept.mkdir()
    for path in installed.iterdir():
        if not path.name.startswith(name):
            (kept / path.name).symlink_to(path)
    (directory / "start").mkdir()
    code = f"import sys\nsys.path[:] = [{str(kept)!r} if path == {str(installed)!r} else path for path in sys.path]\n"
    (directory / "start" / "sitecustomize.py").write_text(code)
    return directory / "start"


@pytest.mark.slow
def test_without_a_library_the_command_to_type_is_named_and_its_files_are_not_judged(
    work: Work, sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    shutil.copy(ROOT / "examples" / "inbox" / "orders" / "q3.xlsx", mine.inbox)
    lacking = {"PYTHONPATH": f"{packages_without('python_calamine', mine.home.parent)}:{ROOT}"}
    finished = mine.command("check", "inbox", "--schema-id", "customers", "--json", variables=lacking).expect(4)
    assert "hint: pip install '.[sandbox]'" in finished.text
    assert (finished.events[0]["code"], finished.events[0]["judged"]) == ("check_library", False)
    events = mine.command(*mine.arguments(*PACE, "--check", "--json"), variables=lacking).events
    assert any("python-calamine is not installed" in event.get("message", "") for event in events)
    assert mine.states()["q3.xlsx"] == "needs_review"


@pytest.mark.slow
def test_hooks_end_a_file_as_they_do_in_a_run_unless_they_ask_for_what_is_denied_here(
    work: Work, sandbox: SandboxVendor
) -> None:
    hook = """async ({row}) => {
      if (row.name.value === "Bad") throw new Error("not Bad");
      if (row.name.value === "Far") await fetch("https://far.example/");
      return {row: {...row, name: {...row.name, value: row.name.value.toUpperCase()}}, index: 0};
    }"""
    mine = work(sandbox)
    (mine.home / "hooks.json").write_text(json.dumps({"rowHooks": [hook]}))
    for name in ("Good", "Bad", "Far"):
        mine.add(f"{name}.csv", f"Full Name,Email\n{name},a@b.example\n".encode())
    hooks = ("--hooks", "hooks.json")
    checked = mine.command("check", "inbox", "--schema-id", "customers", *hooks, "--json").expect(4)
    codes = {line["source"]: line["code"] for line in checked.events[:-1]}
    assert codes == {"Good.csv": None, "Bad.csv": "import_failed", "Far.csv": "check_network"}
    mine.command(*mine.arguments(*PACE, *hooks, "--check")).expect(4)
    assert mine.states() == {"Good.csv": "collected", "Bad.csv": "rejected", "Far.csv": "failed"}
    refused = mine.command("check", "inbox", "--schema-id", "customers", "--hook-hosts", "not a host").expect(2)
    assert "--hook-hosts" in refused.text


def test_a_reader_that_has_enough_ends_the_check_quietly(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.fill(300)
    command = f"{sys.executable} -m runner check inbox --schema-id customers --json | head -n 1"
    ended = subprocess.run(
        ["sh", "-c", command], cwd=mine.home, env=mine.command.environment, capture_output=True, timeout=60, check=True
    )
    assert (len(ended.stdout.splitlines()), ended.stderr) == (1, b"")


@pytest.mark.slow
def test_an_interrupted_check_says_what_it_has_found_so_far(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.fill(60)
    mine.add("z-large.csv", b"Full Name,Email\n" + b"A,a@b.example\n" * 6_000_000)
    with mine.command.start("check", "inbox", "--schema-id", "customers", "--jobs", "1", "--json") as running:
        assert running.until_lines(50)
        running.send(signal.SIGINT)
        finished = running.wait(20)
    assert finished.expect(130).stderr == b""
    summary = last(finished)
    assert (summary["interrupted"], summary["exit_code"]) == (True, 130)
    assert 50 <= summary["file_count"] < 61


def test_a_run_with_check_refuses_what_would_fail_and_sends_the_rest(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(3)
    mine.add("damaged.xlsx", DAMAGED)
    files["review.csv"] = b"Full Name,Email\nA,nowhere\n"
    mine.add("review.csv", files["review.csv"])
    mine.command(*mine.arguments(*PACE, "--check", schema="strict")).expect(4)

    line = mine.manifest()["damaged.xlsx"]
    assert (line["state"], line["error_code"], line["import_id"]) == ("rejected", "check_failed", None)
    assert "damaged" in line["error_message"]
    assert mine.states()["review.csv"] == "needs_review"
    assert_each_once(sandbox.received(), files)


SWALLOWED = b'Full Name,Email\nIda,"ida@host.example\nUwe,uwe@host.example"\nPia,pia@host.example\n'
WIDER = b"Full Name,Email\nMoss, Ida,ida@host.example\n"
ODD_FILES = {
    "swallowed.csv": (SWALLOWED, "succeed"),
    "wider.csv": (WIDER, "succeed"),
    "open.csv": (b'Full Name,Email\n"Ida,ida@host.example\n', "fail"),
    "page.csv": (b"<div>Please log in</div>", "fail"),
    "bundle.csv": (zipped([("a.csv", b"Full Name,Email\n")]), "fail"),
    "sheets.xlsx": (sheets(May=[["Full Name", "Email"], ["Ida", ""]], June=[["Full Name"], ["Uwe"]]), "review"),
    "formula.xlsx": (sheets(May=[["Full Name", "Email"], ["Ida", '="a@b.example"']]), "succeed"),
    "nuls.csv": (b"Full Name,Email\nIda,ida@host.example\n" + bytes(40), "succeed"),
}


def test_a_run_ends_as_the_check_says_for_files_that_the_engine_warns_of(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    for name, (content, _) in ODD_FILES.items():
        mine.add(name, content)
    checked = mine.command("check", "inbox", "--schema-id", "customers", "--json").expect(4)
    assert predictions(checked) == {name: prediction for name, (_, prediction) in ODD_FILES.items()}
    assert last(checked)["lost_data_file_count"] == 3
    told = {
        line["source"]: [(one["code"], one["first_row"]) for one in line["problems"] if one["kind"] == "warning"]
        for line in checked.events
        if line["event"] == "file_checked"
    }
    assert told["swallowed.csv"] == [("quoted_rows", 2)]
    assert told["wider.csv"] == [("rows_wider", 2)]
    assert told["formula.xlsx"] == [("formula_empty", 2)]
    assert told["nuls.csv"] == [("end_marks", 3)]
    mine.command(*mine.arguments(*PACE)).expect(4)
    assert predictions(checked) == ends(mine)


def test_a_run_with_check_refuses_files_whose_rows_would_be_lost_or_shifted(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(2)
    mine.add("swallowed.csv", SWALLOWED)
    mine.add("wider.csv", WIDER)
    files["nuls.csv"] = b"Full Name,Email\nIda,ida@host.example\n" + bytes(40)
    mine.add("nuls.csv", files["nuls.csv"])
    done = mine.command(*mine.arguments(*PACE, "--check", "--json")).expect(4)

    line = mine.manifest()["swallowed.csv"]
    assert (line["state"], line["error_code"], line["import_id"]) == ("rejected", "check_data_lost", None)
    assert "row 2" in line["error_message"]
    assert "host.example" not in line["error_message"]
    assert mine.manifest()["wider.csv"]["error_code"] == "check_data_lost"
    notices = [event for event in done.events if event["event"] == "notice"]
    assert [(one["code"], "nuls.csv" in one["message"]) for one in notices] == [("check_warning", True)]
    assert_each_once(sandbox.received(), files)


def test_samples_of_warnings_are_shown_unless_they_are_unwanted_and_never_logged(
    work: Work, sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    mine.add("wider.csv", WIDER)
    options = ("check", "inbox", "--schema-id", "customers")
    assert "Moss, Ida" in mine.command(*options).expect(0).text
    bare = mine.command(*options, "--no-samples").expect(0).text
    assert "row 2 of the file" in " ".join(bare.split())
    assert "Moss" not in bare
    logged = mine.command(*options, "--json", "--no-samples", "-v").expect(0)
    assert b"Moss" not in logged.stderr + logged.stdout


@pytest.mark.slow
def test_a_refused_file_stays_refused_until_a_redrive_sends_it_unchecked(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.fill(1)
    mine.add("damaged.xlsx", DAMAGED)
    mine.command(*mine.arguments(*PACE, "--check")).expect(4)
    mine.command("resume", mine.summary()["batch_id"], *PACE).expect(4)
    assert mine.states()["damaged.xlsx"] == "rejected"

    mine.command("redrive", "--state", "rejected").expect(0)
    mine.command("resume", *PACE).expect(4)
    assert mine.states()["damaged.xlsx"] == "failed"


@pytest.mark.slow
def test_a_run_killed_while_it_checks_comes_to_the_same_end(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(6)
    for number in range(6):
        mine.add(f"damaged-{number}.xlsx", DAMAGED + str(number).encode())
    with mine.command.start(*mine.arguments(*PACE, "--check", "--json", "--uploads", "1")) as running:
        assert running.until_event(lambda event: event.get("error_code") == "check_failed")
        running.kill()
    mine.command("resume", *PACE).expect(4)
    assert mine.states() == {
        **dict.fromkeys(files, "collected"),
        **{f"damaged-{number}.xlsx": "rejected" for number in range(6)},
    }
    assert_each_once(sandbox.received(), files)


def test_a_run_that_only_warns_sends_everything(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.fill(1)
    mine.add("damaged.xlsx", DAMAGED)
    events = mine.command(*mine.arguments(*PACE, "--check=warn", "--json")).expect(4).events
    (notice,) = [event for event in events if event["event"] == "notice"]
    assert (notice["code"], "damaged.xlsx" in notice["message"]) == ("check_failed", True)
    assert mine.states()["damaged.xlsx"] == "failed"
    wrong = mine.command(*mine.arguments(*PACE, "--check=maybe")).expect(2)
    assert "maybe" in wrong.text


def test_the_report_is_one_page_that_runs_and_loads_nothing(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    name = "<img src=x onerror=alert(1)>.csv"
    mine.add(name, b"Full Name,Email\n<script>alert(1)</script>,<script>alert(2)</script>\n")
    report = mine.inbox / "report.html"
    mine.command("check", "inbox", "--schema-id", "customers", "--report", report).expect(0)
    page = report.read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "default-src 'none'; style-src 'sha256-" in page
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in page
    mine.command("check", "inbox", "--schema-id", "customers", "--report", report).expect(0)
    assert list(mine.inbox.glob("*.tmp")) == []


def test_json_lines_are_a_line_a_file_and_a_last_one(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(120)
    finished = mine.command("check", "inbox", "--schema-id", "customers", "--json").expect(0)
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    assert sorted(line["source"] for line in lines[:-1]) == sorted(files)
    assert (lines[-1]["file_count"], lines[-1]["row_count"], lines[-1]["create_count"]) == (120, 360, 120)
    assert finished.stderr == b""


def test_a_named_encoding_is_that_of_check_run_and_resume(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    (mine.home / "fields.json").write_text('[{"key": "name", "label": "Name"}]', "utf-8")
    mine.add("czech.csv", "Name\r\nŘehoř\r\n".encode("cp1250"))
    mine.add("marked.csv", "Name\r\nŘehoř\r\n".encode("utf-8-sig"))
    mine.add("broken.csv", b"Name\r\nAnn\r\nR\x81hor\r\n")
    given = ("inbox", "--fields", "fields.json", "--encoding", "windows-1250")
    checked = mine.command("check", *given, "--json").expect(4)
    finished = mine.command("run", *given, "--sandbox", "--out", "out", *PACE).expect(4)

    assert (
        predictions(checked) == ends(mine) == {"czech.csv": "succeed", "marked.csv": "succeed", "broken.csv": "reject"}
    )
    encodings = {line["source"]: line["encoding"] for line in checked.events if line["event"] == "file_checked"}
    assert encodings == {"czech.csv": "cp1250", "marked.csv": "utf-8-sig", "broken.csv": None}
    for source in ("czech.csv", "marked.csv"):
        assert json.loads((mine.out / mine.manifest()[source]["result"]).read_bytes()) == [{"name": "Řehoř"}]
    broken = mine.manifest()["broken.csv"]
    assert (broken["error_code"], "0x81 at offset 12, in line 3" in broken["error_message"]) == (
        "not_in_encoding",
        True,
    )
    assert "1 rejected" in finished.text


def test_a_doubtful_encoding_is_told_with_the_option_to_type(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    (mine.home / "fields.json").write_text('[{"key": "name", "label": "Name"}]', "utf-8")
    mine.add("italian.csv", "Name\r\nCefalù\r\n".encode("cp1252"))
    text = mine.command("check", "inbox", "--fields", "fields.json").expect(0).text
    assert "ncoding unclear: cp1252 or cp1250" in text
    assert "--encoding cp1252 or --encoding cp1250" in text
