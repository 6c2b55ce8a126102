"""The storage refuses what a bucket behind presigned URLs refuses."""

import random
import re
from urllib.parse import quote, unquote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.api_state import SandboxState
from sandbox.presigned_url import UrlSigner
from sandbox.problems import StorageProblem
from sandbox.settings import SandboxSettings
from sandbox.storage import Storage, upload_path
from tests.support.sandbox import CUSTOMERS

FILE = {"schema_id": "customers", "original_filename": "a.csv"}
T0 = 1_780_000_000.0


def make_state(**settings):
    return SandboxState(random.Random(7), settings=SandboxSettings(**settings), schemas=[CUSTOMERS])


def refusal(call, *arguments, **options):
    with pytest.raises(StorageProblem) as caught:
        call(*arguments, **options)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"transfer-encoding": "chunked"}, (501, "NotImplemented")),
        ({}, (411, "MissingContentLength")),
        ({"content-length": "-5"}, (411, "MissingContentLength")),
        ({"content-length": "5", "content-md5": "x"}, (403, "HeadersNotSigned")),
        ({"content-length": "5", "x-amz-acl": "public-read"}, (403, "HeadersNotSigned")),
    ],
)
def test_an_upload_with_a_header_the_url_does_not_cover_is_refused(headers, expected):
    state = make_state()
    made = state.create(FILE, T0)
    assert refusal(state.begin_upload, made["upload"], headers, T0) == expected
    assert state.counters.puts == {}


def test_a_license_key_that_reaches_the_storage_is_ignored_as_a_bucket_does_and_counted():
    state = make_state()
    made = state.create(FILE, T0)
    headers = {"x-dromo-license-key": "k"}
    state.put_upload(made["upload"], b"Full Name\nAda\n", T0, headers=headers)
    result = state.results_url(made["id"], T0 + 1)["presigned_url"]
    assert state.download(result, T0 + 1, headers=headers).source == b'[{"name":"Ada"}]'
    assert state.counters.key_leaks == 2


def test_a_license_key_that_reaches_the_storage_is_refused_if_the_settings_ask_for_it():
    state = make_state(refuse_leaked_key=True)
    made = state.create(FILE, T0)
    headers = {"x-dromo-license-key": "k"}
    assert refusal(state.put_upload, made["upload"], b"x", T0, headers=headers) == (400, "InvalidArgument")
    assert refusal(state.download, made["upload"], T0, headers=headers) == (400, "InvalidArgument")
    assert (state.counters.key_leaks, state.counters.puts) == (2, {})


def test_an_upload_url_dies_after_thirty_minutes():
    state = make_state()
    made = state.create(FILE, T0)
    with pytest.raises(StorageProblem) as caught:
        state.put_upload(made["upload"], b"x", T0 + 1801)
    assert caught.value.status == 403
    assert "<Code>AccessDenied</Code><Message>Request has expired</Message>" in caught.value.xml
    state.put_upload(made["upload"], b"x", T0 + 1800)


def respelled(url, change):
    """Return `url` with the list of its parameters ("name=value") changed."""
    target, _, query = url.partition("?")
    return f"{target}?{'&'.join(change(query.split('&')))}"


@pytest.mark.parametrize(
    "forge",
    [
        lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
        lambda url: url.replace("%20b.csv", "%20c.csv"),
        lambda url: url.replace("%2B", "+"),
        lambda url: url.replace("%2B", "%20"),
        lambda url: url.replace("%252F", "%2F"),
        lambda url: url.replace("Expires=1800", "Expires=9999"),
        lambda url: url.replace("X-Amz-Date", "x-amz-date"),
        lambda url: url.replace("SANDBOX", "SANDBOX+"),
        lambda url: url.partition("?")[0],
        lambda url: respelled(url, lambda pairs: [*pairs, "x-id=PutObject"]),
        lambda url: respelled(url, lambda pairs: [*pairs, "versionId"]),
        lambda url: respelled(url, lambda pairs: [pairs[0], *pairs]),
        lambda url: respelled(url, lambda pairs: [*pairs, "X-Amz-Expires=9999"]),
        lambda url: respelled(url, lambda pairs: [*pairs, pairs[-1]]),
        lambda url: respelled(url, lambda pairs: pairs[:-1]),
        lambda url: respelled(url, lambda pairs: pairs[1:]),
    ],
)
def test_a_url_with_another_path_or_other_parameters_is_refused(forge):
    state = make_state()
    made = state.create(FILE | {"original_filename": "a+%2F b.csv"}, T0)
    assert forge(made["upload"]) != made["upload"]
    assert refusal(state.put_upload, forge(made["upload"]), b"x", T0) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "respell",
    [
        lambda url: url.replace("%2F", "/"),
        lambda url: url.replace("%2F", "%2f"),
        lambda url: url.replace("%20", "+"),
        lambda url: url.replace("%28", "(").replace("%29", ")"),
        lambda url: url.replace("a~b", "a%7Eb"),
        lambda url: url.replace("%C3%BC", "%c3%bc"),
        lambda url: url.replace("%C3%BC", "ü"),
        lambda url: url.replace("X-Amz-Date", "X%2DAmz%2DDate"),
        lambda url: url.replace("X-Amz-Signature", "%58-Amz-Signature"),
        lambda url: respelled(url, reversed),
        lambda url: respelled(url, sorted),
        lambda url: respelled(url, lambda pairs: ["", *pairs, ""]),
    ],
)
def test_a_url_that_a_client_spells_its_own_way_is_accepted(respell):
    state = make_state()
    made = state.create(FILE | {"original_filename": "a~b (1) ü/c.csv"}, T0)
    assert state.put_upload(respell(made["upload"]), b"Full Name\nAda\n", T0)
    assert state.retrieve(made["id"], T0 + 1)["status"] == "SUCCESSFUL"


