"""What a sandbox says at its start."""

from pathlib import Path

from sandbox.settings import SandboxSettings
from sandbox.start_text import start_text
from tests.support.sandbox import CUSTOMERS, running_sandbox


async def text(*, data=None, schemas=Path("saved"), **options):
    async with running_sandbox(**options, data=data) as box:
        return "\n".join(start_text(box.server, schemas=schemas, data=data)), box.server.origin


async def test_the_start_names_schemas_variables_and_page_and_says_that_all_is_forgotten():
    said, origin = await text()
    assert said.split("\n")[1:] == [
        "Saved schemas from saved:",
        "  customers  Customers, 3 fields",
        "",
        "In another terminal:",
        "  export DROMO_LICENSE_KEY=any",
        f"  export BULKHEAD_API_URL={origin}/api/v1",
        "  bulkhead init",
        "",
        f"Imports and open reviews: {origin}/",
        "Ctrl-C stops the sandbox. It then forgets everything; to keep it, start with --data DIR.",
    ]


async def test_a_start_with_data_says_where_it_is_and_what_an_earlier_start_left(tmp_path):
    said, _ = await text(data=tmp_path)
    assert f"Saved schemas from saved and {tmp_path}:" in said
    assert said.endswith(f"Everything is kept in {tmp_path}.")
    async with running_sandbox(data=tmp_path) as box:
        await box.create()
    said, _ = await text(data=tmp_path, schemas=None)
    assert f"Saved schemas from {tmp_path}:" in said
    assert said.endswith(f"Everything is kept in {tmp_path}, which has 1 import.")


async def test_a_start_without_schemas_says_how_to_get_them():
    async with running_sandbox(schemas=[]) as box:
        said = list(start_text(box.server, schemas=None, data=None))
    assert said[1].startswith("No saved schemas. Start with --schemas DIR")
    assert "  bulkhead run DIRECTORY --fields FILE" in said
    assert "  bulkhead init" not in said


async def test_a_start_shows_no_license_key():
    said, _ = await text(settings=SandboxSettings(license_key="secret-key"))
    assert "secret-key" not in said
    assert "export DROMO_LICENSE_KEY=KEY " in said


async def test_a_long_list_of_schemas_is_cut_and_their_names_move_no_cursor():
    many = [{**CUSTOMERS, "id": f"s{number}", "name": f"\x1b[2J{number}"} for number in range(500)]
    async with running_sandbox(schemas=many) as box:
        said = list(start_text(box.server, schemas=Path("saved"), data=None))
    assert "  and 490 more" in said
    assert len(said) < 25
    assert not any("\x1b" in line for line in said)
