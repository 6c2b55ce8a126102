"""The commands about a source: `run`, `resume`, `track`, `plan`, `check`, and `explain`."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.arguments import (
    CheckArguments,
    ExplainArguments,
    PlanArguments,
    ResumeArguments,
    RunArguments,
    TrackArguments,
)

if TYPE_CHECKING:
    from runner.aws.s3 import S3Place
    from runner.bulkhead import Bulkhead
    from runner.config.settings import LoadedSettings


def run(args: RunArguments) -> Awaitable[None] | None:
    """Import every file of a source, or resume its unfinished batch."""
    if args.dry_run:
        return _plan(args)
    from runner.cli.run_command import drive

    drive(args, lambda bulkhead, loaded: bulkhead.run(args.spec(loaded)))
    return None


def resume(args: ResumeArguments) -> None:
    """Resume a batch that was interrupted, paused, or redriven."""
    from runner.cli.run_command import drive

    drive(args, lambda bulkhead, _: bulkhead.resume(args.batch, wait=args.wait))


def track(args: TrackArguments) -> None:
    """Collect the results of reviews that people have finished, and update the manifests."""
    from runner.cli.run_command import drive_tracking

    drive_tracking(args, args.batch, watch=args.watch)


def check(args: CheckArguments) -> None:
    """Predict which files would succeed, need review, or fail, and why; nothing is sent."""
    from runner.cli.check_command import check_source
    from runner.cli.session import default_engine

    check_source(args, lambda: default_engine(args.hook_hosts))


async def plan(args: PlanArguments) -> None:
    """Show what `run` would do: files by route, rejected files and why, creates, and how long they take."""
    await _plan(args)


async def _plan(args: PlanArguments | RunArguments) -> None:
    from runner.cli.json_output import plan_document
    from runner.cli.query import session
    from runner.cli.tables import print_plan

    async with session(args) as s:
        s.answer(await s.bulkhead.plan(args.spec(s.loaded)), print_plan, plan_document)


async def explain(args: ExplainArguments) -> None:
    """Show which route a file gets and why, and whether it would be sent, skipped, or rejected."""
    from runner.cli.json_output import explanation_document
    from runner.cli.query import session
    from runner.cli.tables import print_explanation

    _refuse_directory(args.file)
    async with session(args) as s:
        root = args.source or await _root_of(s.bulkhead, s.loaded, args.file)
        explanation = await s.bulkhead.explain(args.spec(s.loaded, source=root), args.file)
        s.answer(explanation, print_explanation, explanation_document)


def _refuse_directory(file: str) -> None:
    """Raise ConfigError if the name is that of a directory or a prefix, of which a plan shows all files."""
    from runner.aws.s3 import is_s3
    from runner.errors import ConfigError

    if is_s3(file) and file.endswith("/"):
        kind = "a prefix"
    elif not is_s3(file) and Path(file).is_dir():
        kind = "a directory"
    else:
        return
    raise ConfigError(
        f"{file} is {kind}, and explain takes one file",
        hint=f"`bulkhead plan {shlex.quote(file)}` shows what a run would do with all of its files",
    )


async def _root_of(bulkhead: Bulkhead, loaded: LoadedSettings, file: str) -> str:
    """Guess the directory or S3 prefix with which a run would import the file.

    It is the source of the newest batch that contains the file's path. If there is none, it is the outermost folder,
    within the current directory or the bucket, from which a route matches.
    """
    from runner.aws.s3 import S3Place, is_s3

    batches = await bulkhead.batches() if loaded.settings.ledger_is_there else []
    uris = [status.batch.source_uri for status in reversed(batches)]
    if is_s3(file):
        place = S3Place.parse(file)
        return _of_an_s3_batch(uris, place) or _of_an_s3_route(loaded, place)
    path = Path(file)
    return _of_a_batch(uris, path) or _of_a_route(loaded, path)


def _of_a_batch(source_uris: Iterable[str], file: Path) -> str | None:
    from runner.aws.s3 import is_s3
    from runner.sources.spec import local_path

    path = file.absolute()
    for uri in source_uris:
        if is_s3(uri):
            continue
        root = Path(local_path(uri))
        if root.is_dir() and path.is_relative_to(root):
            return str(root)
    return None


def _of_a_route(loaded: LoadedSettings, file: Path) -> str:
    from runner.config.routes import Routes

    path, here = file.absolute(), Path.cwd()
    routes = Routes.of(loaded)
    for root in reversed(path.parents):
        if root.is_relative_to(here) and routes.for_source(path.relative_to(root).as_posix()):
            return str(root)
    return str(path.parent)


def _of_an_s3_batch(source_uris: Iterable[str], file: S3Place) -> str | None:
    from runner.aws.s3 import S3Place, is_s3

    roots = [S3Place.of_uri(uri) for uri in source_uris if is_s3(uri)]
    return next((str(root) for root in roots if file == root or file.is_below(root)), None)


def _of_an_s3_route(loaded: LoadedSettings, file: S3Place) -> str:
    from runner.config.routes import Routes

    routes = Routes.of(loaded)
    *folders, name = file.key.split("/")
    for depth in range(len(folders)):
        if routes.for_source("/".join([*folders[depth:], name])):
            return str(replace(file, key="/".join(folders[:depth])).folder)
    return str(replace(file, key="/".join(folders)).folder)