@given(
    st.text(min_size=1).filter(lambda name: name.strip() and name.isprintable()),
    st.lists(st.sampled_from(["lower", "bare", "all"]), max_size=3),
)
def test_only_the_meaning_of_a_path_is_signed(name, spellings):
    signer = UrlSigner(b"secret")
    path, _, query = signer.sign("PUT", upload_path("some-id", name), now=T0, ttl_s=60).partition("?")
    meaning = unquote(path)
    for spelling in spellings:
        if spelling == "lower":
            path = re.sub("%..", lambda found: found[0].lower(), path)
        elif spelling == "bare":
            path = quote(unquote(path), safe="/!$&'()*,;=:@~")
        else:
            path = "".join(f"%{byte:02X}" for byte in unquote_to_bytes(path))
    assert signer.check("PUT", f"{path}?{query}", now=T0) == meaning
    with pytest.raises(StorageProblem):
        signer.check("PUT", f"{path}x?{query}", now=T0)


def test_an_upload_url_cannot_read_and_a_result_url_cannot_write():
    state = make_state()
    made = state.create(FILE, T0)
    state.put_upload(made["upload"], b"Full Name\nAda\n", T0)
    result = state.results_url(made["id"], T0 + 1)["presigned_url"]
    assert refusal(state.download, made["upload"], T0 + 1) == (403, "SignatureDoesNotMatch")
    assert refusal(state.put_upload, result, b"x", T0 + 1) == (403, "SignatureDoesNotMatch")


def test_a_result_url_dies_after_thirty_minutes_and_a_new_one_can_be_had():
    state = make_state()
    made = state.create(FILE, T0)
    state.put_upload(made["upload"], b"Full Name\nAda\n", T0)
    url = state.results_url(made["id"], T0 + 1)["presigned_url"]
    assert refusal(state.download, url, T0 + 1802) == (403, "AccessDenied")
    fresh = state.results_url(made["id"], T0 + 1802)["presigned_url"]
    assert state.download(fresh, T0 + 1802).source == b'[{"name":"Ada"}]'


@pytest.mark.parametrize(
    ("mode", "first", "second"),
    [
        ("accept", None, (412, "PreconditionFailed")),
        ("not_implemented", (501, "NotImplemented"), (501, "NotImplemented")),
        ("not_signed", (403, "HeadersNotSigned"), (403, "HeadersNotSigned")),
    ],
)
def test_if_none_match_is_accepted_or_refused_as_configured(mode, first, second):
    state = make_state(if_none_match=mode, upload_lag_s=60.0)
    made = state.create(FILE, T0)
    for expected in (first, second):
        headers = {"if-none-match": "*"}
        if expected is None:
            state.put_upload(made["upload"], b"x", T0, headers=headers)
        else:
            assert refusal(state.put_upload, made["upload"], b"y", T0, headers=headers) == expected
    assert state.counters.puts[made["id"]] == (1 if mode == "accept" else 0)


def test_of_two_uploads_at_once_that_both_want_to_be_first_one_is():
    state = make_state(upload_lag_s=60.0)
    made = state.create(FILE, T0)
    headers = {"content-length": "1", "if-none-match": "*"}
    tickets = [state.begin_upload(made["upload"], headers, T0) for _ in range(2)]
    state.finish_upload(tickets[0], state.storage.put("a", b"1"), T0)
    assert refusal(state.finish_upload, tickets[1], state.storage.put("b", b"2"), T0) == (412, "PreconditionFailed")


def test_the_etag_is_the_md5_of_the_body():
    state = make_state()
    made = state.create(FILE, T0)
    assert state.put_upload(made["upload"], b"hello", T0) == '"5d41402abc4b2a76b9719d911017c592"'


@pytest.mark.parametrize("name", ["..", ".", "a/b.csv", "ü ~(1)%.csv", "a?b#c&d.csv", "x\r\ny.csv"])
def test_any_file_name_gives_one_inert_path_segment(name):
    segment = upload_path("some-id", name).removeprefix("/_storage/some-id/")
    assert segment.strip(".")
    assert not set(segment) & set("/?#&\r\n ")
    signer = UrlSigner(b"secret")
    target = signer.sign("PUT", upload_path("some-id", name), now=T0, ttl_s=60)
    assert signer.check("PUT", f"http://127.0.0.1:1{target}", now=T0) == unquote(upload_path("some-id", name))


def test_files_are_stored_whole_or_not_at_all(tmp_path):
    storage = Storage(tmp_path)
    cut = storage.writer("one.upload")
    cut.write(b"half")
    cut.abort()
    blob = storage.put("two.upload", b"whole")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"whole"]
    with blob.open() as stream:
        assert (blob.size_bytes, stream.read()) == (5, b"whole")
    storage.discard(blob)
    assert list(tmp_path.iterdir()) == [blob.source]
    storage.purge()
    assert list(tmp_path.iterdir()) == []
