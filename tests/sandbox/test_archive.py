"""A sandbox that saves its account continues from it."""

import random
import sqlite3

import orjson
import pytest

from sandbox.api_state import SandboxState
from sandbox.app import ARCHIVE_NAME, SandboxServer
from sandbox.archive import Archive
from sandbox.data_dir import locked_data_dir
from sandbox.engine import Outcome
from sandbox.problems import ApiProblem, StorageProblem
from sandbox.quotas import Rate
from sandbox.settings import SandboxSettings
from sandbox.storage import Storage
from tests.support.receiver import running_receiver
from tests.support.sandbox import CUSTOMERS, running_sandbox

CSV = b"Full Name,Email,Credit Limit\nAda,ada@x.example,5\n"
FILE = {"schema_id": "customers", "original_filename": "a.csv"}
REVIEW = {**FILE, "settings": {"invalidDataBehavior": "BLOCK_SUBMIT"}}
T0 = 1_780_000_000.0


class Place:
    """A directory for one state after another; each ends without closing anything, like a killed process."""

    def __init__(self, directory):
        self.directory = directory
        self.archive = None

    def start(self, *, keep=100, schemas=(CUSTOMERS,), inline=True, engine=None, **settings):
        """Return a state that continues from the last commit."""
        if self.archive:
            self.archive.close()
        files = self.directory / "files"
        self.archive = Archive(self.directory / "a.sqlite", files=files)
        options = {"engine": engine} if engine else {}
        state = SandboxState(
            random.Random(self.archive.generation),
            settings=SandboxSettings(**settings),
            schemas=schemas,
            inline=inline,
            keep=keep,
            storage=Storage(files, generation=self.archive.generation),
            **options,
        )
        state.restore(self.archive.load(), self.archive)
        self.archive.commit()
        return state

    def commit(self, state):
        self.archive.commit()
        state.storage.purge()

    def files(self):
        return sorted(path.name for path in (self.directory / "files").iterdir())


@pytest.fixture
def place(tmp_path):
    found = Place(tmp_path)
    yield found
    if found.archive:
        found.archive.close()


def rows(state, import_id, now):
    url = state.results_url(import_id, now)["presigned_url"]
    with state.download(url, now).open() as stream:
        return orjson.loads(stream.read())


def test_every_answer_is_the_same_after_a_restart(place):
    state = place.start()
    waiting, failing, done, review, reviewed = (state.create(REVIEW, T0)["id"] for _ in range(5))
    for import_id, data in (
        (failing, b"PK\x03\x04"),
        (done, CSV),
        (review, b"Full Name,Email\nA,b\n"),
        (reviewed, b"Full Name,Email\nC,d\n"),
    ):
        state.put_upload(state.retrieve(import_id, T0)["upload"], data, T0)
    rows_import = state.create({"schema_id": "customers", "initial_data": [{"name": "Ada"}]}, T0)["id"]
    state.settle(T0 + 1)
    inline = state.create(
        {"fields": [{"key": "a"}], "original_filename": "ü.csv", "import_metadata": {"user": {"id": "1"}}}, T0
    )
    ids = [waiting, failing, done, review, reviewed, rows_import, inline["id"]]
    for import_id in ids[1:6]:
        state.retrieve(import_id, T0 + 1)
    place.archive.commit()
    before = (
        [state.retrieve(import_id, T0 + 2) for import_id in ids],
        state.list_imports(T0 + 2),
        state.schemas.all(),
    )
    place.archive.commit()
    again = place.start()
    assert [again.retrieve(import_id, T0 + 2) for import_id in ids] == before[0]
    assert (again.list_imports(T0 + 2), again.schemas.all()) == before[1:]
    assert [one["status"] for one in before[0]] == [
        "AWAITING_UPLOAD",
        "FAILED",
        "SUCCESSFUL",
        "NEEDS_REVIEW",
        "NEEDS_REVIEW",
        "SUCCESSFUL",
        "AWAITING_UPLOAD",
    ]
    assert rows(again, done, T0 + 2) == [{"name": "Ada", "email": "ada@x.example", "credit": 5}]
    assert rows(again, rows_import, T0 + 2) == [{"name": "Ada", "email": None, "credit": None}]


