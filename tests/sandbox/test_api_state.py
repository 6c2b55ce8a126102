"""The account as a state machine, without sockets and without a clock."""

import random

import orjson
import pytest

from sandbox.api_state import SandboxState
from sandbox.engine import Outcome
from sandbox.problems import ApiProblem, StorageProblem
from sandbox.quotas import Rate
from sandbox.settings import SandboxSettings
from tests.support.sandbox import CUSTOMERS

CSV = b"Full Name,Email,Credit Limit\nAda,ada@x.example,5\nBob,bob@x.example,7\n"
FILE = {"schema_id": "customers", "original_filename": "a.csv"}
INLINE = [{"key": "name", "label": "Name", "type": "string"}]
T0 = 1_780_000_000.0


def make_state(engine=None, **settings):
    options = {} if engine is None else {"engine": engine}
    return SandboxState(random.Random(7), settings=SandboxSettings(**settings), schemas=[CUSTOMERS], **options)


def statuses(state, import_id, *instants):
    return [state.retrieve(import_id, now)["status"] for now in instants]


def uploaded(state, *, data=CSV, now=T0, **body):
    made = state.create({**FILE, **body}, now)
    state.put_upload(made["upload"], data, now)
    return made["id"]


# Life of an import


def test_an_uploaded_import_passes_through_every_status_with_time():
    state = make_state(upload_lag_s=1.0, pending_s=2.0, running_s=3.0)
    made = state.create(FILE, T0)
    assert made["status"] == "AWAITING_UPLOAD"
    state.put_upload(made["upload"], CSV, T0 + 10)
    instants = [T0 + 10, T0 + 10.9, T0 + 11, T0 + 12.9, T0 + 13, T0 + 15.9, T0 + 16]
    assert statuses(state, made["id"], *instants) == [
        "AWAITING_UPLOAD",
        "AWAITING_UPLOAD",
        "PENDING",
        "PENDING",
        "RUNNING",
        "RUNNING",
        "SUCCESSFUL",
    ]


def test_modified_date_is_the_last_change_of_status():
    state = make_state(pending_s=2.0, running_s=3.0)
    import_id = uploaded(state, now=T0 + 10)
    shown = [state.retrieve(import_id, T0 + 10 + after)["modified_date"][17:26] for after in (0, 1, 2, 4, 5, 50)]
    assert shown == ["50.000000", "50.000000", "52.000000", "52.000000", "55.000000", "55.000000"]


def test_a_json_import_runs_at_the_create():
    state = make_state()
    made = state.create({"schema_id": "customers", "initial_data": [{"name": "Ada", "email": "a@b.example"}]}, T0)
    assert made["status"] == "PENDING"
    assert "upload" not in made
    assert "original_filename" not in made
    assert state.retrieve(made["id"], T0 + 1)["status"] == "SUCCESSFUL"
    url = state.results_url(made["id"], T0 + 1)["presigned_url"]
    assert orjson.loads(state.download(url, T0 + 1).source) == [{"name": "Ada", "email": "a@b.example", "credit": None}]


def test_an_import_lasts_as_long_as_is_set_when_its_data_arrive():
    state = make_state(pending_s=2.0, running_s=600.0)
    early, late = state.create(FILE, T0), state.create(FILE, T0)
    state.put_upload(early["upload"], CSV, T0)
    state.configure(SandboxSettings(pending_s=2.0, running_s=3.0))
    state.put_upload(late["upload"], CSV, T0)
    assert statuses(state, early["id"], T0 + 601, T0 + 602) == ["RUNNING", "SUCCESSFUL"]
    assert statuses(state, late["id"], T0 + 4, T0 + 5) == ["RUNNING", "SUCCESSFUL"]


def test_an_import_without_an_upload_waits_for_ever():
    state = make_state()
    made = state.create(FILE, T0)
    assert statuses(state, made["id"], T0 + 1800, T0 + 10**7) == ["AWAITING_UPLOAD"] * 2
    assert state.counters.ran == {}


