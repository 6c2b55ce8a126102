"""The commands that move items: `run`, `resume`, and `track`."""

from __future__ import annotations

from runner.cli.arguments import ResumeArguments, RunArguments, TrackArguments


def run(args: RunArguments) -> None:
    """Import every file of a source, or resume its unfinished batch."""
    from runner.cli.run_command import drive

    drive(args, lambda bulkhead, loaded: bulkhead.run(args.spec(loaded)))


def resume(args: ResumeArguments) -> None:
    """Resume a batch that was interrupted, paused, or redriven."""
    from runner.cli.run_command import drive

    drive(args, lambda bulkhead, _: bulkhead.resume(args.batch, wait=args.wait))


def track(args: TrackArguments) -> None:
    """Collect the reviews that people have finished, and update the manifest."""
    from runner.cli.run_command import drive

    drive(args, lambda bulkhead, _: bulkhead.track(args.batch, watch=args.watch))
