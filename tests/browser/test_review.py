"""Reviews finished in a real browser, from `bulkhead run` to what `bulkhead track` collects."""

import re

import pytest

from tests.support.reviews import BAD_CELLS, NO_COLUMNS, NO_HEADER

MANY = b"Full name,Email,Country\n" + b"".join(b"P%d,p%d@example.com,Nowhere\n" % (n, n) for n in range(120))
HOSTILE = "\"><script>document.title='owned'</script><img src=x onerror=alert(1)>'\u202e=cmd|calc"
PAGES = ("", "/header", "/columns", "/rows?show=all")


def ready(page, url):
    page.goto(url)
    page.wait_for_selector("nav, .filter, h1:has-text('finished')")


def finish(page):
    page.get_by_role("button", name="Finish the import").click()
    page.get_by_role("heading", name="The import is finished").wait_for()


def overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_cells_that_fail_are_fixed_and_the_result_is_collected(send, page):
    batch = send(BAD_CELLS)
    ready(page, batch.review_url)
    page.get_by_role("heading", name="3 rows have problems").wait_for()
    usa = page.locator(".wrong form", has_text="USA")
    usa.get_by_role("combobox").select_option("United States")
    usa.get_by_role("button", name="Replace").click()
    page.get_by_text("Country: “USA” → “United States”").wait_for()
    page.get_by_label("Full name, row 2").fill("Bob")
    page.get_by_label("Email, row 3").fill("cleo@example.com")
    page.get_by_text("2 changes are not saved yet").wait_for()
    page.get_by_role("button", name="Save the changes").click()
    page.get_by_role("heading", name="1 row has problems").wait_for()
    page.get_by_role("button", name="Leave out row 4").click()
    page.get_by_role("heading", name="No problems found").wait_for()
    finish(page)
    assert batch.collected() == [
        {"name": "Ada", "email": "ada@example.com", "country": "DE", "credit": 100},
        {"name": "Bob", "email": "bob@example.com", "country": "US", "credit": 200},
        {"name": "Cleo", "email": "cleo@example.com", "country": "FR", "credit": 300},
    ]


def test_a_header_that_was_not_found_is_chosen_and_the_columns_after_it(send, page):
    batch = send(NO_HEADER)
    ready(page, batch.review_url)
    page.get_by_role("heading", name="Which row contains the column names?").wait_for()
    page.get_by_role("radio", name="Row 3").check()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("heading", name="Match the columns to fields").wait_for()
    page.get_by_label("Who").select_option("name")
    page.get_by_label("Mail").select_option("email")
    page.get_by_label("2026").select_option("credit")
    page.get_by_role("button", name="Use these columns").click()
    page.get_by_role("heading", name="No problems found").wait_for()
    finish(page)
    assert batch.collected() == [{"name": "Ada", "email": "ada@example.com", "country": "FR", "credit": 9}]


def test_columns_that_were_not_matched_are_mapped_by_keyboard_alone(send, page):
    batch = send(NO_COLUMNS)
    ready(page, batch.review_url)
    page.get_by_text("A required field has no column yet").wait_for()
    for label, keys in (("Wer", "Full"), ("Anschrift", "Em"), ("Land", "Cou"), ("Rahmen", "Cre")):
        tab_to(page, lambda: page.evaluate("document.activeElement.labels?.[0]?.innerText"), label)
        page.keyboard.type(keys)
    tab_to(page, lambda: page.evaluate("document.activeElement.innerText"), "Use these columns")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="No problems found").wait_for()
    tab_to(page, lambda: page.evaluate("document.activeElement.innerText"), "Finish the import")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="The import is finished").wait_for()
    assert [row["name"] for row in batch.collected()] == ["Ada", "Bob"]


def tab_to(page, seen, wanted):
    for _ in range(200):
        if seen() == wanted:
            return
        page.keyboard.press("Tab")
    pytest.fail(f"{wanted} is not reached by the Tab key")


def test_cells_are_edited_by_keyboard_and_the_focus_moves_to_the_next_wrong_one(send, page):
    batch = send(BAD_CELLS)
    ready(page, batch.review_url)
    focused = lambda: page.evaluate("document.activeElement.getAttribute('aria-label')")  # noqa: E731
    tab_to(page, focused, "Full name, row 2")
    page.keyboard.type("nobody")
    page.keyboard.press("Escape")
    assert page.get_by_label("Full name, row 2").input_value() == ""
    page.keyboard.type("Bob")
    page.keyboard.press("Tab")
    assert focused() == "Email, row 2"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.get_by_text("cell edited").wait_for()
    page.locator("[aria-label='Country, row 2']:focus").wait_for()
    page.keyboard.type("Fra")
    page.keyboard.press("Enter")
    page.locator("[aria-label='Email, row 3']:focus").wait_for()
    assert page.get_by_label("Full name, row 2").count() == 0