def test_a_second_upload_replaces_the_first_while_the_import_waits():
    state = make_state(upload_lag_s=30.0)
    made = state.create(FILE, T0)
    state.put_upload(made["upload"], b"Full Name\nEve\n", T0)
    state.put_upload(made["upload"], b"Full Name\nAda\n", T0 + 29)
    assert state.retrieve(made["id"], T0 + 29.9)["status"] == "AWAITING_UPLOAD"
    assert state.retrieve(made["id"], T0 + 31)["status"] == "SUCCESSFUL"
    url = state.results_url(made["id"], T0 + 31)["presigned_url"]
    assert orjson.loads(state.download(url, T0 + 31).source) == [{"name": "Ada"}]
    assert state.counters.puts[made["id"]] == 2
    assert state.counters.ignored_puts[made["id"]] == 0


def test_a_late_upload_is_counted_and_changes_nothing():
    state = make_state()
    made = state.create(FILE, T0)
    state.put_upload(made["upload"], CSV, T0)
    state.put_upload(made["upload"], b"Full Name\nEve\n", T0 + 1)
    url = state.results_url(made["id"], T0 + 2)["presigned_url"]
    assert b"Ada" in state.download(url, T0 + 2).source
    assert (state.counters.puts[made["id"]], state.counters.ignored_puts[made["id"]]) == (2, 1)
    assert list(state.counters.ran.values()) == [{made["id"]}]


def test_a_finished_review_makes_the_import_successful_with_invalid_cells_as_null():
    state = make_state()
    import_id = uploaded(
        state, data=b"Full Name,Email\nAda,nowhere\nBob,b@x.example\n", settings={"invalidDataBehavior": "BLOCK_SUBMIT"}
    )
    waiting = state.retrieve(import_id, T0 + 1)
    assert waiting["status"] == "NEEDS_REVIEW"
    assert waiting["review_url"].startswith(f"http://sandbox.invalid/review/{import_id}/")
    assert [error["fieldKey"] for error in waiting["import_errors"]] == ["email"]
    with pytest.raises(ApiProblem):
        state.results_url(import_id, T0 + 1)
    state.finish_review(import_id, T0 + 100)
    finished = state.retrieve(import_id, T0 + 100)
    assert finished["status"] == "SUCCESSFUL"
    assert "review_url" not in finished
    url = state.results_url(import_id, T0 + 100)["presigned_url"]
    assert orjson.loads(state.download(url, T0 + 100).source) == [
        {"name": "Ada", "email": None},
        {"name": "Bob", "email": "b@x.example"},
    ]


def test_only_an_import_in_review_can_be_finished():
    state = make_state()
    import_id = uploaded(state)
    with pytest.raises(ApiProblem) as refusal:
        state.finish_review(import_id, T0 + 1)
    assert refusal.value.status == 409


def test_an_import_ends_only_when_the_engine_has():
    state = SandboxState(random.Random(1), schemas=[CUSTOMERS], inline=False)
    import_id = uploaded(state)
    (job,) = state.due_jobs(T0)
    assert state.due_jobs(T0) == []
    assert state.retrieve(import_id, T0 + 600)["status"] == "RUNNING"
    state.record_finished(import_id, state.run(job), T0 + 700)
    assert statuses(state, import_id, T0 + 699, T0 + 700) == ["RUNNING", "SUCCESSFUL"]


def test_a_deleted_import_is_gone_and_its_late_engine_run_is_dropped():
    state = SandboxState(random.Random(1), schemas=[CUSTOMERS], inline=False)
    import_id = uploaded(state)
    (job,) = state.due_jobs(T0)
    state.delete(import_id, T0 + 1)
    state.record_finished(import_id, state.run(job), T0 + 2)
    for call in (state.retrieve, state.results_url, state.delete):
        with pytest.raises(ApiProblem) as refusal:
            call(import_id, T0 + 3)
        assert (refusal.value.status, refusal.value.body) == (404, {"detail": "Not found."})
    assert state.list_imports(T0 + 3)["count"] == 0


def test_the_same_seed_gives_the_same_ids_and_urls():
    one, other = (make_state().create(FILE, T0) for _ in range(2))
    assert one == other


# Quotas


def test_the_twenty_first_create_in_a_minute_is_refused_with_a_hint():
    state = make_state()
    for second in range(20):
        state.create(FILE, T0 + second)
    with pytest.raises(ApiProblem) as refusal:
        state.create(FILE, T0 + 19.5)
    assert refusal.value.status == 429
    assert refusal.value.headers == {"Retry-After": "41"}
    state.create(FILE, T0 + 60)
    assert len(state.counters.create_times) == 21
    assert state.counters.refused_create_times == [T0 + 19.5]


