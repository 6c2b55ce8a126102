"""Files as people have them: odd texts, workbooks, JSON documents, and names, for the schema `customers`."""

from __future__ import annotations

import gzip
import random

from tests.support.engine import sheets, zipped

HEADER = "Full Name,Email\n"
PIECES = (b"", b'"', b",", b"\n", b"\r", b";", b"\x00", b"\xe9", b"\xef\xbb\xbf", b"\t", b"=", b"\\")
ROW = "Ida Moss,ida@host.example\n"


def odd_files() -> dict[str, bytes]:
    """Return the content of each file by its name; every content differs."""
    texts = {
        "semicolons.csv": "Full Name;Email\nIda;ida@host.example\n",
        "tilde.csv": "Full Name~Email\nIda~ida@host.example\n",
        "unit-separator.csv": "Full Name\x1fEmail\nIda\x1fida@host.example\n",
        "swapped.csv": "Email,Full Name\nida@host.example,Ida\n",
        "renamed.csv": "E-Mail Address,FULL_NAME\nida@host.example,Ida\n",
        "other-words.csv": "Nachname,Anschrift\nIda,Bahnhofstr. 1\n",
        "no-header.csv": "Ida,ida@host.example\nUwe,uwe@host.example\n",
        "header-only.csv": HEADER,
        "blank-lines.csv": "\n\n" + HEADER + "\n" + ROW + "\n\n",
        "title-rows.csv": "Customers of 2026\nprinted on Friday\n" + HEADER + ROW,
        "two-exports.csv": HEADER + ROW + "\ufeff" + HEADER + "Uwe,uwe@host.example\n",
        "swallowed.csv": HEADER + 'Ida,"ida@host.example\nUwe,uwe@host.example"\nPia,pia@host.example\n',
        "open-quote.csv": HEADER + 'Uwe,"uwe@host.example\n' + ROW,
        "wider.csv": HEADER + "Moss, Ida,ida@host.example\n",
        "narrower.csv": HEADER + "Ida\n" + ROW,
        "footer.csv": HEADER + ROW + "(1 row)\n",
        "invisible.csv": HEADER + "Ida,ida@host.example\u200b\n" + ROW,
        "all-invalid.csv": HEADER + "Ida,nowhere\nUwe,n/a\n",
        "twice.csv": HEADER + ROW + ROW,
        "carriage.csv": (HEADER + ROW + "Pia,pia@host.example\n").replace("\n", "\r"),
        "sep.csv": "sep=;\nFull Name;Email\nPia;pia@host.example\n",
        "formula.csv": HEADER + '"=""Ida""",ida@host.example\n',
        "page.csv": "<html><body>Please log in</body></html>",
        "spaces.csv": "   \n  \n",
        "tabs.tsv": "Full Name\tEmail\nIda\tida@host.example\n",
        "a,b;c.csv": HEADER + "Comma,comma@host.example\n",
        "new\nline.csv": HEADER + "Line,line@host.example\n",
        "latin\udce9.csv": HEADER + "Latin,latin@host.example\n",
        "trailing.csv ": HEADER + "Blank,blank@host.example\n",
        "_SUCCESS": "done",
        "rows.json": '[{"name": "Ida", "email": "ida@host.example"}]',
        "labels.json": '[{"Full Name": "Ida", "Email": "ida@host.example"}]',
        "one.json": '{"name": "Ida"}',
        "cut.json": '[{"name": "Ida"',
        "mixed.json": '[{"name": "Ida"}, ["Uwe"]]',
        "lines.jsonl": '{"name": "Ida"}\n{"name": "Uwe"}\n',
        "scalar.json": "7",
        "empty.json": "[]",
    }
    files = {name: text.encode() for name, text in texts.items()}
    files |= {
        "utf16.csv": (HEADER + "Åsa,asa@host.example\n").encode("utf-16"),
        "bom.csv": (HEADER + "Bea,bea@host.example\n").encode("utf-8-sig"),
        "western.csv": (HEADER + "José,jose@host.example\n").encode("cp1252"),
        "late-byte.csv": (HEADER + ROW * 20).encode() + b"Jos\xe9,jose@host.example\n",
        "nuls.csv": (HEADER + "Nul,nul@host.example\n").encode() + bytes(64),
        "only-nuls.csv": bytes(100),
        "binary.csv": bytes(range(256)) * 30,
        "packed.csv": gzip.compress((HEADER + ROW).encode(), mtime=0),
        "bundle.csv": zipped([("a.csv", HEADER.encode())]),
        "damaged.xlsx": b"PK\x03\x04 the rest of it was lost",
        "empty.csv": b"",
        "notes.md": b"# notes",
        "plain.xlsx": sheets(Data=[["Full Name", "Email"], ["Ida", "ida@host.example"]]),
        "months.xlsx": sheets(May=[["Full Name", "Email"], ["Ida", ""]], June=[["Full Name", "Email"], ["Uwe", ""]]),
        "cover.xlsx": sheets(Cover=[["Read this"]], Data=[["Full Name", "Email"], ["Ida", ""]]),
        "formula.xlsx": sheets(Data=[["Full Name", "Email"], ["Ida", '="a@b.example"']]),
        "text-as.xlsx": (HEADER + "Text,text@host.example\n").encode(),
    }
    return files


def shaken_files(count: int, *, seed: int) -> dict[str, bytes]:
    """Return that many CSV files from a seed, each with a few of its bytes removed, repeated, or replaced."""
    rng = random.Random(seed)
    found = {}
    for number in range(count):
        rows = [f"Name {number}-{row},p{number}.{row}@host.example\n" for row in range(rng.randrange(1, 8))]
        content = bytearray((HEADER + "".join(rows)).encode())
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(content))
            piece = rng.choice(
                [b"", b'"', b",", b"\n", b"\r", b";", b"\x00", b"\xe9", b"\xef\xbb\xbf", b"\t", b"=", b"\\"]
            )
            content[at : at + rng.randrange(0, 3)] = piece
        found[f"{number:03}.csv"] = bytes(content)
    return found
