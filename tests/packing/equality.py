"""Packs the files of a world, imports the packs, splits the results, and compares them with an import of each file."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from runner.packing.body import PackBody
from runner.packing.member import Member, read_member
from runner.packing.planner import Candidate, PackLimits, PlannedAlone, PlannedPack, header_digest, plan_packs
from runner.packing.refusals import Refusal
from runner.packing.rules import PackRules, rules_of
from runner.packing.split import MemberResult, PackSplitter
from sandbox.engine import Outcome, run_import
from tests.packing.world import World

COMPARED = ("totalRows", "validRows", "invalidRows", "rowsWithError", "errors", "errorCount")
LIMITS = PackLimits(members=7, rows=200, canary_members=3)


@dataclass
class Account:
    """What became of the files of worlds, by kind and code; `packed` counts the compared files."""

    packed: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)
    packs: int = 0


def imported(raw: bytes, schema: dict[str, Any]) -> tuple[Outcome, bytes]:
    """Return how an import ends, and its result."""
    stream = io.BytesIO()
    outcome = run_import(raw, schema=schema, filename="a.csv", result=stream)
    return outcome, stream.getvalue()


def check(world: World, account: Account) -> None:
    """Raise AssertionError if a file's part of a pack is not what its own import gives."""
    rules = rules_of(world.route, world.saved)
    if isinstance(rules, Refusal):
        account.alone[rules.code] += len(world.files)
        return
    members: dict[str, Member] = {}
    for file in world.files:
        found = read_member(file.raw, rules)
        if isinstance(found, Refusal):
            assert file.kind.may_be_refused_as(found.code), (file.kind.name, found)
            account.alone[found.code] += 1
        else:
            assert file.kind.may_be_packed, (file.kind.name, "was not refused")
            members[file.tag] = found
    files = {file.tag: file for file in world.files}
    single = {tag: imported(files[tag].raw, world.schema) for tag in members}
    succeeding = [tag for tag in sorted(members) if single[tag][0].status == "SUCCESSFUL"]
    account.alone["predicted"] += len(members) - len(succeeding)
    for planned in plan_packs((_candidate(tag, members[tag]) for tag in succeeding), LIMITS):
        if isinstance(planned, PlannedAlone):
            account.alone[planned.refusal.code] += 1
        else:
            account.packs += 1
            _check_pack(world, rules, planned, members, single)
            account.packed.update(files[tag].kind.name for tag in planned.tags)


def _candidate(tag: str, member: Member) -> Candidate:
    return Candidate(
        tag=tag,
        route="all",
        binding="b",
        header=header_digest(member.header),
        date_order=member.date_order,
        row_count=member.row_count,
        size_bytes=member.size_bytes,
        unique_keys=member.unique_keys,
    )


def _check_pack(
    world: World,
    rules: PackRules,
    planned: PlannedPack,
    members: dict[str, Member],
    single: dict[str, tuple[Outcome, bytes]],
) -> None:
    body = PackBody((tag, members[tag]) for tag in planned.tags)
    assert body.size_bytes <= planned.size_bytes + 10_000
    fields, settings = body.marker.create_parts(fields=world.route.fields, settings=world.route.settings)
    schema = {
        "fields": list(fields) if fields is not None else world.fields,
        "settings": {**(world.settings if world.saved else {}), **(settings or {})},
        "hooks": {},
    }
    outcome, content = imported(body.content, schema)
    assert outcome.status == "SUCCESSFUL", outcome.errors
    splitter = PackSplitter(
        body.layout, column=body.marker, keeps_unmapped=rules.keeps_unmapped, behavior=rules.behavior
    )
    for at in range(0, len(content), 1_000):
        splitter.feed(content[at : at + 1_000])
    result = splitter.finish(outcome.metadata)
    assert not result.errors_are_cut
    assert [each.tag for each in result.members] == list(planned.tags)
    for each in result.members:
        _check_member(each, *single[each.tag])


def _check_member(found: MemberResult, outcome: Outcome, content: bytes) -> None:
    assert found.content == content, (found.content, content)
    assert {name: found.metadata[name] for name in COMPARED} == {name: outcome.metadata[name] for name in COMPARED}
