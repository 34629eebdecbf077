"""The SQL files as statements: names and budgets filled in, in the order in which they are run."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

FOLDER = Path(__file__).parent
USERS = ("ECOMMERCE_LOADER", "ECOMMERCE_TRANSFORMER", "ECOMMERCE_REPORTING")


@dataclass(frozen=True)
class Account:
    """What is different from one account to the next.

    Attributes:
        prefix: before every name, for a second environment in one account, such as ``TEST_``.
        credits: each virtual warehouse's budget a month (docs/cost.md says how they were computed).
        retention_days: how far Time Travel reaches back in raw tables and history; the Standard
            edition takes 1 at most.
        allowed_ips: addresses or networks from which the service users may sign in; none: no policy
            is made.
        public_keys: user name (without prefix) to its public key, the Base64 body of the PEM.
    """

    prefix: str = ""
    loading_credits: int = 20
    transforming_credits: int = 20
    reporting_credits: int = 40
    retention_days: int = 1
    allowed_ips: tuple[str, ...] = ()
    public_keys: Mapping[str, str] = field(default_factory=dict)


def statements(account: Account) -> list[str]:
    """Everything that sets an account up.

    Running it again changes nothing, or what was changed in the files.
    """
    files = sorted(FOLDER.glob("0*.sql"))
    found = [
        statement
        for file in files
        if account.allowed_ips or "network" not in file.name
        for statement in read(file, account)
    ]
    return [*found, *_keys(account)]


def read(file: Path, account: Account) -> Iterator[str]:
    """The statements of one file, without comments."""
    _check(account)
    values = {
        "p": account.prefix.upper(),
        "loading_credits": account.loading_credits,
        "transforming_credits": account.transforming_credits,
        "reporting_credits": account.reporting_credits,
        "retention_days": account.retention_days,
        "allowed_ips": ", ".join(f"'{address}'" for address in account.allowed_ips),
    }
    text = re.sub(r"^--.*\n", "", file.read_text(), flags=re.MULTILINE)
    for statement in Template(text).substitute(values).split(";"):
        if statement.strip():
            yield statement.strip()


def _keys(account: Account) -> Sequence[str]:
    if not account.public_keys:
        return []
    return ["use role USERADMIN"] + [
        f"alter user {account.prefix.upper()}{user} set rsa_public_key = "
        f"'{account.public_keys[user]}'"
        for user in USERS
        if user in account.public_keys
    ]


def public_key_body(pem: str) -> str:
    """The Base64 body of a public key in PEM.

    ``ValueError`` for anything else, a private key above all.
    """
    if "PRIVATE KEY" in pem:
        raise ValueError(
            "this is a private key; give the public one (openssl rsa -in key.p8 -pubout)"
        )
    match = re.fullmatch(
        r"\s*-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*", pem
    )
    if not match:
        raise ValueError("this is no public key in PEM")
    return "".join(match[1].split())


def _check(account: Account) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_]*", account.prefix):
        raise ValueError(
            f"the prefix {account.prefix!r} may have letters, digits and underscores only"
        )
    for address in account.allowed_ips:
        ipaddress.ip_network(address, strict=False)
    for user, key in account.public_keys.items():
        if user not in USERS:
            raise ValueError(f"there is no service user {user}; there are {', '.join(USERS)}")
        if not re.fullmatch(r"[A-Za-z0-9+/=]+", key):
            raise ValueError(f"the public key of {user} is not Base64")
    if len(set(account.public_keys.values())) < len(account.public_keys):
        raise ValueError(
            "two users have the same public key: whoever holds it would have the roles of both. "
            "Make a key for each"
        )
