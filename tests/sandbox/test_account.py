"""Headers that earlier imports gave to fields are known to later ones that ask for it."""

import random

import orjson
import pytest

from sandbox.api_state import SandboxState
from sandbox.archive import Archive
from sandbox.storage import Storage
from tests.support.reviews import NO_COLUMNS, PEOPLE, in_review
from tests.support.sandbox import running_sandbox

T0 = 1_780_000_000.0
LATER = T0 + 60
ASKING = {"importIdentifier": "Customers", "autoMapHeaders": True}
TEACHING = [{"key": "name", "label": "Name", "type": "string", "alternateMatches": ["Kunde"]}]
LEARNING = [{"key": "name", "label": "Name", "type": "string"}]


def imported(state, fields, *, data=b"Kunde\nAda\n", settings=ASKING):
    """The id and status of an import of these fields."""
    body = {"fields": fields, "original_filename": "a.csv", "settings": settings}
    made = state.create(body, T0)
    state.put_upload(made["upload"], data, T0)
    for job in state.due_jobs(LATER):
        state.record_finished(job.import_id, state.run(job), LATER)
    return made["id"], state.retrieve(made["id"], LATER)["status"]


def rows(state, import_id):
    return orjson.loads(state.download(state.results_url(import_id, LATER)["presigned_url"], LATER).source)


def make_state():
    return SandboxState(random.Random(7), inline=False)


def test_a_later_import_knows_the_header():
    state = make_state()
    assert imported(state, LEARNING)[1] == "NEEDS_REVIEW"
    assert imported(state, TEACHING)[1] == "SUCCESSFUL"
    import_id, status = imported(state, LEARNING)
    assert (status, rows(state, import_id)) == ("SUCCESSFUL", [{"name": "Ada"}])


def test_the_setting_may_stand_among_those_of_its_step():
    state = make_state()
    imported(state, TEACHING)
    nested = {"importIdentifier": "Customers", "matchingStep": {"autoMapHeaders": True, "fuzzyMatchHeaders": False}}
    assert imported(state, LEARNING, settings=nested)[1] == "SUCCESSFUL"


@pytest.mark.parametrize(
    "settings",
    [
        {"importIdentifier": "Products", "autoMapHeaders": True},
        {"importIdentifier": "Customers", "autoMapHeaders": False},
        {"importIdentifier": "Customers"},
        {"autoMapHeaders": True},
    ],
)
def test_others_neither_know_nor_teach_it(settings):
    for teaching, learning in ((settings, ASKING), (ASKING, settings)):
        state = make_state()
        imported(state, TEACHING, settings=teaching)
        assert imported(state, LEARNING, settings=learning)[1] == "NEEDS_REVIEW"


def test_an_import_that_does_not_succeed_teaches_nothing():
    state = make_state()
    blocking = ASKING | {"invalidDataBehavior": "BLOCK_SUBMIT"}
    numbers = [TEACHING[0] | {"type": "number"}]
    teacher, status = imported(state, numbers, settings=blocking)
    assert status == "NEEDS_REVIEW"
    assert imported(state, LEARNING)[1] == "NEEDS_REVIEW"
    state.finish_review(teacher, LATER)
    assert imported(state, LEARNING)[1] == "SUCCESSFUL"


def test_the_latest_import_to_end_goes_first():
    state = make_state()
    imported(state, TEACHING)
    imported(state, [TEACHING[0] | {"key": "client"}])
    both = [*LEARNING, {"key": "client", "label": "Buyer", "type": "string"}]
    assert rows(state, imported(state, both)[0]) == [{"client": "Ada"}]


def test_every_column_of_a_field_of_many_is_known():
    state = make_state()
    tags = [{"key": "tags", "label": "Tags", "type": "string", "manyToOne": True}]
    imported(state, [tags[0] | {"alternateMatches": ["Merkmal", "Sorte"]}], data=b"Merkmal,Sorte\nx,y\n")
    assert rows(state, imported(state, tags, data=b"Sorte,Merkmal\nx,y\n")[0]) == [{"tags": ["x", "y"]}]


def test_rows_of_json_teach_nothing_and_a_reset_forgets():
    state = make_state()
    state.create({"fields": TEACHING, "initial_data": [{"name": "Ada"}], "settings": ASKING}, T0)
    assert imported(state, LEARNING)[1] == "NEEDS_REVIEW"
    imported(state, TEACHING)
    state.reset()
    assert imported(state, LEARNING)[1] == "NEEDS_REVIEW"


def test_a_restarted_sandbox_remembers(tmp_path):
    for life in range(2):
        archive = Archive(tmp_path / "a.sqlite", files=tmp_path / "files")
        state = SandboxState(random.Random(life), inline=False, storage=Storage(tmp_path / "files", generation=life))
        state.restore(archive.load(), archive)
        if life == 0:
            imported(state, [TEACHING[0] | {"key": "client"}])
            imported(state, TEACHING)
        else:
            assert imported(state, LEARNING)[1] == "SUCCESSFUL"
        archive.commit()
        archive.close()


def test_an_account_that_is_settled_only_when_asked_remembers_too():
    state = SandboxState(random.Random(7), inline=True)
    imported(state, TEACHING)
    assert imported(state, LEARNING)[1] == "SUCCESSFUL"


async def test_the_next_import_knows_what_a_person_mapped_also_after_a_restart(tmp_path):
    settings = ASKING | {"invalidDataBehavior": "BLOCK_SUBMIT"}
    mapping = {"column.0": "name", "column.1": "", "column.2": "country", "column.3": "credit"}
    async with running_sandbox(schemas=[PEOPLE], data=tmp_path) as box:
        person = await in_review(box, NO_COLUMNS, settings=settings)
        await person.send((await person.look()).form("/columns"), **mapping)
        await person.send((await person.look()).form("/submit"))
        assert (await person.ended())["status"] == "SUCCESSFUL"
    async with running_sandbox(schemas=[PEOPLE], data=tmp_path) as box:
        made = await box.create(schema_id="people", original_filename="people.csv", settings=settings)
        await box.put(made["upload"], NO_COLUMNS)
        assert (await box.ended(made["id"]))["status"] == "SUCCESSFUL"
        assert await box.rows(made["id"]) == await box.rows(person.import_id)
