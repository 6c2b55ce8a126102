"""A file that holds no table fails with what it is, and what to do."""

import gzip
import io
import zipfile

import pytest

from tests.support.engine import run, zipped

NAME = {"key": "name", "label": "Name"}
CITY = {"key": "city", "label": "City"}


def refusal(content):
    outcome = run(content, NAME, CITY)
    assert outcome.status == "FAILED"
    return outcome.errors[0]["message"]


@pytest.mark.parametrize(
    "text",
    [
        "<html><body>x</body></html>",
        "  \n\ufeff<!DOCTYPE html>\n<title>x</title>",
        "<!-- saved -->\n<table><tr><td>Name</td></tr></table>",
        "<div class='x'>Name,City</div>",
        "<br />\n<b>Warning</b>: something, somewhere",
        "<STYLE>td{color:red}</STYLE><TABLE>",
        "<?xml version='1.0'?>\n<html xmlns='x'><p>Name</p></html>",
        "<tr><td>Name</td><td>City</td></tr>",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_any_beginning_of_a_web_page_is_recognized(text, encoding):
    assert "is a web page, which cannot be imported. It may be a login" in refusal(text.encode(encoding))


@pytest.mark.parametrize(
    "text",
    [
        "<?xml version='1.0'?><rows><row/></rows>",
        "<rows>\n<row name='Ida'/>\n</rows>",
        "\ufeff<ns:people><ns:name>Ida</ns:name></ns:people>",
        "<!-- export --><list><item>1</item></list>",
    ],
)
def test_xml_is_recognized_with_and_without_a_prolog(text):
    assert "The file is XML" in refusal(text)


@pytest.mark.parametrize(
    "text", ["<Name>,<City>\nIda,Lyon\n", "Name,City\n<b>Ida</b>,Lyon\n", "ID;Price;Plan\n1;2;3\n"]
)
def test_a_table_that_only_resembles_another_form_is_read(text):
    assert run(text, NAME, CITY, {"key": "ID"}).status == "SUCCESSFUL"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('ID;PSCALC3\r\nB;Y2;X1\r\nC;Y1;X1;K"Name"\r\nE\r\n', "a SYLK file"),
        ('TABLE\n0,1\n"x"\n', "a DIF file"),
        ("MIME-Version: 1.0\nContent-Type: multipart/related", "a web archive"),
        ('[{"name": "Ida"}]', "JSON"),
        ('{"name": "Ida", "city": "Lyon"}\n', "JSON"),
        ("BEGIN:VCARD\nFN:Ida\n", "a list of contacts"),
        (b"SQLite format 3\0" + b"\0" * 90, "an SQLite database"),
        (b"PAR1" + b"\1" * 90, "a Parquet file"),
        (b"\xff\xd8\xff\xe0" + b"\1" * 90, "an image (JPEG)"),
        (b"x" * 257 + b"ustar\x0000", "an archive (tar)"),
        (gzip.compress(b"Name,City\n", mtime=0), "compressed (gzip)"),
        (b"\xfd7zXZ\0", "compressed (xz)"),
        (b"PK\x05\x06" + b"\0" * 18, "an empty zip archive"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_forms_are_named(text, name):
    assert f"The file is {name}" in refusal(text)


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        (["n.csv", "so\u202e.csv", "w.csv", "e.csv"], r"a zip archive of other files (n.csv, so\u202e.csv, w.csv, …)"),
        (["[Content_Types].xml", "word/document.xml"], "a Word document"),
        (["[Content_Types].xml", "ppt\\presentation.xml"], "a presentation (PowerPoint)"),
        (["Index/Document.iwa", "Index/Tables/DataList.iwa"], "a Numbers document"),
    ],
)  # fmt: skip
def test_a_zip_that_is_no_workbook_is_named(entries, name):
    assert f"The file is {name}" in refusal(zipped((entry, b"x") for entry in entries))


def test_an_open_document_other_than_a_spreadsheet_is_named():
    kind = b"application/vnd.oasis.opendocument.text"
    assert "an OpenDocument file" in refusal(zipped([("mimetype", kind), ("content.xml", b"<x/>")]))


def test_an_old_word_document_is_named():
    entry = "WordDocument".encode("utf-16-le")
    assert "a Word document" in refusal(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + entry + b"\0" * 600)


def test_an_encrypted_entry_does_not_end_the_engine():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as package:
        package.writestr("mimetype", b"application/x")
    data = bytearray(stream.getvalue())
    for at in (data.index(b"PK\x03\x04") + 6, data.index(b"PK\x01\x02") + 8):
        data[at] |= 1
    assert run(bytes(data), NAME).status == "FAILED"
