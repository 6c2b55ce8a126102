"""The hint after a mistake names what helps: the command, the option, or the form to write."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from runner.check import CheckTotals, FileCheck, Prediction
from runner.cli.app import COMMANDS, build
from runner.cli.check_summary import CheckReport, print_check
from runner.cli.examples import EXAMPLES, SECTIONS
from runner.cli.tables import print_redriven
from runner.config.settings import Settings
from runner.config.units import Rate
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.models import Batch, Item, ItemState

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 7, 23, 10, 15, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def bulkhead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, in a directory that has one file, `in/a.csv`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("a,b\n1,2\n")

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            build(arguments)([*arguments], prog_name="bulkhead")
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.mark.parametrize("options", [[], ["--schema-id", "s"]])
def test_explaining_a_directory_names_the_command_for_directories(bulkhead: Run, options: list[str]) -> None:
    ended = bulkhead("explain", "in", *options)
    assert ended.code == 2
    assert ended.err.startswith("error: in is a directory, and explain takes one file\n")
    assert "bulkhead plan in" in ended.err


def test_explaining_a_prefix_names_the_command_for_prefixes(bulkhead: Run) -> None:
    ended = bulkhead("explain", "s3://bucket/in/", "--schema-id", "s")
    assert ended.code == 2
    assert "bulkhead plan s3://bucket/in/" in ended.err


def test_a_directory_as_configuration_names_the_file_in_it(bulkhead: Run, tmp_path: Path) -> None:
    ended = bulkhead("plan", "in", "--config", ".")
    assert ended.code == 2
    assert f"error: the configuration file {tmp_path} is a directory\n" in ended.err
    assert "hint: name a file in it: --config bulkhead.toml" in ended.err
    (tmp_path / "conf").mkdir()
    assert "--config conf/bulkhead.toml" in bulkhead("plan", "in", "--config", "conf").err


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("[routes]\nname = 'a'", "write [[routes]] with two brackets, once for each route"),
        ("routes = 'a'", "write [[routes]] with two brackets, once for each route"),
        ("routes = ['a']", "write [[routes]] with two brackets, once for each route"),
        ("uploads = 'many'", "write a whole number"),
        ("uploads = 900", "write a value of at most 64"),
        ("uploads = 1.5", "write a whole number"),
        ("uploads = []", "write a whole number"),
        ("max_result = []", "write a size such as 500K, 10M or 1G"),
        ("bwlimit = 1", "write a value of at least 1024"),
        ("min_age = []", "write a duration such as 90s, 15m or 2h30m"),
        ("max_duration = 0", "write a value greater than 0"),
        ("filename_tag = 'perhaps'", "write true or false"),
        ("filename_tag = []", "write true or false"),
        ("order_by = 'age'", "write 'name', 'size' or 'mtime'"),
        ("track_by = 'age'", "write 'list' or 'ledger'"),
        ("schema_id = 1", "write a text in quotes"),
        ("schema_id = ''", "write a text that is not empty"),
        ("schema_id = ' '", "write a text that is not empty"),
        ("include = 1", "write a list of texts"),
        ("include = [1]", "write a list of texts"),
        ("create_quota = []", "write a count and a time, such as 20/60s or 20/minute"),
        ("max_failures = []", "write a number such as 10, or a share such as 5%"),
    ],
)
def test_a_value_of_a_wrong_form_says_what_to_write(bulkhead: Run, tmp_path: Path, line: str, sentence: str) -> None:
    (tmp_path / "bulkhead.toml").write_text(f"{line}\n")
    ended = bulkhead("config")
    assert ended.code == 2
    assert ended.err.rstrip().endswith(f": {sentence}")
    assert "nput should" not in ended.err


def test_an_address_without_the_path_of_the_api_is_noticed(bulkhead: Run) -> None:
    for url in ("http://127.0.0.1:9", "http://127.0.0.1:9/"):
        ended = bulkhead("plan", "in", "--schema-id", "s", "--api-url", url)
        assert "the API is usually at http://127.0.0.1:9/api/v1" in ended.err
    assert bulkhead("plan", "in", "--schema-id", "s", "--api-url", "http://127.0.0.1:9/api/v1").err == ""


def test_a_plan_and_a_check_without_files_name_the_filters(bulkhead: Run, tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text('[{"key": "a", "label": "a", "type": "string"}]')
    for command in ("plan", "check"):
        shown = bulkhead(command, "in", "--include", "zz*", "--fields", "f.json").out
        assert "no file was found; look at the source, and at --include, --exclude, and --min-age" in shown.lower()
    assert "no file was found" not in bulkhead("plan", "in", "--fields", "f.json").out.lower()


def test_a_plan_counts_what_it_does_not_list(bulkhead: Run, tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / "in" / f"{number:02}.pdf").touch()
    shown = bulkhead("plan", "in", "--schema-id", "s").out
    assert shown.count(".pdf\n") == 5
    assert "… and 25 more" in shown


def test_a_check_after_a_run_names_the_option_that_checks_unchanged_files() -> None:
    totals = CheckTotals()
    totals.take(FileCheck(source="a.csv", prediction=Prediction.SKIP))
    to = Console(file=io.StringIO(), width=100)
    summary = totals.summary(quota=Rate(20, 60.0), interrupted=False)
    print_check(to, CheckReport(summary=summary, fields={}, elapsed_s=1.0))
    assert "1 file not checked: unchanged since an earlier batch; --again checks all" in to.file.getvalue()  # type: ignore[attr-defined]


def test_files_that_a_check_leaves_out_as_unchanged_do_not_count_as_checked() -> None:
    totals = CheckTotals()
    totals.take(FileCheck(source="a.csv", prediction=Prediction.SKIP))
    totals.take(FileCheck(source="b.csv", prediction=Prediction.SUCCEED))
    to = Console(file=io.StringIO(), width=100)
    print_check(to, CheckReport(summary=totals.summary(quota=Rate(20, 60.0)), fields={}, elapsed_s=1.0))
    assert "Checked 1 of 2 files, " in to.file.getvalue()  # type: ignore[attr-defined]


def test_a_number_of_uploads_that_is_none_is_explained_as_in_a_file(bulkhead: Run) -> None:
    ended = bulkhead("run", "in", "--schema-id", "s", "--uploads", "many")
    assert (ended.code, ended.err) == (2, "error: uploads = many (flag): write a whole number\n")


def test_a_redrive_without_a_batch_names_the_one_it_took(bulkhead: Run, tmp_path: Path) -> None:
    asyncio.run(leave_batch(tmp_path / "l.db"))
    ended = bulkhead("redrive", "--state", "failed", "--ledger", "l.db", "--json")
    assert ended.out == '{"redriven":1}\n'
    ended = bulkhead("redrive", "--state", "failed", "--ledger", "l.db")
    assert ended.out == "0 items of batch b1 queued again\n"


def test_a_redrive_without_a_batch_takes_the_newest_that_has_such_items(bulkhead: Run, tmp_path: Path) -> None:
    asyncio.run(leave_batch(tmp_path / "l.db"))
    asyncio.run(leave_batch(tmp_path / "l.db", batch_id="b2", state=ItemState.COLLECTED))
    ended = bulkhead("redrive", "--state", "failed", "--ledger", "l.db")
    assert ended.out.startswith("1 item of batch b1 queued again\n")


def test_the_command_after_a_redrive_names_its_batch() -> None:
    to = Console(file=io.StringIO(), width=100)
    print_redriven(to, 2, batch_id="b1", options=" --ledger l.db")
    assert to.file.getvalue() == (  # type: ignore[attr-defined]
        "2 items of batch b1 queued again\nto send them: bulkhead resume b1 --ledger l.db\n"
    )


async def leave_batch(path: Path, *, batch_id: str = "b1", state: ItemState = ItemState.FAILED) -> None:
    ledger = SqliteLedger.open(path, now=lambda: NOW)
    await ledger.start_batch(
        Batch(batch_id=batch_id, source_uri="file:///in", account="a", out="out", config="{}", started_at=NOW)
    )
    await ledger.add([Item(batch_id=batch_id, source="a.csv", state=state, error_code="import_failed")])
    await ledger.close()


def test_the_list_of_commands_shows_the_first_paragraph_of_each(bulkhead: Run) -> None:
    listed = bulkhead("--help").out
    assert "repair it on" in " ".join(listed.split())
    assert "Exits with 12" not in listed
    assert "Exits with 12" in bulkhead("reconcile", "--help").out


@pytest.mark.parametrize("name", [name for name in COMMANDS if name in EXAMPLES])
def test_help_ends_with_an_example_and_a_page_that_exist(bulkhead: Run, name: str) -> None:
    text = bulkhead(*name.split(), "--help").out
    example, page = EXAMPLES[name]
    assert text.endswith(f"\nExample:\n  {example}\n\nDocumentation:\n  {page}\n")
    assert example.startswith(f"bulkhead {name}")
    assert (ROOT / page).is_file()
    assert all(f"  {word} " in text for word in example.split() if word.startswith("--"))


def test_help_names_the_variable_that_sets_the_same_as_an_option(
    bulkhead: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(bulkhead("run", "--help").out.split())
    named = re.findall(r"\[BULKHEAD_(\w+?)(=false)?\]", text)
    assert len(named) > 15
    of_options = {"config", "debug", "log_file", "stats", "stop_within"}
    assert {name.lower() for name, _ in named} <= Settings.model_fields.keys() | of_options
    assert "[BULKHEAD_FILENAME_TAG=false]" in text
    monkeypatch.setenv("BULKHEAD_FILENAME_TAG", "false")
    assert Settings.load({}).settings.filename_tag is False


def test_the_commands_are_listed_in_sections_and_the_first_says_where_to_start(bulkhead: Run) -> None:
    text = bulkhead("--help").out
    starts = [text.index(f"\n{title}:\n") for title in SECTIONS]
    assert starts == sorted(starts)
    assert text.index("\nStart here:\n") < text.index("\n  init ") < text.index("\nReviews and failures:\n")
    for name in {name.split()[0] for name in COMMANDS}:
        assert text.count(f"\n  {name} ") == 1


def test_a_dry_run_is_a_plan(bulkhead: Run, tmp_path: Path) -> None:
    dry = bulkhead("run", "in", "--schema-id", "s", "--dry-run")
    assert (dry.code, dry.out) == (0, bulkhead("plan", "in", "--schema-id", "s").out)
    assert dry.out.startswith("1 item, 1 import to create")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
