"""The review's pages over HTTP, as a browser without scripts uses them."""

import re

import pytest

from sandbox.review.forms import digest
from tests.support.reviews import BAD_CELLS, NO_COLUMNS, NO_HEADER, PEOPLE, TWO_SHEETS, cell, in_review
from tests.support.sandbox import running_sandbox

REMOVING = {"invalidDataBehavior": "REMOVE_INVALID_ROWS"}


@pytest.fixture
async def box():
    async with running_sandbox(schemas=[PEOPLE]) as running:
        yield running


async def test_cells_are_fixed_in_a_form_and_the_import_is_finished(box):
    person = await in_review(box, BAD_CELLS)
    page = await person.look()
    assert "3 rows have problems" in " ".join(page.text.split())
    cells = page.form("/cells")
    assert set(cells.fields) >= {"cell.1.0.name", "cell.2.0.email", "cell.3.0.credit"}
    fixes = {
        cell(cells, 1, "name"): "Bob",
        cell(cells, 1, "country"): "United States",
        cell(cells, 2, "email"): "cleo@example.com",
        cell(cells, 3, "country"): "France",
        cell(cells, 3, "credit"): "400",
    }
    page = await person.send(cells, **fixes)
    assert "No problems found" in page.text
    page = await person.send(page.form("/submit"))
    assert "The import is finished" in page.text
    assert (await person.ended())["status"] == "SUCCESSFUL"
    assert await box.rows(person.import_id) == [
        {"name": "Ada", "email": "ada@example.com", "country": "DE", "credit": 100},
        {"name": "Bob", "email": "bob@example.com", "country": "US", "credit": 200},
        {"name": "Cleo", "email": "cleo@example.com", "country": "FR", "credit": 300},
        {"name": "Dora", "email": "dora@example.com", "country": "FR", "credit": 400},
    ]


async def test_a_wrong_cell_says_so_to_a_screen_reader(box):
    person = await in_review(box, BAD_CELLS)
    page = await person.look()
    wrong = page.element("input", name="cell.2.0.email")
    assert wrong["aria-invalid"] == "true"
    assert wrong["aria-label"] == "Email, row 3"
    assert page.element("p", id=wrong["aria-describedby"])
    assert "aria-invalid" not in page.element("input", name="cell.2.0.name")
    assert page.element("select", name="cell.1.0.country")["aria-invalid"] == "true"


async def test_an_import_that_still_has_errors_is_not_finished_and_says_what_is_left(box):
    person = await in_review(box, BAD_CELLS)
    page = await person.send((await person.look()).form("/submit"))
    assert "not finished yet" in page.text
    assert "3 rows have" in page.text
    found = await person.ended()
    assert found["status"] == "NEEDS_REVIEW"
    assert len(found["import_errors"]) == 5


async def test_one_wrong_value_is_replaced_everywhere(box):
    person = await in_review(box, BAD_CELLS)
    form = (await person.look()).form("/replace", field="country", digest=digest("USA"))
    assert form.options["replacement"] == ["", "Germany", "France", "United States"]
    page = await person.send(form, replacement="United States")
    assert "Country: “USA” → “United States”" in page.text
    everything = await person.look("/rows?show=all")
    values = everything.form("/cells").fields
    assert [values[f"cell.{row}.0.country"] for row in range(4)] == [
        "Germany",
        "United States",
        "France",
        "United States",
    ]


async def test_all_rows_with_one_problem_are_left_out_and_undo_restores_them(box):
    person = await in_review(box, BAD_CELLS)
    page = await person.look()
    listed = next(
        form for form in page.forms if form.action.endswith("/leave-out") and "country" in form.fields["list"]
    )
    page = await person.send(listed)
    assert "2 rows left out" in page.text
    assert "1 row has" in page.text
    page = await person.send(page.form("/undo"))
    assert "3 rows have" in page.text
    assert not any(form.action.endswith("/undo") for form in page.forms)


async def test_a_single_row_is_left_out_and_other_typed_cells_are_saved(box):
    person = await in_review(box, BAD_CELLS)
    cells = (await person.look()).form("/cells")
    page = await person.send(cells, **{cell(cells, 2, "email"): "cleo@example.com", "leave-out": "1"})
    assert "cell.1.0.name" not in page.form("/cells").fields
    assert "1 row has" in page.text
    page = await person.send(page.form("/undo"))
    assert "3 rows have" in page.text