def test_a_finished_review_stays_finished(place):
    state = place.start(inline=False)
    import_id = state.create(REVIEW, T0)["id"]
    state.put_upload(state.retrieve(import_id, T0)["upload"], b"Full Name,Email\nA,b\n", T0)
    (job,) = state.due_jobs(T0)
    state.record_finished(import_id, state.run(job), T0 + 1)
    state.finish_review(import_id, T0 + 2)
    place.commit(state)
    again = place.start(inline=False)
    assert again.retrieve(import_id, T0 + 2)["status"] == "SUCCESSFUL"
    assert rows(again, import_id, T0 + 2) == [{"name": "A", "email": None}]


def test_counters_and_quotas_go_on(place):
    state = place.start(create_quota=Rate(3, 60.0))
    ids = [state.create(FILE, T0 + n)["id"] for n in (0, 0, 1)]
    with pytest.raises(ApiProblem):
        state.create(FILE, T0 + 2)
    with pytest.raises(ApiProblem):
        state.authenticate(None)
    for _ in range(12):
        state.retrieve(ids[0], T0 + 2)
    state.put_upload(state.retrieve(ids[1], T0 + 2)["upload"], CSV, T0 + 2)
    state.list_imports(T0 + 3)
    state.settle(T0 + 5)
    place.commit(state)
    again = place.start(create_quota=Rate(3, 60.0))
    assert again.counters.as_json() == state.counters.as_json()
    assert again.counters.create_times == [T0, T0, T0 + 1]
    for call in (lambda: again.create(FILE, T0 + 59), lambda: again.retrieve(ids[0], T0 + 59)):
        with pytest.raises(ApiProblem) as refusal:
            call()
        assert refusal.value.status == 429
    again.create(FILE, T0 + 60)


def test_presigned_urls_stay_valid_and_expire_when_they_said(place):
    state = place.start()
    one, other = (state.create(FILE, T0) for _ in range(2))
    place.commit(state)
    again = place.start()
    again.put_upload(one["upload"], CSV, T0 + 1800)
    with pytest.raises(StorageProblem) as refusal:
        again.put_upload(other["upload"], CSV, T0 + 1801)
    assert refusal.value.status == 403


def test_what_was_running_runs_again(place):
    state = place.start(inline=False)
    import_id = state.create(FILE, T0)["id"]
    state.put_upload(state.retrieve(import_id, T0)["upload"], CSV, T0)
    (job,) = state.due_jobs(T0)
    state.run(job)
    place.commit(state)
    again = place.start(inline=False)
    (job,) = again.due_jobs(T0 + 1)
    assert again.retrieve(import_id, T0 + 1)["status"] == "RUNNING"
    again.record_finished(import_id, again.run(job), T0 + 1)
    assert again.retrieve(import_id, T0 + 2)["status"] == "SUCCESSFUL"
    assert list(map(len, again.counters.ran.values())) == [1]


def test_what_was_not_committed_never_was(place):
    state = place.start()
    kept = state.create(FILE, T0)["id"]
    place.commit(state)
    state.put_upload(state.retrieve(kept, T0)["upload"], CSV, T0)
    state.create({"schema_id": "customers", "initial_data": [{"name": "x"}]}, T0)
    again = place.start()
    assert [one["status"] for one in again.list_imports(T0 + 5)["results"]] == ["AWAITING_UPLOAD"]
    assert again.counters.created_ids == [kept]
    assert place.files() == []


