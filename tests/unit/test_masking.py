"""No key and no signed URL is left of a text, in whatever form and encoding it contains them; other texts stay."""

from __future__ import annotations

import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.masking import FORMS, TEXT_LIMIT, Mask

KEY = "lk_live_7Hq2mZr9TnVxB4cWdKpL"
HEX = "3f9a" * 16
BASE64 = "dXFHaWd4ZkV2Q0w0c2FkMDk3bGt="
MASK = Mask(KEY)
SIGNED = (
    f"https://b.s3.us-west-2.amazonaws.com/in/k.csv?X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F2026&X-Amz-Signature={HEX}"
)

ENCODINGS = {
    "plain": str,
    "url": lambda text: quote(text, safe=""),
    "url twice": lambda text: quote(quote(text, safe=""), safe=""),
    "json": lambda text: json.dumps({"message": text}),
    "json twice": lambda text: json.dumps(json.dumps({"message": text})),
    "json escapes": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "html": lambda text: "".join(f"&#x{ord(char):x};" for char in text),
    "html names": lambda text: text.replace("&", "&amp;").replace('"', "&quot;"),
    "invisible characters": "\u200b".join,
    "capitals": str.upper,
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("part", [KEY, KEY[:14], KEY[:20], KEY[6:], f"X-Dromo-License-Key: {KEY}", f"key={KEY[:-1]}"])
def test_the_key_and_long_parts_of_it_are_hidden_in_every_encoding(part, encode):
    said = MASK(f"bad {encode(part)} given")
    assert "***" in said
    assert said.startswith("bad ")
    assert MASK(said) == said


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize(
    "text",
    [
        SIGNED,
        SIGNED[:-10],
        SIGNED[20:],
        f"X-Amz-Signature={HEX}",
        f"x-amz-security-token: {HEX[:12]}",
        f'"X-Goog-Signature": "{HEX}"',
        f"sv=2024&sig={BASE64}",
        f"sig={BASE64[:9]}",
        f"ature={HEX}&X-Amz-Expires=900",
        HEX[:40],
        HEX[:21],
        f"<SignatureProvided>{HEX[:16]}</SignatureProvided>",
        f"the signature {HEX[:18]} does not match",
        f"X-Amz-Signature = {HEX[:13]}",
        f"SharedAccessSignature sr=x&sig={HEX[:13]}",
        BASE64,
        f"Signature={BASE64}&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE",
        f"Authorization: Bearer {BASE64}",
        f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/2026, SignedHeaders=host, Signature={HEX[:16]}",
    ],
)
def test_signed_urls_and_fragments_of_them_are_hidden_in_every_encoding(text, encode):
    said = FORMS(f"cannot read {encode(text)}")
    assert "***" in said
    for secret in (HEX[:12], BASE64[:9], "IOSFODNN7"):
        for form in (secret, secret.upper(), ENCODINGS["json escapes"](secret), ENCODINGS["html"](secret)):
            assert form not in said
        assert "\u200b".join(secret) not in said


@pytest.mark.parametrize(
    "text",
    [
        "row 3 of customers_2026_full.csv: field email: This field is required.",
        "Kunden-Export-Final-2026-11-29-v2.csv was not found",
        "schema 0f6e1c2a-1b2c-4d5e-8f90-aabbccddeeff does not exist",
        "token: This field may not be blank.; license_key: Invalid value",
        "the API answered 503; see https://status.example.com/incidents/42",
        "column a=1 is no number",
        "a sum of 12345678901234567890 is too large",
    ],
)
def test_other_texts_stay_as_they_are(text):
    assert MASK(text) == text


def test_a_short_key_is_hidden_as_a_word_only():
    assert Mask("any")("any key, not many, any") == "*** key, not many, ***"


def test_a_foreign_text_is_cut_after_its_secrets_are_hidden():
    said = FORMS.short("x" * 480 + " " + SIGNED + "y" * 500_000)
    assert len(said) <= TEXT_LIMIT
    assert HEX[:4] not in said


@given(text=st.text(max_size=300), at=st.integers(0, 300))
def test_the_key_is_hidden_wherever_it_stands_and_hiding_twice_changes_nothing(text, at):
    said = MASK(text[:at] + KEY + text[at:])
    assert KEY not in said
    assert MASK(said) == said


@pytest.mark.parametrize("part", ["\\", "x-amz-", "?a=b", "eyJaaa.", "a-", "%25", "://", "key=", "\"'", "A1b"])
def test_a_text_of_any_kind_is_read_in_bounded_steps(part):
    assert len(FORMS.short(part * 200_000)) <= TEXT_LIMIT


@pytest.mark.parametrize("part", ["=", "key=key=", "?a=", "a.b=c", "x-amz-a="])
def test_assignments_without_an_end_take_time_in_proportion_to_their_length(part):
    began = time.process_time()
    FORMS((part * 16_000)[:16_000])
    assert time.process_time() - began < 2


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_a_name_that_contains_the_whole_key_is_known_in_every_encoding(encode):
    assert MASK.knows(encode(f"in/{KEY}.csv"))


@pytest.mark.parametrize(("key", "name"), [("any", "any.csv"), ("sandbox-key", "sandbox-key.csv"), (KEY, KEY[:20])])
def test_a_name_that_contains_a_word_or_a_part_of_the_key_is_a_name_like_any_other(key, name):
    assert not Mask(key).knows(name)


@pytest.mark.parametrize("password", ["secret", "sec@ret", "a:sec@b:ret"])
def test_user_and_password_of_an_address_are_hidden_and_its_host_stays(password):
    assert FORMS(f"via http://jo:{password}@proxy.example:3128/ ok") == "via http://***@proxy.example:3128/ ok"


def test_an_address_without_a_user_stays_whatever_comes_after_its_host():
    assert FORMS("see http://proxy.example/@jo and a@b.example") == "see http://proxy.example/@jo and a@b.example"