async def test_undo_takes_back_a_cell_and_the_one_before_it(box):
    person = await in_review(box, BAD_CELLS)
    for text in ("first", "second"):
        cells = (await person.look()).form("/cells")
        page = await person.send(cells, **{cell(cells, 2, "email"): text})
        assert page.form("/cells").fields["cell.2.0.email"] == text
    page = await person.send(page.form("/undo"))
    assert page.form("/cells").fields["cell.2.0.email"] == "first"
    page = await person.send(page.form("/undo"))
    assert page.form("/cells").fields["cell.2.0.email"] == "no address"


async def test_the_header_is_chosen_among_the_first_rows(box):
    person = await in_review(box, NO_HEADER)
    page = await person.look()
    assert "Which row contains the column names" in page.text
    assert "Export of 2026-11-24" in page.text
    page = await person.send(page.form("/header"), row="2")
    assert "Match the columns to fields" in page.text
    assert "Full name" in page.text


async def test_a_file_may_have_no_header_at_all(box):
    person = await in_review(box, b"7,a@example.com,France,9\n8,b@example.com,Germany,7\n")
    page = await person.send((await person.look()).form("/header"), row="none")
    assert "Match the columns to fields" in page.text
    assert "Last change: the file has no header" in page.text
    columns = page.form("/columns")
    assert [columns.fields[f"column.{at}"] for at in range(4)] == ["name", "email", "country", "credit"]
    page = await person.send(columns)
    assert "No problems found" in page.text
    assert "No problems found" in (await person.look()).text
    await person.send(page.form("/submit"))
    assert await box.rows(person.import_id) == [
        {"name": "7", "email": "a@example.com", "country": "FR", "credit": 9},
        {"name": "8", "email": "b@example.com", "country": "DE", "credit": 7},
    ]


async def test_a_file_without_a_header_may_get_one_after_all(box):
    person = await in_review(box, b"7,a@example.com,France,9\n8,b@example.com,Germany,7\n")
    await person.send((await person.look()).form("/header"), row="none")
    page = await person.look("/header")
    assert "The file has no header" in page.text
    page = await person.send(page.form("/header"), row="0")
    assert "a@example.com" in page.text
    page = await person.send(page.form("/undo"))
    assert "the file has no header" in page.text


async def test_more_rows_are_offered_if_the_header_may_be_further_down(box):
    person = await in_review(box, b"7,8,9,9\n" * 40)
    page = await person.look("/header")
    assert "Show 20 more rows" in page.text
    assert len([1 for tag, given in page.elements if given.get("type") == "radio"]) == 21
    page = await person.look("/header?all=1")
    assert len([1 for tag, given in page.elements if given.get("type") == "radio"]) == 41


async def test_columns_are_mapped_and_missing_fields_are_named(box):
    person = await in_review(box, NO_COLUMNS, settings=REMOVING)
    page = await person.look()
    assert "A required field has no column yet" in page.text
    form = page.form("/columns")
    assert "Anschrift" in page.text
    assert "bob@example.com" in page.text
    page = await person.send(form, **{"column.1": "email"})
    assert "A required field has no column yet" in page.text
    page = await person.send(page.form("/columns"), **{"column.0": "name", "column.2": "country", "column.3": "credit"})
    assert "No problems found" in page.text
    await person.send(page.form("/submit"))
    assert await box.rows(person.import_id) == [
        {"name": "Ada", "email": "ada@example.com", "country": "DE", "credit": 100},
        {"name": "Bob", "email": "bob@example.com", "country": "FR", "credit": None},
    ]


async def test_a_person_confirms_the_first_of_several_sheets_with_data(box):
    person = await in_review(box, TWO_SHEETS, settings=REMOVING)
    page = await person.look()
    assert "Several sheets have data" in page.text
    page = await person.send(page.form("/columns"))
    assert "No problems found" in page.text
    page = await person.send(page.form("/submit"))
    assert [row["name"] for row in await box.rows(person.import_id)] == ["Ada"]


async def test_a_field_given_to_two_columns_is_refused_with_a_sentence(box):
    person = await in_review(box, NO_COLUMNS)
    page = await person.send((await person.look()).form("/columns"), **{"column.0": "name", "column.1": "name"})
    assert person.status == 422
    assert "Full name is chosen for 2 columns" in page.text


async def test_it_says_how_many_rows_would_be_removed(box):
    person = await in_review(box, b"Wer,Anschrift\nAda,x\n,y\nBob,bob@example.com\n", settings=REMOVING)
    form = (await person.look()).form("/columns")
    page = await person.send(form, **{"column.0": "name", "column.1": "email"})
    assert "2 rows have problems" in " ".join(page.text.split())
    assert "They are left out of the import" in page.text
    await person.send(page.form("/submit"))
    assert await box.rows(person.import_id) == [{"name": "Bob", "email": "bob@example.com"}]


