"""Make `sandbox/engine/reading/letters.json`: how often letters follow each other in the words of each language.

`python -m benchmarks.letters` counts different words of three public sources: the names of territories, languages,
currencies, cities, and months in Unicode's CLDR, as Babel contains it; the translated messages of Django and Django
REST framework; and the names of people, streets, and places and the common words of Faker, which it needs (`pip install
faker`). Only statistics are kept, no words.
"""

from __future__ import annotations

import gettext
import importlib
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from babel import Locale

from sandbox.engine.reading import languages
from sandbox.engine.reading.languages import COST_STEP, COST_ZERO, EDGE, folded

TARGET = Path(languages.__file__).with_name("letters.json")
FAKER_LOCALES = {
    "de": "de_DE de_AT de_CH", "fr": "fr_FR fr_CA fr_CH", "es": "es_ES es_MX es_AR es_CO es_CL", "pt": "pt_PT pt_BR",
    "it": "it_IT", "nl": "nl_NL nl_BE", "sv": "sv_SE", "da": "da_DK", "nb": "no_NO", "fi": "fi_FI", "is": "is_IS",
    "ca": "", "ga": "ga_IE", "pl": "pl_PL", "cs": "cs_CZ", "sk": "sk_SK", "hu": "hu_HU", "hr": "hr_HR", "sl": "sl_SI",
    "ro": "ro_RO", "tr": "tr_TR", "lt": "lt_LT", "lv": "lv_LV", "et": "et_EE", "ru": "ru_RU", "uk": "uk_UA",
    "bg": "bg_BG", "sr": "", "mk": "", "be": "", "el": "el_GR", "he": "he_IL",
    "ar": "ar_AA ar_SA ar_EG ar_AE ar_PS ar_JO", "fa": "fa_IR", "th": "th_TH", "ja": "ja_JP", "zh": "zh_CN",
    "zh_Hant": "zh_TW", "ko": "ko_KR", "sq": "", "gl": "", "vi": "", "en": "en_US en_GB",
}  # fmt: skip
DJANGO_LOCALES = {"zh": "zh_Hans", "zh_Hant": "zh_Hant", "sr": "sr"}
EAST_ASIAN = ("zh", "zh_Hant", "ja", "ko")
LATIN = "abcdefghijklmnopqrstuvwxyz"
PROVIDERS = ("person", "address", "lorem", "company", "job", "date_time", "color")

OWN_LETTERS = {
    "de": "äöüß", "fr": "àâæçéèêëîïôœùûüÿ", "es": "áéíñóúü", "pt": "áâãàçéêíóôõú", "it": "àèéìíîòóùú", "nl": "ëïéèöü",
    "sv": "åäöé", "da": "æøåé", "nb": "æøåéò", "fi": "äöåšž", "is": "áðéíóúýþæö", "ca": "àçèéíïòóúü", "ga": "áéíóú",
    "pl": "ąćęłńóśźż", "cs": "áčďéěíňóřšťúůýž", "sk": "áäčďéíĺľňóôŕšťúýž", "hu": "áéíóöőúüű", "hr": "čćđšž",
    "sl": "čšž", "ro": "ăâîşţ", "tr": "çğıöşüâî", "lt": "ąčęėįšųūž", "lv": "āčēģīķļņšūž", "et": "äõöüšž",
    "sq": "çë", "gl": "áéíñóúü",
}  # fmt: skip
"""The letters beyond ASCII of each alphabet, as schools teach it: the words found may lack some."""

FINAL_LETTERS = {"it": "àèéìòù"}
"""Letters that stand at the ends of words, as a rule."""

OWN_LETTER_MIN, FINAL_LETTER_MIN = 1000, 300
"""Each of them is taken to be one letter of so many, at least."""

RARE = 30_000
"""A letter that is not one of so many is left out, and so is one that occurs once."""

PRIOR = 3.0
"""The letters after a letter begin with so many counts, spread as in the language as a whole."""

COST_MOST = 90
FREQUENT_SHARE = 0.85
"""The share of a text in Chinese, Japanese, or Korean that consists of characters found here (estimated)."""

_PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w*\}|<[^>]*>")
_WORD = re.compile(r"[^\W\d_]+(?:[\u0e31-\u0e4e][^\W\d_]*)*")


def texts(value: Any, *, depth: int = 0) -> Iterator[str]:
    """Yield the texts in nested mappings and sequences."""
    if isinstance(value, str):
        yield value
    elif depth < 4 and isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts(key, depth=depth + 1)
            yield from texts(inner, depth=depth + 1)
    elif depth < 4 and isinstance(value, list | tuple | set):
        for inner in value:
            yield from texts(inner, depth=depth + 1)