@pytest.mark.parametrize(
    ("style", "headers"),
    [
        ("seconds", {"Retry-After": "41"}),
        ("date", {"Retry-After": "Thu, 28 May 2026 20:27:41 GMT"}),
        ("absent", {}),
    ],
)
def test_a_refusal_says_when_to_retry_in_the_configured_form(style, headers):
    state = make_state(create_quota=Rate(1, 60.0), retry_after=style)
    state.create(FILE, T0)
    with pytest.raises(ApiProblem) as refusal:
        state.create(FILE, T0 + 19.5)
    assert refusal.value.headers == headers


def test_a_create_that_fails_validation_counts_against_the_quota():
    state = make_state(create_quota=Rate(1, 60.0))
    with pytest.raises(ApiProblem) as invalid:
        state.create(b"{not json", T0)
    assert invalid.value.status == 400
    with pytest.raises(ApiProblem) as refusal:
        state.create(FILE, T0 + 1)
    assert refusal.value.status == 429


def test_a_bad_key_does_not_count_against_the_quota():
    state = make_state(license_key="right")
    for key, status in ((None, 401), ("", 401), ("wrong", 403)):
        with pytest.raises(ApiProblem) as refusal:
            state.authenticate(key)
        assert refusal.value.status == status
    state.authenticate("right")
    assert state.counters.create_times == []


def test_polls_are_limited_for_each_import_alone():
    state = make_state()
    one, other = (state.create(FILE, T0)["id"] for _ in range(2))
    for _ in range(12):
        state.retrieve(one, T0)
    with pytest.raises(ApiProblem) as refusal:
        state.retrieve(one, T0 + 59)
    assert refusal.value.status == 429
    assert state.retrieve(other, T0 + 59)["status"] == "AWAITING_UPLOAD"
    assert state.counters.polls == {one: 12, other: 1}
    assert state.counters.refused_polls == {one: 1}


# Create body


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"original_filename": "a.csv"}, 400),
        ({**FILE, "fields": INLINE}, 400),
        ({"schema_id": "customers"}, 400),
        ({**FILE, "initial_data": []}, 400),
        ({"schema_id": "nobody", "original_filename": "a.csv"}, 404),
        ({"schema_id": 5, "original_filename": "a.csv"}, 404),
        ({"schema_id": "customers", "original_filename": "  "}, 400),
        ({"fields": [], "original_filename": "a.csv"}, 400),
        ({"fields": [{"label": "no key"}], "original_filename": "a.csv"}, 400),
        ({"fields": INLINE * 2, "original_filename": "a.csv"}, 400),
        ({"schema_id": "customers", "initial_data": {"name": "Ada"}}, 400),
        ({"schema_id": "customers", "initial_data": [{"name": "Ada"}, ["Bob"]]}, 400),
        ({"schema_id": "customers", "initial_data": ["Ada"]}, 400),
        ({**FILE, "settings": []}, 400),
        ({**FILE, "settings": {"invalidDataBehavior": "IGNORE"}}, 400),
        ({**FILE, "import_metadata": {"user": {"name": "Ada"}}}, 400),
        ({**FILE, "import_metadata": {"user": {"id": "1", "age": 5}}}, 400),
        ([FILE], 400),
        (b"", 400),
    ],
)
def test_an_invalid_create_is_refused_and_makes_nothing(body, status):
    state = make_state()
    with pytest.raises(ApiProblem) as refusal:
        state.create(body, T0)
    assert refusal.value.status == status
    assert state.list_imports(T0)["count"] == 0


@pytest.mark.parametrize(
    "body",
    [
        FILE,
        {"fields": INLINE, "original_filename": "a.csv"},
        {**FILE, "fields": None, "initial_data": None, "import_metadata": None},
        {**FILE, "settings": {"aSettingFromTheFuture": 1}},
        {**FILE, "import_metadata": {"user": {"id": "1", "companyName": "X"}}},
        {"schema_id": "customers", "initial_data": [["Ada", "a@b.example", 5]]},
        {"schema_id": "customers", "initial_data": []},
    ],
)
def test_a_valid_create_makes_one_import(body):
    state = make_state()
    made = state.create(orjson.dumps(body), T0)
    assert state.counters.created_ids == [made["id"]]