async def test_a_wrong_token_or_import_shows_the_same_page(box):
    person = await in_review(box, BAD_CELLS)
    wrong = [person.url[:-1] + ("0" if person.url[-1] != "0" else "1"), f"{box.server.origin}/review/none/token"]
    texts = set()
    for url in wrong:
        for step in ("", "/rows", "/header", "/columns", "/state"):
            async with box.session.get(url + step) as response:
                assert response.status == 404
                texts.add(await response.text())
        for step in ("cells", "replace", "leave-out", "undo", "submit", "check", "header", "columns"):
            async with box.session.post(f"{url}/{step}", data={"revision": "0"}) as response:
                assert response.status == 404
                texts.add(await response.text())
    assert len(texts) == 1
    assert person.url.rsplit("/", 1)[1] not in texts.pop()


async def test_every_answer_has_the_security_headers(box):
    person = await in_review(box, BAD_CELLS)
    answers = []
    page = await person.look()
    answers.append(person.headers)
    await person.look("/state/../rows")
    answers.append(person.headers)
    await person.send(page.form("/cells"), revision="nonsense")
    assert person.status == 400
    answers.append(person.headers)
    for headers in answers:
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
        assert headers["Cache-Control"] == "no-store"
    assert not re.search(r"<script(?![^>]*src=)|<style| style=| on[a-z]+=", page.html)


async def test_what_the_page_loads_comes_from_the_sandbox_itself(box):
    person = await in_review(box, BAD_CELLS)
    page = await person.look()
    loaded = [given.get("href") or given.get("src") for tag, given in page.elements if tag in {"link", "script"}]
    assert len(loaded) == 3
    for path in loaded:
        async with box.session.get(box.server.origin + path) as response:
            assert response.status == 200
            assert response.headers["X-Content-Type-Options"] == "nosniff"
    async with box.session.get(f"{box.server.origin}/_review/x/..%2froutes.py") as response:
        assert response.status == 404


async def test_a_form_of_another_site_is_refused(box):
    person = await in_review(box, BAD_CELLS)
    form = (await person.look()).form("/submit")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}):
        await person.send(form, headers=headers)
        assert person.status == 403
    await person.send(form, headers={"Sec-Fetch-Site": "same-origin", "Origin": "null"})
    assert person.status == 200


async def test_a_form_from_before_another_change_of_structure_gets_a_notice_and_changes_nothing(box):
    person = await in_review(box, BAD_CELLS)
    old = await person.look("/rows?show=all")
    columns = await person.look("/columns")
    await person.send(columns.form("/columns"), **{"column.3": ""})
    page = await person.send(old.form("/cells"), **{"cell.1.0.name": "Bob"})
    assert person.status == 409
    assert "changed in another window" in page.text
    assert page.form("/cells").fields["cell.1.0.name"] == ""
    for form in (old.form("/replace", field="country"), old.form("/submit"), columns.form("/columns")):
        await person.send(form, **({"replacement": "France"} if "replacement" in form.options else {}))
        assert person.status == 409


async def test_two_people_keep_their_own_cells_and_the_last_one_wins_in_the_same_cell(box):
    person = await in_review(box, BAD_CELLS)
    mine, other = (await person.look()).form("/cells"), (await person.look()).form("/cells")
    await person.send(mine, **{cell(mine, 1, "name"): "Bob", cell(mine, 2, "email"): "mine@example.com"})
    await person.send(other, **{cell(other, 2, "email"): "other@example.com"})
    values = (await person.look("/rows?show=all")).form("/cells").fields
    assert values["cell.1.0.name"] == "Bob"
    assert values["cell.2.0.email"] == "other@example.com"


@pytest.mark.parametrize(
    ("action", "changes"),
    [
        ("/cells", {"revision": ""}),
        ("/cells", {"revision": "-1"}),
        ("/cells", {"shown": "nonsense"}),
        ("/cells", {"shown": "[]"}),
        ("/cells", {"cell.1.0.nothing": "x"}),
        ("/cells", {"cell.999.0.name": "x", "shown": '{"999": {"name": ["y"]}}'}),
        ("/cells", {"cell.x": "x"}),
        ("/cells", {"leave-out": "999"}),
        ("/cells", {"leave-out": "9" * 30}),
        ("/cells", {"cell.1.0.name": "x" * 100_001}),
        ("/replace", {"at": "many"}),
        ("/leave-out", {"list": '["message", "name", "nothing"]'}),
    ],
)
async def test_a_form_that_the_page_cannot_have_sent_changes_nothing(box, action, changes):
    person = await in_review(box, BAD_CELLS)
    page = await person.look()
    form = next(each for each in page.forms if each.action.endswith(action))
    await person.send(form, **changes)
    assert person.status == 400
    assert "Last change" not in (await person.look()).text


