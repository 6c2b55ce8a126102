"""Errors become a sentence, a hint and an exit code in one place."""

import asyncio

import pytest
import typer

from runner import errors
from runner.cli.errors import leading, reported
from runner.local.outcome import EXIT_CODES, ExitCode, exit_code_of


def subclasses(kind: type) -> set[type]:
    return {kind} | {inner for sub in kind.__subclasses__() for inner in subclasses(sub)}


def test_every_error_has_a_code_of_its_own() -> None:
    ours = {kind for kind in subclasses(errors.BulkheadError) if kind.__module__ == "runner.errors"}
    assert ours == EXIT_CODES.keys()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Unavailable("down"), ExitCode.TRY_AGAIN),
        (errors.StorageFull("full"), ExitCode.TRY_AGAIN),
        (errors.SinkFailed("broken"), ExitCode.TRY_AGAIN),
        (errors.AuthRefused("key"), ExitCode.FATAL),
        (errors.SchemaNotFound("schema"), ExitCode.FATAL),
        (errors.SourceNotFound("gone"), ExitCode.SOURCE_NOT_FOUND),
        (errors.ConfigError("wrong"), ExitCode.USAGE),
        (errors.LedgerLocked("held"), ExitCode.LEDGER_LOCKED),
        (errors.IllegalTransition("a", "failed", "collected"), ExitCode.UNEXPECTED),
    ],
)
def test_an_error_ends_the_command_with_its_code(
    error: errors.BulkheadError, code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, reported():
        raise error
    assert ended.value.exit_code == code
    assert capsys.readouterr().err == f"error: {error}\n"


def test_an_error_of_a_class_unknown_to_the_table_takes_the_code_of_its_nearest_ancestor() -> None:
    class Odd(errors.LedgerLocked):
        """Not in the table."""

    assert exit_code_of(Odd("held")) is ExitCode.LEDGER_LOCKED


def test_the_hint_follows_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), reported():
        raise errors.ConfigError("no schema is given", hint="use --schema-id")
    assert capsys.readouterr().err == "error: no schema is given\nhint: use --schema-id\n"


def test_control_characters_of_a_message_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), reported():
        raise errors.SourceNotFound("no such file: \x1b[2Jevil")
    assert capsys.readouterr().err == "error: no such file: \\x1b[2Jevil\n"


def test_an_unexpected_error_shows_its_kind_but_not_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, reported():
        raise KeyError("https://storage.example/?signature=secret")
    shown = capsys.readouterr().err
    assert ended.value.exit_code == ExitCode.UNEXPECTED
    assert "KeyError" in shown
    assert "secret" not in shown
    assert "Traceback" not in shown


def test_verbose_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), reported(verbose=True):
        raise KeyError("lost")
    assert "Traceback" in capsys.readouterr().err


def test_of_a_group_the_error_of_bulkhead_counts() -> None:
    group = ExceptionGroup("tasks", [ValueError("odd"), ExceptionGroup("inner", [errors.AuthRefused("key")])])
    assert isinstance(leading(group), errors.AuthRefused)


def test_a_group_without_an_error_of_bulkhead_is_named_after_its_first() -> None:
    assert isinstance(leading(ExceptionGroup("tasks", [ValueError("odd"), KeyError("b")])), ValueError)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, asyncio.CancelledError])
def test_an_interrupt_before_the_run_began_ends_with_130(kind: type[BaseException]) -> None:
    with pytest.raises(typer.Exit) as ended, reported():
        raise kind
    assert ended.value.exit_code == ExitCode.INTERRUPTED


def test_the_json_stream_gets_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    reported_errors: list[tuple[str, str | None, ExitCode]] = []
    with pytest.raises(typer.Exit), reported(on_error=lambda *error: reported_errors.append(error)):
        raise errors.LedgerLocked("another run holds it", hint="wait")
    assert reported_errors == [("another run holds it", "wait", ExitCode.LEDGER_LOCKED)]
