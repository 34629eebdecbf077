"""What secrets look like that this process does not know.

The value after a telling name, the tokens and keys of services by their vendors' prefixes, and what
is random beyond doubt.

No pattern can look at a character more than a bounded number of times: what may be long is matched
possessively, is followed by nothing that could fail, or has a largest length.
"""

from __future__ import annotations

import itertools
import re

MASK = "***"

_KEY = (
    r"(?:api|private|access|account|shared|secret|signing|encryption|master|fernet|storage|service"
    r"|session|jwt|hmac|ssh)[_-]?(?:access[_-]?)?key"
)
_NAME = (
    rf"(?:pass(?:word|wd|phrase)|passcode|pwd|secret|token|credentials?|webhook(?:[_-]?url)?|{_KEY}"
    r"|signature|(?<![a-z])(?:pass|sig|sas|auth)|connection[_-]?string|session[_-]?id)"
    r"(?:[_-]?(?:id|value|hash|base64|b64|\d{1,3}))?"
)
# No values: what stands for none, a name in backticks, a word that goes on as a sentence.
_NOTHING = (
    r"(?!(?:none|null|true|false|str|bytes)\b|\*\*\*|`"
    r"|(?<=[ \t])[a-z]{1,20}(?:'s|,)?[ \t]{1,4}[a-z]{1,20}(?:[ \t,.]|\Z))"
)
# In quotes up to the closing one or the end of the line, else up to what ends a value everywhere.
# Punctuation belongs to a value that goes on after it, unless a further `name=` begins there.
_QUOTED = (
    r"""\\{1,7}"[^"\\\n]*+(?:\\(?!")[^"\\\n]*+)*+(?:\\{1,7}")?"""
    r"""|"(?:[^"\\\n]|\\.)*+"?|'(?:[^'\\\n]|\\.|'')*+'?"""
)
_BARE = (
    r"""(?:[^\s"'\\,;&)}\]<>]++|\\(?![nrt"'])"""
    r"""|[,;&)}\]](?![\s"'\\,;&)}\].]|\Z|[\w.-]{1,40}=))++"""
)
_VALUE = rf"(?:{_QUOTED}|{_BARE})"