def test_initial_data_over_15_mb_is_refused():
    state = make_state()
    row = {"name": "x" * (15 * 1024 * 1024)}
    with pytest.raises(ApiProblem) as refusal:
        state.create({"schema_id": "customers", "initial_data": [row]}, T0)
    assert "initial_data" in refusal.value.body


def test_settings_of_a_create_overwrite_those_of_the_saved_schema_key_by_key():
    seen = []

    def engine(job):
        seen.append(job.schema["settings"])
        return Outcome(status="SUCCESSFUL", rows=[])

    state = make_state(engine)
    state.schemas.replace("customers", {**CUSTOMERS, "settings": {"title": "Saved", "maxRecords": 5}})
    import_id = uploaded(state, settings={"maxRecords": 9})
    state.retrieve(import_id, T0 + 1)
    assert seen == [{"title": "Saved", "maxRecords": 9}]


# List


def test_the_list_shows_the_newest_first_and_pages_by_limit_and_offset():
    state = make_state()
    ids = [state.create(FILE, T0 + n * 10)["id"] for n in range(5)]
    page = state.list_imports(T0 + 60, limit="2", offset="2")
    assert [entry["id"] for entry in page["results"]] == [ids[2], ids[1]]
    assert page["count"] == 5
    assert page["next"] == "http://sandbox.invalid/api/v1/headless/imports/?limit=2&offset=4"
    assert page["previous"] == "http://sandbox.invalid/api/v1/headless/imports/?limit=2"
    assert set(page["results"][0]) == {
        "id",
        "schema_id",
        "status",
        "original_filename",
        "created_date",
        "modified_date",
    }


@pytest.mark.parametrize(("limit", "size"), [(None, 100), ("0", 100), ("x", 100), ("-3", 100), ("150", 150)])
def test_a_limit_that_is_no_number_is_as_if_it_was_not_given(limit, size):
    state = make_state(create_quota=Rate(1000, 60.0))
    for _ in range(200):
        state.create(FILE, T0)
    assert len(state.list_imports(T0, limit=limit)["results"]) == size


def test_a_page_never_has_more_than_1000_entries():
    state = make_state(create_quota=Rate(2000, 60.0))
    for _ in range(1001):
        state.create(FILE, T0)
    page = state.list_imports(T0, limit="5000")
    assert len(page["results"]) == 1000
    assert page["next"].endswith("?limit=1000&offset=1000")


# Switches


def test_a_retrieve_signs_a_new_upload_url_unless_configured_otherwise():
    fresh, stale = make_state(), make_state(fresh_upload_url=False)
    for state, renewed in ((fresh, True), (stale, False)):
        made = state.create(FILE, T0)
        again = state.retrieve(made["id"], T0 + 1700)["upload"]
        assert (again != made["upload"]) == renewed
        if renewed:
            state.put_upload(again, CSV, T0 + 3000)
        else:
            with pytest.raises(StorageProblem):
                state.put_upload(again, CSV, T0 + 3000)


def test_keys_that_do_not_apply_are_left_out_or_null():
    assert "review_url" not in make_state().create(FILE, T0)
    assert make_state(absent_as_null=True).create(FILE, T0)["review_url"] is None


def test_a_reset_forgets_imports_and_counters_but_not_schemas():
    state = make_state(create_quota=Rate(1, 60.0))
    uploaded(state)
    state.reset()
    assert state.list_imports(T0)["count"] == 0
    assert state.counters.created_ids == []
    state.create(FILE, T0)


# The oracle


def test_the_counters_show_which_imports_ran_a_content():
    state = make_state()
    ids = {uploaded(state) for _ in range(2)}
    other = uploaded(state, data=b"Full Name\nEve\n")
    state.settle(T0 + 1)
    assert sorted(map(len, state.counters.ran.values())) == [1, 2]
    assert ids in state.counters.ran.values()
    assert state.counters.content[other] not in {state.counters.content[found] for found in ids}
    for import_id in ids:
        state.delete(import_id, T0 + 2)
    assert ids in state.counters.ran.values()
    assert orjson.loads(orjson.dumps(state.counters.as_json()))["puts"] == dict.fromkeys([*ids, other], 1)
