"""The words of headers: whether two names have the same words, apart from typing errors, plurals, and abbreviations."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache

from sandbox.engine.libraries import library

_WORD = re.compile(r"[A-Z]+(?![a-z])|[^\W\d_A-Z]+|[A-Z][^\W\d_A-Z]*|#")
_IDEOGRAPHIC = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_APOSTROPHE = re.compile("['\u2019]")
_NO_PLURAL = ("ss", "us", "is")
_TYPO_MIN_LETTERS = 4
_TWO_TYPOS_MIN_LETTERS = 9
_PREFIX_MIN_LETTERS = 3
_STEM_MIN_LETTERS = 3
_ROLES = ("ee", "er", "or")
"""Endings of words that differ by one letter and name opposite parties, such as payer and payee."""

_FILLERS = frozenset(("a", "an", "and", "is", "my", "of", "our", "s", "the", "your"))
_UNITS = frozenset(("chf", "cm", "eur", "ft", "gbp", "hrs", "kg", "km", "lb", "lbs", "mg", "mm", "oz", "pct", "usd"))

_MAIL = {"mail", "email"}

_ABBREVIATIONS = {
    short: word
    for word, shorts in {
        "account": "acc acct", "address": "addr", "amount": "amt", "average": "avg", "building": "bldg",
        "category": "cat", "country": "ctry", "customer": "cust", "date": "dt", "department": "dept dpt",
        "description": "desc descr", "document": "doc", "first": "fst", "identifier": "ident",
        "invoice": "inv", "language": "lang", "manager": "mgr", "management": "mgmt", "maximum": "max",
        "message": "msg", "minimum": "min", "name": "nm", "number": "# nbr no nr num",
        "organization": "org organisation",
        "password": "pwd", "percent": "pct", "position": "pos", "postal": "post", "previous": "prev", "product": "prod",
        "quantity": "qty", "reference": "ref", "required": "req", "telephone": "tel", "temperature": "temp",
        "transaction": "txn", "user": "usr", "year": "yr",
    }.items()
    for short in shorts.split()
}  # fmt: skip

_COMMON = """
    able account action active activity actual address admin advance age agency agent amount angel angle annual answer
    apartment applicant application area art article asset author authority average balance band bank bar base batch
    benefit bill birth block board body book border boss box brand branch brother budget build building business buyer
    buying call campaign capital car card care carrier case cash casual cat category cause cell center central chain
    change channel charge chart check chief child city claim class client clock close closed closing code coin color
    column comment commission common community company competitor complete complex condition conductor conference
    confirm consent consultant consumer contact contain container content contest context contract contractor contrast
    control cost costume count counter country county coupon course court cover create created creation credit creditor
    crew currency current custom customer cut cycle daily dairy data date daughter day dead deal dealer death debit debt
    debtor decrease deed default delay delivered delivery demand department deposit description design desk detail
    device diary digit dinner direct direction director discharge discount dispatch display distance distinct district
    dividend division doctor document donor door draft driver drop due duration duty earned earning east education
    effect effective email employee employer end ended ending energy engine entity entry equipment equity error
    estate estimate event exam except exchange exclusive execution expense expiration expiry export extension external
    extra face facility factor faculty failed family farm father fax feature fee female field file final finance fine
    finish firm first fiscal fixed flag flat fleet flight floor folder food force form format former forward frame free
    freight frequency from front full fund future gate gender general gift given goal good grade grand grant gross group
    guarantee guarantor guardian guest guide half hand head health height hidden hire hired hiring history hold holder
    holding home hospital host hotel hour house household image import inbound incident income increase index industry
    initial inner input inspection instance institution insurance insured insurer interest internal interview inventory
    investor invoice island issue item job join key kind label labor land language large last late latest latitude law
    lead leader lease leave ledger left legal lender length lessee lessor letter level license limit line link list
    listing load loan local location lock log login longitude loss lot low lower main maintenance major male manager
    manual manufacturer marital mark market married martial master match material matter maximum meal measure media
    medical meeting member memo message meter method middle mile minimum minor minute mobile mode model module moment
    money month mother motor move name nation national native nature net new next night node none normal north note
    notice number object occupation offer office officer old older online only open opened opening operation operator
    option order organization origin original other outbound outer output outside outstanding over overall overdue owner
    package packing page paid parcel parent park part participant partner party pass passenger past patient pattern pay
    payable payee payer payment payroll peer pending pension percent performance period permit person personal phone
    photo physical picture pieces place plan plant plate point policy population port portal position post postal power
    practice precipitation preference premium present president previous price primary principal print prior priority
    private process product production professional profile profit program progress project promotion proof property
    protect provider province public publisher purchase purchaser purpose quality quantity quarter query question quota
    quote race rack rank rate rating ratio reason receipt received receiver recipient record recorded reference referral
    refund region registered registrar registration registry relation release relief remark renewal rent rental repair
    report reported reporter request requested required reserve residence resident resource response rest result retail
    retired return revenue review revision reward rice right risk role roll room root round route row rule safety salary
    sale sample scale schedule scheme school scope score seal season seat secondary section sector security segment
    seller selling semester sender senior serial series server service session set shape share shareholder sheet shift
    ship shipment shipper shipping shop shopping short side sign signal signature signed single sister site size skill
    small social sold source south space spare special species specification speed spend spent sponsor sport staff stage
    standard start state statement station status stay step stock stop storage store story street strength string
    student study style subject submission subscriber subtotal sum summary supervisor supplement supplied supplier
    supplies support surface survey system table tag target tariff task tax taxable teacher team technical telephone
    tenant term terminal territory test text theme thing ticket time title tool topic total town track trade trail
    trailer train trainee trainer training transaction transfer transit transport travel treatment trend trial trip
    truck trust trustee type unit university unpaid update upper usage user utility valid valuation value variable
    variant vehicle vendor venue version vessel village visit visitor volume vote voucher wage waist warehouse warranty
    waste water wave web week weight west wife width winner work worker yard year zip zone
