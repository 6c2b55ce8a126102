"""The runs behind a review: when they start, what they leave, and that they survive a restart."""

import asyncio

import pytest

from sandbox.engine.outcome import Outcome
from sandbox.imports import Job, Review
from sandbox.review import routes
from sandbox.review.runs import ReviewRuns
from sandbox.runs import default_engine
from tests.support.receiver import running_receiver
from tests.support.reviews import BAD_CELLS, DEADLINE_S, PEOPLE, Person, cell, in_review
from tests.support.sandbox import running_sandbox

JOB = Job(import_id="a", source=b"", filename="", schema={}, user=None)
MARK = "Edited, not checked yet"


def test_a_run_that_is_wanted_while_one_is_under_way_follows_it(tmp_path):
    runs = ReviewRuns()
    runs.want("a", due_at=1.0)
    assert runs.next_due_at() == 1.0
    assert runs.due(0.5) == []
    assert runs.due(1.0) == ["a"]
    runs.begin(JOB, review=Review(decisions=tmp_path), draft_path=tmp_path)
    runs.want("a", due_at=2.0)
    assert runs.due(9.0) == []
    assert runs.next_due_at() is None
    assert runs.ended("a") is not None
    assert runs.due(9.0) == ["a"]


def test_a_later_request_moves_a_check_but_does_not_replace_a_submission(tmp_path):
    runs = ReviewRuns()
    runs.want("a", due_at=1.0)
    runs.want("a", due_at=5.0)
    assert runs.next_due_at() == 5.0
    runs.want("a", due_at=6.0, submits=True)
    runs.want("a", due_at=9.0)
    assert runs.next_due_at() == 6.0
    assert runs.is_submitting("a")
    runs.begin(JOB, review=Review(decisions=tmp_path), draft_path=tmp_path)
    assert runs.is_submitting("a")


async def test_in_a_large_import_a_cell_is_marked_until_the_check_that_follows_a_pause(monkeypatch):
    monkeypatch.setattr(routes, "BIG_ROW_COUNT", 2)
    async with running_sandbox(schemas=[PEOPLE]) as box:
        person = await in_review(box, BAD_CELLS)
        cells = (await person.look()).form("/cells")
        page = await person.send(cells, waits=False, **{cell(cells, 2, "email"): "cleo@example.com"})
        assert MARK in page.text
        assert "1 change is" in page.text
        assert "No problems found" not in page.text
        await box.control("POST", "/clock", json={"advance_s": 60})
        assert MARK not in (await person.look()).html


async def test_a_review_survives_the_sandbox(tmp_path):
    async with running_sandbox(schemas=[PEOPLE], data=tmp_path, workers=1) as box:
        person = await in_review(box, BAD_CELLS)
        cells = (await person.look()).form("/cells")
        await person.send(cells, **{cell(cells, 2, "email"): "cleo@example.com", "leave-out": "3"})
    async with running_sandbox(schemas=[PEOPLE], data=tmp_path, workers=1) as box:
        again = Person(box, person.import_id, box.server.origin + person.path)
        page = await again.look()
        assert "1 row has" in page.text
        assert page.form("/undo")
        await again.send(page.form("/cells"), **{"cell.1.0.name": "Bob", "cell.1.0.country": "Germany"})
        await again.send((await again.look()).form("/submit"))
        assert [row["email"] for row in await box.rows(person.import_id)] == [
            "ada@example.com",
            "bob@example.com",
            "cleo@example.com",
        ]
        assert sorted(path.name.split(".")[1] for path in (tmp_path / "files").iterdir()) == ["result", "upload"]


async def test_a_check_that_the_sandbox_did_not_get_to_runs_after_its_restart(tmp_path, monkeypatch):
    async with running_sandbox(schemas=[PEOPLE], data=tmp_path) as box:
        person = await in_review(box, BAD_CELLS)
        cells = (await person.look()).form("/cells")
        monkeypatch.setattr(routes, "BIG_ROW_COUNT", 0)
        page = await person.send(cells, waits=False, **{cell(cells, 2, "email"): "cleo@example.com"})
        assert MARK in page.text
    async with running_sandbox(schemas=[PEOPLE], data=tmp_path) as box:
        again = Person(box, person.import_id, box.server.origin + person.path)
        page = await again.look()
        assert MARK not in page.html
        assert "2 rows have" in page.text


