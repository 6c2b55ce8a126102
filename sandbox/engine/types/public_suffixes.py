"""Common public suffixes of two labels, so that `example.co.uk` does not count as a subdomain.

A short list, not the full one that browsers use: second levels under which a country's registry sells names.
"""

_SECOND_LEVELS = {
    "ar": "com edu gob gov int mil net org tur",
    "at": "ac co gv or",
    "au": "asn com edu gov id net org",
    "bd": "ac com edu gov net org",
    "br": "adm adv app art blog com dev eco edu eng gov ind inf jus leg med mil net nom org tv",
    "cn": "ac com edu gov mil net org",
    "co": "com edu gov mil net nom org",
    "cr": "ac co ed fi go or sa",
    "cy": "ac biz com gov ltd net org press",
    "ec": "com edu fin gob gov info med mil net org",
    "eg": "com edu eun gov mil name net org sci",
    "gh": "com edu gov mil org",
    "gr": "com edu gov net org",
    "hk": "com edu gov idv net org",
    "hu": "co info org",
    "id": "ac biz co desa go mil my net or sch web",
    "il": "ac co gov idf k12 muni net org",
    "in": "ac co edu firm gen gov ind mil net nic org res",
    "jp": "ac ad co ed go gr lg ne or",
    "ke": "ac co go info me mobi ne or sc",
    "kr": "ac co es go hs kg mil ms ne or pe re sc",
    "lk": "ac assn com edu gov int ltd net org sch web",
    "ma": "ac co gov net org press",
    "mt": "com edu net org",
    "mx": "com edu gob net org",
    "my": "com edu gov mil name net org",
    "ng": "com edu gov i mil mobi name net org sch",
    "ni": "ac co com edu gob in info int mil net nom org web",
    "np": "com edu gov mil net org",
    "nz": "ac co cri geek gen govt health iwi kiwi maori mil net org parliament school",
    "pe": "com edu gob mil net nom org",
    "ph": "com edu gov i mil net ngo org",
    "pk": "biz com edu fam gob gok gon gop gos gov info net org web",
    "pl": "biz com edu gov info net org waw",
    "pt": "com edu gov int nome net org publ",
    "py": "com coop edu gov mil net org",
    "ro": "arts com firm info nom nt org rec store tm www",
    "rs": "ac co edu gov in org",
    "ru": "ac edu gov int mil",
    "sa": "com edu gov med net org pub sch",
    "sg": "com edu gov net org per",
    "sv": "com edu gob org red",
    "th": "ac co go in mi net or",
    "tr": "av bel biz com dr edu gen gov info k12 kep mil name net org pol tel tv web",
    "tw": "club com ebiz edu game gov idv mil net org",
    "tz": "ac co go hotel info me mil mobi ne or sc tv",
    "ua": "com edu gov in net org",
    "ug": "ac co com go ne or org sc",
    "uk": "ac co gov ltd me net nhs org plc police sch",
    "uy": "com edu gub mil net org",
    "ve": "co com edu gob gov info mil net org web",
    "vn": "ac biz com edu gov health info int name net org pro",
    "za": "ac co edu gov law mil net nom org school web",
    "zm": "ac biz co com edu gov info mil net org sch",
    "zw": "ac co gov mil org",
}
_SUFFIXES = frozenset(
    f"{second}.{country}" for country, seconds in _SECOND_LEVELS.items() for second in seconds.split()
)


def registrable_labels(labels: list[str]) -> int:
    """Return how many labels a registered name has: those of the public suffix and one more."""
    return 3 if ".".join(labels[-2:]) in _SUFFIXES else 2