"""
COMMON_WORDS = frozenset(_COMMON.split())
"""Words that headers often have: two of them that differ are no typing error, however alike they look."""


@lru_cache(maxsize=4096)
def words_of(name: str) -> tuple[str, ...]:
    """Return a name's words without case and fillers, in full; each ideograph is a word."""
    text = _IDEOGRAPHIC.sub(lambda match: f" {match[0]} ", _APOSTROPHE.sub("", unicodedata.normalize("NFKC", name)))
    words = (word.casefold() for word in _WORD.findall(text))
    return tuple(_ABBREVIATIONS.get(word, word) for word in words if word not in _FILLERS)


@lru_cache(maxsize=256)
def vocabulary(names: tuple[str, ...]) -> frozenset[str]:
    """Return the words of these names."""
    return frozenset(word for name in names for word in words_of(name))


def has_same_words(header: str, name: str, *, known: frozenset[str]) -> bool:
    """Return whether each word of a header is one of the name, in its order; `known` are words without errors."""
    given, wanted = words_of(header), words_of(name)
    if len(given) != len(wanted):
        given, wanted = _without_unit(given, wanted), _without_unit(wanted, given)
    if len(given) == len(wanted):
        return all(_is_same(one, other, known) for one, other in zip(given, wanted, strict=True))
    if len(given) < len(wanted):
        return _splits("".join(given), wanted, lambda part, word: _is_same(part, word, known))
    return _splits("".join(wanted), given, lambda part, word: _is_same(word, part, known))


def _without_unit(words: tuple[str, ...], others: Sequence[str]) -> tuple[str, ...]:
    return words[:-1] if words[-1:] and words[-1] in _UNITS and len(words) > len(others) else words


def _splits(text: str, words: Sequence[str], is_same: Callable[[str, str], bool]) -> bool:
    """Return whether a text without blanks consists of parts that are the same as these words."""
    if not text or not words:
        return False
    if len(words) == 1:
        return is_same(text, words[0])
    ends = range(1, len(text) - len(words) + 2)
    return any(is_same(text[:end], words[0]) and _splits(text[end:], words[1:], is_same) for end in ends)


@lru_cache(maxsize=4096)
def _is_same(given: str, wanted: str, known: frozenset[str]) -> bool:
    given, wanted = _ABBREVIATIONS.get(given, given), _ABBREVIATIONS.get(wanted, wanted)
    if given == wanted or _stem(given) == _stem(wanted) or {given, wanted} == _MAIL:
        return True
    if _stem(given) in _known_stems(known) or _are_opposite_roles(given, wanted):
        return False
    return _is_abbreviation(given, wanted) or _is_abbreviation(wanted, given) or _is_typo(given, wanted)


@lru_cache(maxsize=256)
def _known_stems(known: frozenset[str]) -> frozenset[str]:
    return frozenset(map(_stem, COMMON_WORDS | known))


def _stem(word: str) -> str:
    for ending in ("ies", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= _STEM_MIN_LETTERS and not word.endswith(_NO_PLURAL):
            word = word[: -len(ending)] + ("y" if ending == "ies" else "")
            break
    for ending in ("ing", "ed", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= _STEM_MIN_LETTERS:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > _STEM_MIN_LETTERS and word[-1] == word[-2] else word


def _are_opposite_roles(one: str, other: str) -> bool:
    return one[:-2] == other[:-2] and one[-2:] != other[-2:] and {one[-2:], other[-2:]} <= set(_ROLES)


def _is_abbreviation(short: str, word: str) -> bool:
    return (
        _PREFIX_MIN_LETTERS <= len(short) < len(word)
        and word.startswith(short)
        and _stem(short) not in _known_stems(frozenset())
    )


def _is_typo(one: str, other: str) -> bool:
    """Return whether few letters differ. A different first letter makes another word, unless the first two swapped."""
    longest = max(len(one), len(other))
    if longest < _TYPO_MIN_LETTERS or (one[0] != other[0] and one[:2] != other[1::-1]):
        return False
    most = 2 if longest >= _TWO_TYPOS_MIN_LETTERS else 1
    distance = library("rapidfuzz.distance.OSA", package="rapidfuzz", purpose="matches similar headers").distance
    return bool(distance(one, other, score_cutoff=most) <= most)
