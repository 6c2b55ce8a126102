"""The commands that read the ledger and change nothing: `status`, `batches` and `manifest`."""

from __future__ import annotations

from runner.cli import options
from runner.cli.arguments import Arguments


def status(
    batch: options.BatchId = None,
    *,
    config: options.Config = None,
    ledger: options.Ledger = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Say how many items of a batch are in which state."""
    from runner.cli.json_output import status_document
    from runner.cli.query import look
    from runner.cli.tables import print_status

    given = Arguments(flags={"ledger": ledger}, config=config, json=json, verbose=verbose)
    look(given, lambda bulkhead, _: bulkhead.status(batch), show=print_status, document=status_document)


def batches(
    *,
    config: options.Config = None,
    ledger: options.Ledger = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """List the batches of the ledger, oldest first."""
    from runner.cli.json_output import status_document
    from runner.cli.query import look
    from runner.cli.tables import print_batches

    given = Arguments(flags={"ledger": ledger}, config=config, json=json, verbose=verbose)
    look(
        given,
        lambda bulkhead, _: bulkhead.batches(),
        show=print_batches,
        document=lambda found: [status_document(status) for status in found],
    )


def manifest(
    batch: options.BatchId = None,
    *,
    form: options.Form = "jsonl",
    config: options.Config = None,
    ledger: options.Ledger = None,
    verbose: options.Verbose = False,
) -> None:
    """Write the manifest of a batch, as it stands now, to stdout."""
    from runner.cli.json_output import write_pieces
    from runner.cli.query import look

    given = Arguments(flags={"ledger": ledger}, config=config, verbose=verbose)
    look(
        given,
        lambda bulkhead, _: write_pieces(bulkhead.manifest(batch, format=form)),
        show=lambda _console, _written: None,
    )