async def test_header_and_columns_stay_within_the_file(box):
    person = await in_review(box, BAD_CELLS)
    await person.send((await person.look("/header")).form("/header"), row="999")
    assert person.status == 400
    await person.send((await person.look("/columns")).form("/columns"), **{"column.0": "no such field"})
    assert person.status == 400
    page = await person.send((await person.look("/rows")).form("/cells"))
    assert "Last change" not in page.text


async def test_nonsense_in_the_address_of_a_page_shows_its_first_rows(box):
    person = await in_review(box, BAD_CELLS)
    for query in (
        "?page=999",
        "?page=-1",
        "?page=" + "9" * 5000,
        "?show=%00",
        '?show=["message","x","y"]',
        "?show=[1,2,3]",
    ):
        page = await person.look("/rows" + query)
        assert person.status == 200
        assert "cell.1.0.name" in page.form("/cells").fields


async def test_a_review_of_json_rows_has_no_steps_but_its_values(box):
    created = await box.create(schema_id="people", initial_data=[{"name": "", "email": "a@example.com"}])
    found = await box.ended(created["id"])
    async with box.session.get(found["review_url"]) as response:
        assert "Header row" not in await response.text()


async def test_an_import_without_a_review_says_how_it_stands(box):
    created = await box.create(schema_id="people", original_filename="people.csv")
    token = box.server.context.state._account.imports[created["id"]].review_token
    async with box.session.get(f"{box.server.origin}/review/{created['id']}/{token}") as response:
        assert "nothing to review yet" in await response.text()
    person = await in_review(box, BAD_CELLS)
    await box.control("POST", f"/imports/{person.import_id}/finish")
    assert "The import is finished" in (await person.look()).text


async def test_hostile_values_are_shown_as_plain_text(box):
    hostile = "\"><script>alert('x')</script>&amp;{{ 7*7 }}\u202e=HYPERLINK(1)"
    quoted = '"' + hostile.replace('"', '""') + '"'
    content = f"Full name,Email,{quoted},Country\n,{quoted},{quoted},{quoted}\n".encode()
    person = await in_review(box, content, filename="<img src=x onerror=alert(1)>\u202e.csv")
    for step in ("", "/rows", "/columns", "/header"):
        page = await person.look(step)
        assert not [given for tag, given in page.elements if tag == "script" and "src" not in given]
        assert not [tag for tag, _ in page.elements if tag == "img"]
        assert "49" not in page.text
    cells = (await person.look("/rows")).form("/cells")
    assert cells.fields["cell.0.0.email"] == hostile
    page = await person.send(cells, **{"cell.0.0.name": hostile})
    everything = await person.look("/rows?show=all")
    assert everything.form("/cells").fields["cell.0.0.name"] == hostile


async def test_a_text_without_end_is_shown_in_part_and_can_be_replaced(box):
    person = await in_review(box, b"Full name,Email\nAda," + b"x" * 200_000 + b"\n")
    page = await person.look()
    assert len(page.html) < 50_000
    assert "cell.0.0.email" not in page.form("/cells").fields
    page = await person.send(page.form("/replace", field="email"), replacement="ada@example.com")
    assert "No problems found" in page.text


async def test_texts_that_html_cannot_represent_stay_unchanged_unless_edited(box):
    content = b'Full name,Email\n"two\nlines",x\n"  blanks\t ",y\n'
    person = await in_review(box, content)
    cells = (await person.look("/rows?show=all")).form("/cells")
    assert cells.fields["cell.0.0.name"] == "two\nlines"
    sent = {name: text.replace("\n", "\r\n") for name, text in cells.fields.items() if name.startswith("cell.")}
    page = await person.send(cells, **sent)
    assert "Last change" not in page.text


async def test_invisible_characters_of_a_wrong_value_are_shown(box):
    content = b"Full name,Email,Country,Credit limit\nAda,ada@example.com\xe2\x80\x8b,Atlantis\xe2\x80\x8b,7\n"
    person = await in_review(box, content)
    page = await person.look()
    assert r"ada@example.com\u200b" in page.text
    assert r"Invisible characters: ada@example.com\u200b" in " ".join(page.text.split())
    assert r"Atlantis\u200b" in page.text
    assert page.form("/cells").fields[cell(page.form("/cells"), 0, "email")] == "ada@example.com\u200b"