async def test_a_finished_review_is_reported_by_webhook():
    async with running_receiver() as receiver, running_sandbox(schemas=[PEOPLE]) as box:
        await box.control("POST", "/webhooks", json={"url": receiver.url})
        person = await in_review(box, BAD_CELLS)
        cells = (await person.look()).form("/cells")
        page = await person.send(cells, **{"cell.1.0.name": "Bob", "cell.1.0.country": "France", "leave-out": "2"})
        page = await person.send(page.form("/cells"), **{"leave-out": "3"})
        await person.send(page.form("/submit"))
        bodies = await receiver.wait_for(2)
        assert [body["event"] for body in bodies] == ["headless_import_needs_review", "import_completed"]
        assert bodies[1]["data"]["num_data_rows"] == 2


@pytest.fixture
def engine_that_may_fail():
    """The engine, and a switch that lets it fail."""

    class Switched:
        fails = False

        def __call__(self, job):
            if self.fails:
                return Outcome(status="FAILED", rows=None, errors=[{"type": "FATAL", "message": "A hook threw <b>."}])
            return default_engine(job)

    return Switched()


async def test_a_check_that_fails_is_shown_and_loses_nothing(engine_that_may_fail):
    async with running_sandbox(schemas=[PEOPLE], engine=engine_that_may_fail) as box:
        person = await in_review(box, BAD_CELLS)
        cells = (await person.look()).form("/cells")
        engine_that_may_fail.fails = True
        page = await person.send(cells, **{cell(cells, 2, "email"): "cleo@example.com"})
        assert "The last check failed" in page.text
        assert "A hook threw <b>." in page.text
        assert MARK in page.html
        page = await person.send(page.form("/submit"))
        assert (await person.ended())["status"] == "NEEDS_REVIEW"
        engine_that_may_fail.fails = False
        page = await person.send(page.form("/check"))
        assert "The last check failed" not in page.text
        assert "2 rows have" in page.text


async def test_a_first_check_that_fails_can_be_tried_again(engine_that_may_fail):
    async with running_sandbox(schemas=[PEOPLE], engine=engine_that_may_fail) as box:
        person = await in_review(box, BAD_CELLS)
        engine_that_may_fail.fails = True
        page = await person.look()
        assert "could not be checked" in page.text
        engine_that_may_fail.fails = False
        assert "3 rows have" in (await person.send(page.form("/check"))).text


async def test_an_import_deleted_or_finished_during_a_check_leaves_no_file(engine_that_may_fail):
    async with running_sandbox(schemas=[PEOPLE], engine=engine_that_may_fail) as box:
        files = box.server.context.state.storage._directory
        person, other = await in_review(box, BAD_CELLS), await in_review(box, BAD_CELLS)
        for each in (person, other):
            await each.look()
        async with box.session.post(f"{person.url}/check", data={}, allow_redirects=False):
            pass
        await box.control("POST", f"/imports/{person.import_id}/finish")
        assert (await box.api("DELETE", f"/headless/imports/{other.import_id}/"))[0] == 204
        async with asyncio.timeout(DEADLINE_S):
            while box.server.context.state._busy:  # noqa: ASYNC110 - the engine's threads tell nobody else
                await asyncio.sleep(0.005)
        await box.control("GET", "/health")
        assert sorted(path.name.split(".")[1] for path in files.glob("*.blob")) == ["result", "upload"]


async def test_an_import_whose_review_nobody_opens_has_no_draft(engine_that_may_fail):
    async with running_sandbox(schemas=[PEOPLE], engine=engine_that_may_fail) as box:
        await in_review(box, BAD_CELLS)
        files = box.server.context.state.storage._directory
        assert sorted(path.name.split(".")[1] for path in files.glob("*.blob")) == ["result", "upload"]