def test_a_replaced_upload_is_kept_until_the_new_one_is_saved(place):
    state = place.start(upload_lag_s=30.0)
    made = state.create(FILE, T0)
    state.put_upload(made["upload"], CSV, T0)
    place.commit(state)
    state.put_upload(made["upload"], b"Full Name\nEve\n", T0 + 1)
    again = place.start(upload_lag_s=30.0)
    assert rows(again, made["id"], T0 + 60)[0]["name"] == "Ada"


def test_an_end_that_was_not_reported_is_reported_after_the_restart(place):
    state = place.start(inline=False)
    made = state.create(FILE, T0)
    state.put_upload(made["upload"], CSV, T0)
    (job,) = state.due_jobs(T0)
    state.record_finished(made["id"], state.run(job), T0 + 1)
    place.commit(state)
    again = place.start(inline=False)
    (ended,) = again.due_announcements(T0 + 2)
    assert (ended.found.id, ended.status) == (made["id"], "SUCCESSFUL")
    place.archive.commit()
    assert place.start(inline=False).due_announcements(T0 + 3) == []


# What is not kept


def test_only_the_newest_imports_are_kept_and_the_files_of_others_are_deleted(place):
    state = place.start(keep=3, create_quota=Rate(100, 60.0))
    ids = []
    for number in range(5):
        ids.append(state.create(FILE, T0 + number)["id"])
        state.put_upload(state.retrieve(ids[-1], T0)["upload"], CSV, T0 + number)
        state.settle(T0 + number + 1)
        place.commit(state)
    for start in (lambda: state, lambda: place.start(keep=3)):
        found = start()
        assert [one["id"] for one in found.list_imports(T0 + 9)["results"]] == ids[:1:-1]
        assert found.counters.created_ids == ids[2:]
        assert found.counters.create_times == [T0 + 2, T0 + 3, T0 + 4]
        assert set(found.counters.puts) == set(found.counters.content) == set(ids[2:])
        assert list(found.counters.ran.values()) == [set(ids[2:])]
        assert len(place.files()) == 6
    less = place.start(keep=1)
    place.commit(less)
    assert less.list_imports(T0 + 9)["count"] == 1
    assert len(place.files()) == 2


def test_a_deleted_import_leaves_no_file(place):
    state = place.start()
    made = state.create(FILE, T0)
    state.put_upload(made["upload"], CSV, T0)
    state.settle(T0 + 1)
    state.delete(made["id"], T0 + 1)
    assert len(place.files()) == 2
    place.commit(state)
    assert place.files() == []
    assert place.start().list_imports(T0 + 2)["count"] == 0


def test_a_deleted_import_that_runs_leaves_no_file_once_it_has_run(place):
    state = place.start(inline=False)
    made = state.create(FILE, T0)
    state.put_upload(made["upload"], CSV, T0)
    (job,) = state.due_jobs(T0)
    state.delete(made["id"], T0)
    place.commit(state)
    state.record_finished(made["id"], state.run(job), T0 + 1)
    place.commit(state)
    assert place.files() == []


def test_a_reset_deletes_all_files_and_keeps_schemas(place):
    state = place.start()
    made = state.create(FILE, T0)
    state.put_upload(made["upload"], CSV, T0)
    state.schemas.create({"name": "New", "fields": [{"key": "a"}]})
    state.reset()
    place.commit(state)
    again = place.start()
    assert place.files() == []
    assert again.counters.as_json() == state.counters.as_json()
    assert again.list_imports(T0)["count"] == 0
    assert [schema["name"] for schema in again.schemas.all()] == ["Customers", "New"]


# Schemas


def test_schemas_are_kept_as_they_were_changed(place):
    state = place.start()
    made = state.schemas.create({"name": "New", "fields": [{"key": "a"}]})
    state.schemas.replace("customers", {**CUSTOMERS, "name": "Changed"})
    place.commit(state)
    again = place.start()
    assert [schema["name"] for schema in again.schemas.all()] == ["Changed", "New"]
    again.schemas.delete("customers")
    again.schemas.delete(made["id"])
    place.commit(again)
    assert place.start().schemas.all() == []


