"""The quickstart with the sandbox, line by line from its page: from two files to a collected review and a report."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.support.command import Command
from tests.support.fork_server import ROOT
from tests.support.forms import Form, Page
from tests.support.terminal import answered

ADDRESS = "http://127.0.0.1:8700"
CORRECTED = {
    "cell.0.0.customer_no": "C-4000",
    "cell.1.0.email": "office@vistula-print.example",
    "cell.2.0.name": "Carpathia",
    "cell.3.0.credit_limit": "900",
}


def blocks() -> list[list[str]]:
    """The lines to type, by block, as the quickstart has them."""
    text = (ROOT / "docs" / "quickstart.md").read_text("utf-8")
    section = text.split("\n## With the sandbox instead of an account\n")[1].split("\n## ")[0]
    return [block.splitlines() for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)]


def arguments(line: str) -> list[str]:
    program, *words = line.split()
    assert program == "bulkhead"
    return words


def visited(url: str, form: Form | None = None, **changes: str) -> Page:
    """The page after a click on a link or on a form's button, once everything is checked; the server waits for it."""
    data = None if form is None else urlencode({**form.fields, **changes}).encode()
    with urlopen(url, data, timeout=20) as answer:
        page = Page(answer.read().decode())
    return visited(answer.url) if "data-pending" in page.element("body") else page


def finish(origin: str, review: str) -> None:
    """Correct the cells in a browser without scripts, and finish the import."""
    assert review.removeprefix(origin) in {link.get("href") for name, link in visited(f"{origin}/").elements}
    cells = visited(review).form("/cells")
    assert cells.fields.keys() >= CORRECTED.keys()
    page = visited(origin + cells.action, cells, **CORRECTED)
    assert "No problems found" in page.text
    submit = page.form("/submit")
    assert "The import is finished" in visited(origin + submit.action, submit).text


def test_the_quickstart_leads_from_two_files_to_a_collected_review(tmp_path: Path) -> None:
    (*setup, start), (*exports, init), three, (reviews,), (track,) = blocks()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    subprocess.run(["bash", "-ec", "\n".join(setup)], cwd=tmp_path, check=True)
    home = tmp_path / "try"
    person = Command(home, api_url="")
    given = {name: person.environment.pop(name) for name in ("DROMO_LICENSE_KEY", "BULKHEAD_API_URL")}
    with person.start(*arguments(start), "--port", "0") as sandbox:
        assert sandbox.until_lines(13)
        said = b"".join(sandbox.lines).decode()
        origin = re.search(r"http://127\.0\.0\.1:\d+", said)[0]  # type: ignore[index]
        typed = [line.replace(ADDRESS, origin) for line in exports]
        assert all(f"  {line}\n" in said for line in [*typed, init])
        assert f"{origin}/\n" in said
        variables = dict(line.removeprefix("export ").split("=", 1) for line in typed)
        assert variables.keys() == given.keys()
        person.environment |= variables
        answers = [(b"with the files [inbox]", ""), (b"Number of the schema", "2")]
        code, screen = answered(person, arguments(init), answers)
        assert code == 0, screen
        named = [line.split("#")[0].strip() for line in screen.decode().splitlines() if line.startswith("  bulkhead ")]
        assert named == three
        for name in variables:
            del person.environment[name]
        plan, check, run = (person(*arguments(line)) for line in three)
        assert "2 imports to create" in plan.expect(0).text
        assert "would need review" in check.expect(6).text
        assert "1 review to finish in the browser" in run.expect(6).text
        found = re.search(rf"{origin}/review/\S+", person(*arguments(reviews)).expect(0).text)
        assert found
        finish(origin, found[0])
        assert "2 items: 2 collected" in person(*arguments(track)).expect(0).text
        assert "there are no open reviews" in person(*arguments(reviews)).expect(0).text
    (out,) = (home / "bulkhead-out").iterdir()
    rows = json.loads((out / "results" / "east.csv.json").read_bytes())
    assert [row["customer_no"] for row in rows] == ["C-4000", "C-4002", "C-4003", "C-4001"]
    assert "east.csv" in (out / "manifest.csv").read_text("utf-8")
    assert "2 files" in (out / "report.html").read_text("utf-8")