_PLAIN: tuple[tuple[str, str], ...] = (
    (
        r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[^-]|-(?!----))*+(?:-----END [A-Z ]{0,40}-----)?",
        MASK,
    ),
    (r"\b((?:sk|rk|pk)_(?:test|live)_)\w+", rf"\1{MASK}"),  # Stripe
    (r"\b((?:pi|seti|cs)_\w{8,60}_secret_)\w+", rf"\1{MASK}"),
    (r"\bwhsec_[\w+/=-]+", f"whsec_{MASK}"),
    (r"\b(?:xox[a-z]|xapp)-[\w.-]+", MASK),  # Slack
    (r"(?i)(/(?:services|workflows|triggers)/)T\w{2,}/\w+/[\w/-]+", rf"\1{MASK}"),
    (r"(?i)(/services/)\w+/\w+/\w+", rf"\1{MASK}"),
    # Discord, Teams and their like
    (r"(?i)(/(?:webhooks?|webhookb2|hooks)/)(?=[^\s/\"']{0,60}\d)[^\s\"'<>]{12,}+", rf"\1{MASK}"),
    (r"\b(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{12,}", MASK),  # AWS
    (r"\bAIza[\w-]{30,}", MASK),  # Google
    (r"\bya29\.[\w.-]{10,}", MASK),
    (r"\b1//0[\w-]{20,}", MASK),
    (r"\bGOOG[A-Z0-9]{16,}", MASK),
    (r"\bGOCSPX-[\w-]{20,}", MASK),
    (r"\b\w{3}[78]Q~[\w.~-]{30,}", MASK),  # Azure AD
    (r"\bgh[pousr]_[A-Za-z0-9]{20,}", MASK),  # GitHub
    (r"\bgithub_pat_\w{20,}", MASK),
    (r"\bgl(?:pat|rt|dt|cbt|ptt)-[\w-]{16,}", MASK),
    (r"\b(?:sk-[\w-]{20,}|npm_\w{30,}|pypi-\w{30,}|hf_\w{30,}|dapi\w{30,}|dop_v1_\w{40,})", MASK),
    (r"\bSG\.[\w-]{16,}+\.[\w-]{16,}", MASK),  # SendGrid
    (r"(?<![\w-])eyJ[\w-]{8,}+\.[\w-]++(?:\.[\w-]*+){0,3}", MASK),  # JSON web tokens
    # Headers
    (
        r"""(?i)\b((?:set-)?cookie["'\\]{0,8}[:=,][ \t]{0,4}["'\\]{0,8})[^\n"'\\]{3,}+""",
        rf"\1{MASK}",
    ),
    (
        r"""(?i)(authorization["'\\]{0,8}[ \t]{0,2}[:=,][ \t]{0,4}+["'\\]{0,8}+)"""
        r"""(?!basic\b|bearer\b)[^\n"'\\]{3,}+(?:(?<==)"[^"\n]*+"?)?""",
        rf"\1{MASK}",
    ),
    (
        r"(?i)\b(bearer|basic)[ \t]{1,4}(?=[A-Za-z._~+/-]{0,200}[0-9=])[\w.~+/=-]{8,}+",
        rf"\1 {MASK}",
    ),
    # user:password@host, also with a slash in the password, and TOKEN@host
    (
        r"(?<=[A-Za-z0-9])(://[^\s:/?#@\"'<>]{0,100}+):(?:[^\s/?#]{0,300}@"
        r"|(?!\d{1,5}[/?#])[^\s\"'<>@]{1,100}@)(?=[^\s@])",
        rf"\1:{MASK}@",
    ),
    (r"(?<=[A-Za-z0-9])(://)[^\s:/?#@\"'<>*]{16,200}@(?=[^\s@])", rf"\1{MASK}@"),
    # ALTER ROLE loader PASSWORD 'x', --password x
    (
        rf"(?i)\b((?:password|passwd|identified by|secret|token)[ \t]{{1,4}}e?)(?:{_QUOTED})",
        rf"\1{MASK}",
    ),
)
_PATTERNS = tuple((re.compile(pattern), replacement) for pattern, replacement in _PLAIN)
_NAMED = re.compile(
    rf"""(?i)((?=[acefhjmpstw]){_NAME}["'\]\\)]{{0,10}}[ \t]{{0,8}}"""
    rf"""(?:[:=][=>]?|>)[ \t]{{0,8}}(?:[bfru](?=["'])){{0,2}}){_NOTHING}{_VALUE}"""
)
_OPTION = re.compile(rf"""(?<![\w-])(--?(?P<name>[\w-]++)["']?,?[ \t]{{1,4}})(?![-\s]){_VALUE}""")
_OPTION_NAME = re.compile(rf"(?i){_NAME}\Z|\Akey\Z")
_LONG_RUN = re.compile(r"(?<![\w+/-])[\w+/-]{32,}+={0,2}", re.ASCII)
_CHANGES = 0.33  # share of neighbours of another kind; random Base64 has 0.6, a camelCase name 0.2


def mask_shapes(text: str) -> str:
    """The text without what looks like a secret."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    text = _NAMED.sub(rf"\1{MASK}", text)
    text = _OPTION.sub(_without_value, text)
    return _LONG_RUN.sub(_unless_random, text)


def _without_value(option: re.Match[str]) -> str:
    return f"{option[1]}{MASK}" if _OPTION_NAME.search(option["name"]) else option[0]


def _unless_random(run: re.Match[str]) -> str:
    """Keys have no shape but this: lower case, upper case and digits take turns at random."""
    kinds = [(c.isdigit(), c.isupper()) for c in run[0] if c.isalnum()]
    changes = sum(one != other for one, other in itertools.pairwise(kinds))
    return MASK if len(set(kinds)) == 3 and changes > _CHANGES * len(run[0]) else run[0]
