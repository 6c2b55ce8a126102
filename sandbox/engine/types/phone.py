"""The type phone-number: valid numbers and their forms by libphonenumber's metadata."""

import re

from sandbox.engine.libraries import library
from sandbox.engine.types.kind import CellError, Kind, Options

PHONE_FORMATS = ("international", "national", "both")
_PUNCTUATION = re.compile(r"[-.()/\s]+")
_NOT_DIGITS = re.compile(r"\D+")
_LETTER = re.compile(r"[^\W\d_]")


class PhoneKind(Kind):
    """A valid number. With `format` international it needs its country code, national forbids it, and both allows it.

    A number without a country code is read as one of `country`. Countries that share a code (the United States and
    Canada) accept each other's numbers. The value is E.164, which is also the result for international; for national,
    the result has the digits, for both, the displayed form, and with `outputFormatted` always the displayed form.
    Extensions are dropped.
    """

    def __init__(self, options: Options | None) -> None:
        super().__init__()
        given = options or {}
        self._format = str(given.get("format") or "international")
        self._country = str(given.get("country") or "US").upper()
        self._phones = library("phonenumbers", package="phonenumberslite", purpose="reads phone numbers")
        if self._country not in self._phones.SUPPORTED_REGIONS:
            raise ValueError(f"unknown country for phone numbers: {self._country}")
        self.to_display = self._displayed
        if given.get("outputFormatted") or self._format == "both":
            self.to_output = lambda value: None if value is None else self._displayed(value)
        elif self._format == "national":
            self.to_output = lambda value: None if value is None else _NOT_DIGITS.sub("", self._displayed(value))

    def parse(self, text: str) -> str:
        text = text.removeprefix("tel:")
        international = text[:1] in ("+", "\N{FULLWIDTH PLUS SIGN}")  # as some Asian keyboards write it
        if self._format != "both" and international != (self._format == "international"):
            raise CellError("phone-number")
        try:
            number = self._phones.parse(text, None if international else self._country)
        except self._phones.NumberParseException:
            raise CellError("phone-number") from None
        if not self._phones.is_valid_number(number) or (_LETTER.search(text) and not number.extension):
            raise CellError("phone-number")
        number.extension = None
        return str(self._phones.format_number(number, self._phones.PhoneNumberFormat.E164))

    def _displayed(self, value: str) -> str:
        forms = self._phones.PhoneNumberFormat
        number = self._phones.parse(value, None)
        if self._format == "national":
            return str(self._phones.format_number(number, forms.NATIONAL))
        return _PUNCTUATION.sub(" ", str(self._phones.format_number(number, forms.INTERNATIONAL))).strip()
