"""The types whose values are codes of a fixed form: country, us-state-territory, us-zip-code, ssn, uuid."""

import re

from sandbox.engine.types.kind import CellError, Kind, Options

# ISO 3166: alpha-2 and alpha-3 codes.
_PAIRS = """
    ADAND AEARE AFAFG AGATG AIAIA ALALB AMARM AOAGO AQATA ARARG ASASM ATAUT AUAUS AWABW AXALA AZAZE BABIH BBBRB
    BDBGD BEBEL BFBFA BGBGR BHBHR BIBDI BJBEN BLBLM BMBMU BNBRN BOBOL BQBES BRBRA BSBHS BTBTN BVBVT BWBWA BYBLR
    BZBLZ CACAN CCCCK CDCOD CFCAF CGCOG CHCHE CICIV CKCOK CLCHL CMCMR CNCHN COCOL CRCRI CUCUB CVCPV CWCUW CXCXR
    CYCYP CZCZE DEDEU DJDJI DKDNK DMDMA DODOM DZDZA ECECU EEEST EGEGY EHESH ERERI ESESP ETETH FIFIN FJFJI FKFLK
    FMFSM FOFRO FRFRA GAGAB GBGBR GDGRD GEGEO GFGUF GGGGY GHGHA GIGIB GLGRL GMGMB GNGIN GPGLP GQGNQ GRGRC GSSGS
    GTGTM GUGUM GWGNB GYGUY HKHKG HMHMD HNHND HRHRV HTHTI HUHUN IDIDN IEIRL ILISR IMIMN ININD IOIOT IQIRQ IRIRN
    ISISL ITITA JEJEY JMJAM JOJOR JPJPN KEKEN KGKGZ KHKHM KIKIR KMCOM KNKNA KPPRK KRKOR KWKWT KYCYM KZKAZ LALAO
    LBLBN LCLCA LILIE LKLKA LRLBR LSLSO LTLTU LULUX LVLVA LYLBY MAMAR MCMCO MDMDA MEMNE MFMAF MGMDG MHMHL MKMKD
    MLMLI MMMMR MNMNG MOMAC MPMNP MQMTQ MRMRT MSMSR MTMLT MUMUS MVMDV MWMWI MXMEX MYMYS MZMOZ NANAM NCNCL NENER
    NFNFK NGNGA NINIC NLNLD NONOR NPNPL NRNRU NUNIU NZNZL OMOMN PAPAN PEPER PFPYF PGPNG PHPHL PKPAK PLPOL PMSPM
    PNPCN PRPRI PSPSE PTPRT PWPLW PYPRY QAQAT REREU ROROU RSSRB RURUS RWRWA SASAU SBSLB SCSYC SDSDN SESWE SGSGP
    SHSHN SISVN SJSJM SKSVK SLSLE SMSMR SNSEN SOSOM SRSUR SSSSD STSTP SVSLV SXSXM SYSYR SZSWZ TCTCA TDTCD TFATF
    TGTGO THTHA TJTJK TKTKL TLTLS TMTKM TNTUN TOTON TRTUR TTTTO TVTUV TWTWN TZTZA UAUKR UGUGA UMUMI USUSA UYURY
    UZUZB VAVAT VCVCT VEVEN VGVGB VIVIR VNVNM VUVUT WFWLF WSWSM XKXKX YEYEM YTMYT ZAZAF ZMZMB ZWZWE
"""

ALPHA_2 = frozenset(pair[:2] for pair in _PAIRS.split())
ALPHA_3 = frozenset(pair[2:] for pair in _PAIRS.split())

# ISO 3166-2:US without its prefix.
_US_PARTS = """
    AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA
    RI SC SD TN TX UT VT VA WA WV WI WY DC AS GU MP PR UM VI
"""
US_PARTS = frozenset(_US_PARTS.split())

COUNTRY_FORMATS = {"2-letter": ALPHA_2, "3-letter": ALPHA_3}
ZIP_FORMATS = ("5-digit", "9-digit")
_ZIP_5 = re.compile(r"\d{1,5}|\d{9}|\d{5}-\d{4}", re.ASCII)
_FIVE_DIGITS = re.compile(r"\d{5}", re.ASCII)
_ZIP_9 = re.compile(r"\d{9}|\d{5}-\d{4}", re.ASCII)
_SSN = re.compile(r"\d{9}|\d{3}-\d\d-\d{4}", re.ASCII)
_UUID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff",
    re.IGNORECASE | re.ASCII,
)
_UUID_VERSION_AT = 14


class CountryKind(Kind):
    """A country code of the form that `format` names, in any case; the other form is an error."""

    def __init__(self, options: Options | None) -> None:
        super().__init__()
        self._format = str((options or {}).get("format") or "2-letter")
        self._codes = COUNTRY_FORMATS[self._format]

    def parse(self, text: str) -> str:
        code = text.upper()
        if code not in self._codes:
            raise CellError("country", format=self._format.replace("-letter", " letters"))
        return code


class StateKind(Kind):
    """`AL` or `US-AL`, in any case: the 50 states, the District of Columbia, and the territories."""

    def __init__(self, _options: Options | None) -> None:
        super().__init__()

    def parse(self, text: str) -> str:
        code = text.upper().removeprefix("US-")
        if code not in US_PARTS:
            raise CellError("us-state-territory")
        return code


class ZipKind(Kind):
    """5-digit: nine digits are cut to five, and fewer than five are padded with zeros. 9-digit: needs all nine."""

    def __init__(self, options: Options | None) -> None:
        super().__init__()
        self._format = str((options or {}).get("format") or ZIP_FORMATS[0])
        self._nine = self._format == "9-digit"
        self._dash = bool((options or {}).get("outputDash"))
        if not self._nine:
            self.as_is = _FIVE_DIGITS

    def parse(self, text: str) -> str:
        if not (_ZIP_9 if self._nine else _ZIP_5).fullmatch(text):
            raise CellError("us-zip-code", format=self._format)
        digits = text.replace("-", "")
        if not self._nine:
            return digits.zfill(5)[:5]
        return f"{digits[:5]}-{digits[5:]}" if self._dash else digits


class SsnKind(Kind):
    """Nine digits, with or without dashes after the third and the fifth."""

    def __init__(self, options: Options | None) -> None:
        super().__init__()
        self._dash = bool((options or {}).get("outputDash"))

    def parse(self, text: str) -> str:
        if not _SSN.fullmatch(text):
            raise CellError("ssn")
        digits = text.replace("-", "")
        return f"{digits[:3]}-{digits[3:5]}-{digits[5:]}" if self._dash else digits


class UuidKind(Kind):
    """A UUID of versions 1 to 8, the nil UUID, or the max UUID; its case is kept."""

    def __init__(self, options: Options | None) -> None:
        super().__init__()
        version = (options or {}).get("version")
        self._version = f"{int(version):x}" if version is not None else None
        self.as_is = _UUID if version is None else None

    def parse(self, text: str) -> str:
        if not _UUID.fullmatch(text):
            raise CellError("uuid")
        if self._version is not None and text[_UUID_VERSION_AT].lower() != self._version:
            raise CellError("uuid-version", version=int(self._version, 16))
        return text