def words(found: Iterable[str]) -> set[str]:
    return {word for text in found if "{{" not in text for word in _WORD.findall(text)}


def of_faker(locale: str) -> set[str]:
    found: set[str] = set()
    for name in PROVIDERS:
        try:
            module = importlib.import_module(f"faker.providers.{name}.{locale}")
        except ModuleNotFoundError as error:
            if not str(error.name).startswith("faker.providers"):
                raise
            continue
        values = (value for key, value in vars(module.Provider).items() if not key.startswith("__"))
        found |= words(text for value in values if not callable(value) for text in texts(value))
    return found


def of_cldr(language: str) -> set[str]:
    locale = Locale.parse(language)
    plain = (locale.territories, locale.languages, locale.scripts, locale.currencies, locale.variants)
    found = {word for table in plain for word in words(map(str, table.values()))}
    nested = (*locale.months.values(), *locale.days.values(), *locale.eras.values(), *locale.time_zones.values())
    for table in nested:
        values = dict(table).values()
        found |= words(text for value in values for text in texts(value if isinstance(value, str) else dict(value)))
    return found


def of_django(language: str) -> set[str]:
    folder = DJANGO_LOCALES.get(language, language)
    found: set[str] = set()
    for package in ("django", "rest_framework"):
        root = Path(str(importlib.import_module(package).__file__)).parent
        for path in sorted(root.rglob(f"locale/{folder}/LC_MESSAGES/*.mo")):
            with path.open("rb") as stream:
                catalog = vars(gettext.GNUTranslations(stream))["_catalog"]
            found |= words(_PLACEHOLDER.sub(" ", text) for text in catalog.values() if isinstance(text, str))
    return found


def script_of(char: str) -> str:
    """Return the first word of a letter's name, such as LATIN; empty for what is no letter."""
    is_letter = unicodedata.category(char) in ("Ll", "Lo", "Mn")
    return unicodedata.name(char).partition(" ")[0] if is_letter else ""


def alphabet(words: Iterable[str], *, own: str, final: str) -> dict[str, str]:
    """Return the letters of a language, and the cost of each pair of them."""
    each: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for word in words:
        before = EDGE
        for letter in word + EDGE:
            each[letter] += 1
            pairs[before, letter] += 1
            before = letter
    total = each.total()
    each |= Counter(dict.fromkeys(own, total // OWN_LETTER_MIN))
    pairs.update({(letter, EDGE): total // FINAL_LETTER_MIN for letter in final})
    is_latin = sum(each[letter] for letter in LATIN) > total / 3
    script = script_of(max((one for one in each if one.isalpha()), key=each.__getitem__))
    frequent = {one for one, count in each.items() if count > 1 and count > total / RARE}
    usual = {one for one in frequent if one == EDGE or script_of(one) == script}
    letters = sorted({*usual, *LATIN} if is_latin else {one for one in usual if one == EDGE or not one.isascii()})
    share = {one: (each[one] + 0.5) / (total + 0.5 * len(letters)) for one in letters}
    costs = []
    for before in letters:
        count = sum(pairs[before, after] for after in letters)
        costs += [(pairs[before, after] + PRIOR * share[after]) / (count + PRIOR) for after in letters]
    return {"letters": "".join(letters), "costs": "".join(map(_coded, costs))}


def _coded(probability: float) -> str:
    return chr(COST_ZERO + min(COST_MOST, round(-math.log(probability) / COST_STEP)))


def characters(words: Iterable[str]) -> dict[str, str]:
    """Return {cost: the characters that cost so much}."""
    counts = Counter(char for word in words for char in word if not char.isascii())
    total, classes = counts.total(), dict[str, list[str]]()
    for char, count in counts.items():
        cost = round(-math.log(count / total * FREQUENT_SHARE) * 2) / 2
        classes.setdefault(str(cost), []).append(char)
    return {cost: "".join(sorted(classes[cost])) for cost in sorted(classes, key=float)}


def main() -> None:
    importlib.import_module("faker")
    alphabets, east_asian = {}, {}
    for language, locales in FAKER_LOCALES.items():
        found = (of_cldr(language) | of_django(language)).union(*map(of_faker, locales.split()))
        if language in EAST_ASIAN:
            east_asian[language] = characters(found)
        else:
            alphabets[language] = alphabet(
                sorted({folded(word) for word in found}),
                own=OWN_LETTERS.get(language, ""),
                final=FINAL_LETTERS.get(language, ""),
            )
    content = {"alphabets": alphabets, "characters": east_asian}
    TARGET.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{len(alphabets)} alphabets, {len(east_asian)} sets of characters, {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
