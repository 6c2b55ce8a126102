"""Fields of all kinds in a review: several columns in one, long and open lists of options, hooks, left-out columns."""

import pytest

from tests.support.reviews import cell, in_review
from tests.support.sandbox import running_sandbox

BLOCK = {"invalidDataBehavior": "BLOCK_SUBMIT"}
OPTIONS = [{"label": f"Option {number}", "value": f"o{number}"} for number in range(60)]


def schema(*fields, **more):
    return {"id": "people", "name": "People", "fields": list(fields), "settings": BLOCK, **more}


async def test_each_column_of_a_field_with_several_is_corrected_by_itself():
    tags = {"key": "nr", "label": "Nr", "type": "number", "manyToOne": True}
    async with running_sandbox(schemas=[schema(tags)]) as box:
        person = await in_review(box, b"Nr1,Nr2\n1,two\nx,4\n")
        page = await person.look()
        assert "Nr (2)" in page.text
        cells = page.form("/cells")
        page = await person.send(cells, **{cell(cells, 0, "nr", part=1): "2", cell(cells, 1, "nr", part=0): "3"})
        await person.send(page.form("/submit"))
        assert await box.rows(person.import_id) == [{"nr": [1, 2]}, {"nr": [3, 4]}]


async def test_many_options_are_offered_once_for_all_cells_and_open_lists_take_any_text():
    many = {"key": "many", "label": "Many", "type": "select", "selectOptions": OPTIONS}
    custom = {"key": "open", "label": "Open", "type": ["select", {"allowCustom": True}], "selectOptions": OPTIONS[:3]}
    number = {"key": "n", "label": "N", "type": "number"}
    async with running_sandbox(schemas=[schema(many, custom, number)]) as box:
        person = await in_review(box, b"Many,Open,N\nOption 7,own,x\nnothing,Option 1,5\n")
        page = await person.look()
        assert page.html.count('<option value="Option 59"') == 2  # the list, and the choice in its place
        assert page.element("input", name="cell.1.0.many")["list"] == "options-many"
        assert "list" not in page.element("input", name="cell.0.0.open")
        cells = page.form("/cells")
        page = await person.send(cells, **{cell(cells, 0, "n"): "1", cell(cells, 1, "many"): "Option 8"})
        await person.send(page.form("/submit"))
        assert await box.rows(person.import_id) == [
            {"many": "o7", "open": "own", "n": 1},
            {"many": "o8", "open": "o1", "n": 5},
        ]


async def test_a_warning_is_shown_and_blocks_nothing():
    rule = {"validate": "regex_match", "regex": "^[A-Z]", "errorMessage": "Small.", "level": "warning"}
    name = {"key": "name", "label": "Name", "type": "string", "validators": [rule]}
    number = {"key": "n", "label": "N", "type": "number"}
    async with running_sandbox(schemas=[schema(name, number)]) as box:
        person = await in_review(box, b"Name,N\nada,x\n")
        page = await person.look()
        assert "Warning: Small." in page.text
        assert "aria-invalid" not in page.element("input", name="cell.0.0.name")
        page = await person.send(page.form("/cells"), **{"cell.0.0.n": "1"})
        await person.send(page.form("/submit"))
        assert await box.rows(person.import_id) == [{"name": "ada", "n": 1}]


async def test_an_import_that_must_not_be_empty_says_that_no_row_is_left():
    number = {"key": "n", "label": "N", "type": "number"}
    settings = {**BLOCK, "allowEmptySubmit": False}
    async with running_sandbox(schemas=[schema(number, settings=settings)]) as box:
        person = await in_review(box, b"N\nx\n")
        page = await person.send((await person.look()).form("/cells"), **{"leave-out": "0"})
        assert "No row is left" in page.text
        page = await person.send(page.form("/submit"))
        assert "not finished yet" in page.text


async def test_hooks_see_what_a_person_corrected_and_may_stop_the_submit():
    pytest.importorskip("deno")
    hook = "(row) => row.row.n.value === '3' ? {row: {n: {value: '30'}}} : {row: {}}"
    finish = "(rows) => rows.some((row) => row.n === 4) ? {cancel: true, message: 'No fours.'} : null"
    number = {"key": "n", "label": "N", "type": "number"}
    hooks = {"rowHooks": [hook], "beforeFinishCallback": finish}
    async with running_sandbox(schemas=[schema(number, hooks=hooks)]) as box:
        person = await in_review(box, b"N\nx\n4\n")
        page = await person.send((await person.look("/rows?show=all")).form("/cells"), **{"cell.0.0.n": "3"})
        assert "No fours." in page.text
        page = await person.send((await person.look("/rows?show=all")).form("/cells"), **{"cell.1.0.n": "5"})
        assert "No fours." not in page.text
        await person.send(page.form("/submit"))
        assert await box.rows(person.import_id) == [{"n": 30}, {"n": 5}]