def test_a_schema_given_otherwise_than_before_replaces_the_kept_one(place):
    place.commit(place.start())
    again = place.start(schemas=[{**CUSTOMERS, "name": "Edited"}])
    assert [schema["name"] for schema in again.schemas.all()] == ["Edited"]
    place.commit(again)
    assert [schema["name"] for schema in place.start(schemas=[]).schemas.all()] == ["Edited"]


def test_an_import_keeps_the_schema_it_was_made_with(place):
    seen = []

    def engine(job):
        seen.append([field["key"] for field in job.schema["fields"]])
        return Outcome(status="SUCCESSFUL", rows=[])

    state = place.start(engine=engine)
    made = state.create(FILE, T0)
    state.schemas.replace("customers", {"name": "x", "fields": [{"key": "other"}]})
    place.commit(state)
    again = place.start(engine=engine)
    again.put_upload(made["upload"], CSV, T0)
    again.settle(T0 + 1)
    assert seen == [["name", "email", "credit"]]


# The whole server


async def test_a_server_continues_where_the_last_one_ended(tmp_path):
    async with running_receiver() as receiver:
        async with running_sandbox(data=tmp_path, seed=4) as box:
            registered = await box.control("POST", "/webhooks", json={"url": receiver.url})
            receiver.answers = [500]
            await box.control("POST", "/clock", json={"advance_s": 86400})
            first = await box.create(initial_data=[{"name": "Ada"}])
            await box.control("POST", "/clock", json={"advance_s": 1})
            await receiver.wait_for(1)
            now = (await box.control("GET", "/health"))["now"]
        async with running_sandbox(data=tmp_path, seed=4) as box:
            assert (await box.control("GET", "/health"))["now"] >= now
            assert await box.control("GET", "/webhooks") == [registered]
            assert (await box.create(initial_data=[]))["id"] != first["id"]
            (pending,) = [one for one in await box.control("GET", "/deliveries") if one["import_id"] == first["id"]]
            assert pending["event"] == "import_completed"
            await box.control("POST", "/clock", json={"advance_s": 60})
            assert first["id"] in [body["data"]["id"] for body in await receiver.wait_for(2)][1:]
            assert await box.rows(first["id"]) == [{"name": "Ada", "email": None, "credit": None}]


async def test_two_sandboxes_never_share_a_directory(tmp_path):
    async with running_sandbox(data=tmp_path):
        with pytest.raises(OSError, match="another sandbox uses"):
            async with SandboxServer(data=tmp_path):
                pytest.fail("started")


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be looked at " * 40, None])
async def test_a_file_that_is_no_archive_is_refused_in_a_sentence(tmp_path, content):
    path = tmp_path / ARCHIVE_NAME
    if content is None:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 77")
        connection.commit()
        connection.close()
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="sandbox"):
        async with SandboxServer(data=tmp_path):
            pytest.fail("started")
    with locked_data_dir(tmp_path):
        assert path.exists()


def test_an_outcome_with_thousands_of_errors_is_compressed_and_shown_complete(place):
    errors = [
        {
            "type": "VALIDATION",
            "message": "Must be unique",
            "rowIndex": number,
            "fieldKey": "email",
            "value": f"a{number}",
        }
        for number in range(10_000)
    ]
    outcome = Outcome(status="NEEDS_REVIEW", rows=[], errors=errors, metadata={"errors": errors, "totalRows": 10_000})
    state = place.start(engine=lambda _job: outcome)
    made = state.create({"schema_id": "customers", "initial_data": []}, T0)
    place.commit(state)
    for start in (lambda: state, lambda: place.start(engine=lambda _job: outcome)):
        found = start()
        shown = found.retrieve(made["id"], T0 + 9)
        assert (shown["import_errors"], shown["result_metadata"]) == (errors, outcome.metadata)
        assert len(found._account.imports[made["id"]].finished.packed) < 300_000
