"""The optional libraries are loaded only if they are needed."""

import subprocess
import sys

import pytest

HEAVY = ("babel", "phonenumbers", "chardet", "rapidfuzz", "quickjs", "can_ada", "python_calamine", "openpyxl")
SCRIPT = """
import sys
{prepare}
from sandbox.engine import run_import
outcome = run_import({data!r}, schema={schema!r}, filename="")
print(outcome.status, outcome.errors[0]["message"] if outcome.errors else "")
print(",".join(sorted(name for name in {heavy!r} if sys.modules.get(name))))
"""


def ran(data, *fields, without=""):
    prepare = f"sys.modules[{without!r}] = None" if without else ""
    prepare += "\nimport importlib.util as u; f = u.find_spec\n"
    prepare += f"u.find_spec = lambda name, *more: None if name == {without!r} else f(name, *more)"
    script = SCRIPT.format(prepare=prepare, data=data, schema={"fields": list(fields)}, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    ending, loaded = done.stdout.splitlines()
    return ending.strip(), loaded


def test_a_plain_import_loads_none_of_them():
    fields = [{"key": "a"}, {"key": "d", "type": "date"}, {"key": "n", "type": "number"}, {"key": "e", "type": "email"}]
    assert ran(b"a,d,n,e\nx,3/4/2024,1,a@x.example\n", *fields) == ("SUCCESSFUL", "")


@pytest.mark.parametrize(
    ("field", "module", "package"),
    [
        ({"type": "phone-number"}, "phonenumbers", "phonenumberslite"),
        ({"type": "url"}, "can_ada", "can_ada"),
        ({"type": ["date", {"locale": "de-DE"}]}, "babel", "babel"),
        ({"validators": [{"validate": "regex_match", "regex": "a"}]}, "quickjs", "quickjs-ng"),
    ],
)
def test_a_schema_that_needs_a_missing_one_fails_with_its_name(field, module, package):
    assert ran(b"a\n", {"key": "a", **field}) == ("SUCCESSFUL", module)
    ending, _ = ran(b"a\n", {"key": "a", **field}, without=module)
    assert ending.startswith("FAILED")
    assert package in ending


def test_a_workbook_without_its_reader_fails_with_the_reader_s_name():
    ending, _ = ran(b"PK\x03\x04", {"key": "a"}, without="python_calamine")
    assert ending.startswith("FAILED")
    assert "python-calamine" in ending


@pytest.mark.parametrize("module", ["rapidfuzz", "chardet"])
def test_without_a_library_that_only_guesses_an_import_goes_on(module):
    assert ran("nme,x\nJürgen,1\n".encode("cp1252"), {"key": "name"}, {"key": "x"}, without=module)[0] == "SUCCESSFUL"