def test_a_wrong_cell_is_described_to_a_screen_reader(send, page):
    batch = send(BAD_CELLS)
    ready(page, batch.review_url)
    found = page.get_by_label("Email, row 3")
    assert found.get_attribute("aria-invalid") == "true"
    assert "This is not an email address." in page.locator(f"#{found.get_attribute('aria-describedby')}").inner_text()
    assert page.get_by_role("table").count() == 1
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    controls = page.locator("button:visible, a:visible, input:visible, select:visible")
    nameless = "all => all.filter(one => !(one.innerText || one.ariaLabel || one.labels?.length)).map(one => one.name)"
    assert controls.evaluate_all(nameless) == []


def test_everything_works_without_scripts(send, plain_page):
    page = plain_page
    batch = send(BAD_CELLS)
    page.goto(batch.review_url)
    page.wait_for_selector(".filter", timeout=60_000)
    page.get_by_label("Full name, row 2").fill("Bob")
    page.get_by_label("Country, row 2").select_option("France")
    page.get_by_label("Email, row 3").fill("cleo@example.com")
    page.get_by_label("Email, row 3").press("Enter")
    page.get_by_role("heading", name="1 row has problems").wait_for()
    page.get_by_label("Show", exact=True).select_option("all")
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("button", name="Leave out row 4").click()
    finish(page)
    assert [row["country"] for row in batch.collected()] == ["DE", "FR", "FR"]


def test_a_review_is_finished_on_a_phone_and_no_page_is_wider_than_its_screen(send, phone):
    batch = send(BAD_CELLS)
    ready(phone, batch.review_url)
    for step in PAGES:
        ready(phone, batch.review_url + step)
        assert overflow(phone) <= 0, step
    for number in range(2, 5):
        phone.get_by_role("button", name=f"Leave out row {number}").tap()
        phone.get_by_text(re.compile(f"row {number} left out")).wait_for()
    finish(phone)
    assert overflow(phone) <= 0
    assert [row["name"] for row in batch.collected()] == ["Ada"]


@pytest.mark.parametrize("width", [360, pytest.param(640, marks=pytest.mark.slow)])
def test_pages_fit_a_narrow_window_and_one_at_twice_the_size(send, page, width):
    batch = send(b"Full name,Email," + b"Averylongnamewithoutanyplacetobreakit" * 4 + b"\n," + b"x" * 300 + b",y\n")
    page.set_viewport_size({"width": width, "height": 600})
    for step in PAGES:
        ready(page, batch.review_url + step)
        assert overflow(page) <= 0, step


@pytest.mark.slow
def test_pages_of_rows_and_a_filter_by_problem(send, page):
    batch = send(MANY)
    ready(page, batch.review_url)
    assert page.locator("tbody tr").count() == 50
    page.get_by_role("link", name="Next rows").click()
    page.get_by_text("51 to 100 of 120", exact=True).wait_for()
    page.get_by_role("link", name="Next rows").click()
    page.get_by_text("101 to 120 of 120", exact=True).wait_for()
    page.get_by_label("Show", exact=True).select_option("all")
    page.get_by_text("1 to 50 of 120", exact=True).wait_for()
    page.get_by_role("link", name="Show the rows: Country").click()
    page.get_by_text("Shown below").wait_for()
    page.get_by_role("button", name="Leave out these rows: Country").click()
    page.get_by_text("120 rows left out").wait_for()
    page.get_by_role("button", name="Undo the last change").click()
    page.get_by_role("heading", name="120 rows have problems").wait_for()


@pytest.mark.slow
def test_a_large_import_shows_what_is_not_checked_yet_and_continues_automatically(send, sandbox, page):
    rows = b"".join(b"P%d,p%d@example.com\n" % (n, n) for n in range(20_001))
    batch = send(b"Full name,Email\n,nobody\n" + rows)
    ready(page, batch.review_url)
    page.get_by_label("Full name, row 1").fill("Ada")
    page.get_by_label("Full name, row 1").press("Enter")
    page.get_by_text("Edited, not checked yet").wait_for()
    page.get_by_text("1 change is being checked").wait_for()
    sandbox.ask("POST", "/_sandbox/clock", {"advance_s": 60})
    page.get_by_text("Edited, not checked yet").wait_for(state="detached")
    page.get_by_role("heading", name="1 row has problems").wait_for()
    assert page.get_by_label("Full name, row 1").get_attribute("aria-invalid") is None
    assert page.get_by_label("Email, row 1").get_attribute("aria-invalid") == "true"


def test_hostile_values_do_nothing_in_a_browser(send, page):
    quoted = HOSTILE.replace('"', '""')
    content = f'Full name,Email,"{quoted}",Country\n,"{quoted}","{quoted}","{quoted}"\n'.encode()
    batch = send(content, name="'><img src=x onerror=alert(1)>.csv")
    for step in PAGES:
        ready(page, batch.review_url + step)
        assert "owned" not in page.title()
        assert page.locator("img").count() == 0
    assert page.get_by_label("Email, row 1").input_value() == HOSTILE
    page.get_by_label("Full name, row 1").fill(HOSTILE)
    page.get_by_label("Email, row 1").fill("ada@example.com")
    page.get_by_label("Country, row 1").select_option("France")
    page.get_by_role("button", name="Save the changes").click()
    page.get_by_role("heading", name="No problems found").wait_for()
    finish(page)
    assert batch.collected()[0]["name"] == HOSTILE
