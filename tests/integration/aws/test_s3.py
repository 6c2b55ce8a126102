"""The places that s3:// urls name, and the client that reads and writes there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.aws.s3 import S3Place, canonical_folder, open_s3, refuse_foreign_folder
from runner.aws.s3_errors import Doing, translated
from runner.errors import ConfigError

ROOT = Path(__file__).parents[3]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_a_key_is_read_back_from_its_uri_whatever_it_holds(key: str) -> None:
    place = S3Place("inbox", key)
    assert S3Place.of_uri(place.uri) == place
    assert place.uri.isascii()
    assert S3Place.parse(str(place)) == place


def test_a_url_is_taken_literally() -> None:
    assert S3Place.parse("s3://inbox/a%20b/?x#y") == S3Place("inbox", "a%20b/?x#y")
    assert S3Place.parse("s3://inbox") == S3Place.parse("s3://inbox/") == S3Place("inbox", "")


@pytest.mark.parametrize("url", ["s3://", "s3:///key", "s3://a b/x", "/inbox", "S3://inbox", "s3://inbox/" + "é" * 513])
def test_what_names_no_place_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        S3Place.parse(url)


def test_a_folder_of_results_has_one_form() -> None:
    assert canonical_folder("s3://out/a/") == canonical_folder("s3://out/a") == "s3://out/a"
    assert canonical_folder("s3://out/") == canonical_folder("s3://out") == canonical_folder("s3://out//") == "s3://out"
    assert canonical_folder("s3://out/a///") == "s3://out/a"
    assert canonical_folder("s3://out//a//b/") == "s3://out//a//b"


@pytest.mark.parametrize("folder", ["gs://out/a", "S3://out/a", "s3:/out/a", "s3:out", "file:///tmp/out"])
def test_a_folder_that_is_named_like_a_url_is_no_path(folder: str) -> None:
    with pytest.raises(ConfigError, match="neither a path nor"):
        refuse_foreign_folder(folder)


@pytest.mark.parametrize("folder", ["out", "./s3:out", "/tmp/gs://out", "C:/out", "2026:07/out", "s3://out/a"])
def test_a_path_or_an_s3_url_may_be_a_folder(folder: str) -> None:
    refuse_foreign_folder(folder)


async def test_a_missing_profile_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match="nobody"):
        async with open_s3():
            pass


@pytest.mark.parametrize(
    ("process", "said"),
    [
        ("/bin/nowhere-to-be-found", "nowhere-to-be-found"),
        (
            """/bin/echo '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c",\
 "Expiration": "2020-01-01T00:00:00Z"}'""".replace("\\\n", ""),
            "there are no usable AWS credentials",
        ),
    ],
    ids=["there is no such program", "what it returns has expired"],
)
async def test_a_program_that_returns_no_usable_credentials_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, process: str, said: str
) -> None:
    config = tmp_path / "config"
    config.write_text(f"[default]\nregion = us-east-1\ncredential_process = {process}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)

    async def list_inbox() -> None:
        async with open_s3(endpoint_url="http://127.0.0.1:9") as client:
            with translated(S3Place("inbox"), Doing.LIST):
                await client.list_objects_v2(Bucket="inbox")

    with pytest.raises(ConfigError, match=said):
        await list_inbox()


WITHOUT_AWS = """
import sys
for name in ("aioboto3", "aiobotocore", "boto3", "botocore"):
    sys.modules[name] = None
sys.argv = ["bulkhead", *sys.argv[1:]]
from runner.__main__ import main
main()
"""


def bulkhead(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(cwd), "DROMO_LICENSE_KEY": "k"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "places", [["s3://inbox/in"], [".", "--out", "s3://results/out"], [".", "--ledger", "dynamodb://ledger"]]
)
def test_without_the_aws_extra_its_installation_is_named(tmp_path: Path, places: list[str]) -> None:
    ended = bulkhead(WITHOUT_AWS, "run", *places, "--schema-id", "s", cwd=tmp_path)
    assert ended.returncode == 2
    assert "pip install '.[aws]'" in ended.stderr


def test_local_files_need_nothing_of_aws(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a.csv").write_text("a\n1\n")
    ended = bulkhead(WITHOUT_AWS, "plan", "inbox", "--schema-id", "s", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
