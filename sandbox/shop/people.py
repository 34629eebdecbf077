"""Customers as a real shop has them: missing phones, states in three spellings, the same person
registered twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sandbox.shop.chance import Floats, Ints, Texts, chance
from sandbox.shop.names import (
    ABROAD,
    AT_HOME,
    COUNTRY_SPELLINGS,
    FIRST_NAMES,
    LAST_NAMES,
    MAIL_DOMAINS,
    STREET_KINDS,
    STREETS,
)

Choice = TypeVar("Choice")
MISSING_PHONES = 1 / 3
DUPLICATE_EMAILS = 0.006


@dataclass(frozen=True)
class Addresses:
    street: Texts
    city: Texts
    state: Texts
    country: Texts
    zip_code: Texts


@dataclass(frozen=True)
class Customers:
    """Columns of the table; moments in microseconds since 1970."""

    customer_id: Ints
    email: list[str]
    first_name: Texts
    last_name: Texts
    phone: Texts
    address: Addresses
    created_at: Ints
    updated_at: Ints


def make_customers(
    rng: np.random.Generator,
    ids: Ints,
    created_at: Ints,
    updated_at: Ints,
    known_emails: Sequence[str] = (),
) -> Customers:
    """Customers with these numbers. A few carry the e-mail of another one (``known_emails``
    included) in other case.
    """
    count = len(ids)
    draws = rng.random((8, count))
    first = [_pick(FIRST_NAMES, draw) for draw in draws[0]]
    last = [_pick(LAST_NAMES, draw * draw) for draw in draws[1]]
    emails = [
        f"{_ascii(a)}.{_ascii(b)}{number}@{_pick(MAIL_DOMAINS, draw * draw)}".lower()
        for a, b, number, draw in zip(first, last, ids.tolist(), draws[2], strict=True)
    ]
    _duplicate_some(rng, emails, known_emails)
    return Customers(
        customer_id=ids,
        email=emails,
        first_name=[
            None if d < 0.01 else f" {n}" if d < 0.015 else n.upper() if d < 0.03 else n
            for n, d in zip(first, draws[3], strict=True)
        ],
        last_name=[
            None if d < 0.01 else f"{n} " if d < 0.02 else n
            for n, d in zip(last, draws[4], strict=True)
        ],
        phone=[_phone(have, digits) for have, digits in zip(draws[5], draws[6], strict=True)],
        address=make_addresses(rng, count),
        created_at=created_at,
        updated_at=updated_at,
    )


def make_addresses(rng: np.random.Generator, count: int) -> Addresses:
    draws = rng.random((7, count)).tolist()
    addresses = Addresses([], [], [], [], [])
    for where, number, street, kind, spelling, country, tail in zip(*draws, strict=True):
        house = 1 + int(number * number * 9800)
        text = f"{house} {_pick(STREETS, street)} {_pick(STREET_KINDS, kind)}"
        if where < 0.88:
            city, code, name, zip_prefix = _pick(AT_HOME, where / 0.88)
            state = (
                code
                if spelling < 0.68
                else name
                if spelling < 0.92
                else code.lower()
                if spelling < 0.96
                else f" {code} "
            )
            nation, zip_code = (
                _pick(COUNTRY_SPELLINGS, country),
                f"{zip_prefix:03d}{int(tail * 100):02d}",
            )
            addresses.state.append(None if spelling > 0.985 else state)
        else:
            city, abroad, nation, zip_code = _pick(ABROAD, (where - 0.88) / 0.12)
            addresses.state.append(abroad)
        addresses.street.append(
            None if tail < 0.01 else text + (f", Apt {1 + int(tail * 40)}" if kind > 0.8 else "")
        )
        addresses.city.append(
            f"{city} " if number > 0.99 else city.upper() if number > 0.98 else city
        )
        addresses.country.append(None if street > 0.995 else nation)
        addresses.zip_code.append(None if tail > 0.99 else zip_code)
    return addresses


def loyalty(customer_ids: Ints) -> Floats:
    """How often a customer orders, compared with others: a power law, so that few buy much and many
    buy once.
    """
    return np.asarray(np.minimum((1 - chance(customer_ids, "loyalty")) ** (-1 / 1.3), 80.0))


def choose_buyers(rng: np.random.Generator, ordered_at: Ints, ids: Ints, created_at: Ints) -> Ints:
    """Positions of the buyers among the customers (sorted by ``created_at``): nobody buys before
    registering.

    Of those who register, six in ten do it to order at once.
    """
    known = np.searchsorted(created_at, ordered_at, side="right")
    reach = np.cumsum(loyalty(ids))
    drawn = rng.random(len(ordered_at)) * reach[np.maximum(known, 1) - 1]
    buyers = np.minimum(np.searchsorted(reach, drawn, side="right"), np.maximum(known, 1) - 1)
    if len(ordered_at):
        eager = np.flatnonzero((chance(ids, "orders at once") < 0.6) & (created_at > ordered_at[0]))
        next_order = np.searchsorted(ordered_at, created_at[eager])
        eager, next_order = (
            eager[next_order < len(ordered_at)],
            next_order[next_order < len(ordered_at)],
        )
        buyers[next_order] = eager
    return np.asarray(buyers, dtype=np.int64)


def _pick(choices: Sequence[Choice], draw: float) -> Choice:
    return choices[int(draw * len(choices))]


def _phone(have: float, digits: float) -> str | None:
    if have < MISSING_PHONES:
        return None
    area, last = 200 + int(digits * 700), int(digits * 1e7) % 10000
    if have < 0.7:
        return f"({area}) 555-{last:04d}"
    return (
        f"+1{area}555{last:04d}"
        if have < 0.9
        else f"{area}.555.{last:04d} "
        if have < 0.95
        else f"{area} 555 {last:04d}"
    )


def _duplicate_some(rng: np.random.Generator, emails: list[str], known: Sequence[str]) -> None:
    taken = {*emails, *known}
    originals = [*known, *emails]
    for position in np.flatnonzero(rng.random(len(emails)) < DUPLICATE_EMAILS).tolist():
        reach = len(known) + position
        original = originals[int(rng.random() * reach)] if reach else emails[position]
        other_case = original.upper() if rng.random() < 0.4 else original.title()
        if other_case not in taken:
            taken.add(other_case)
            emails[position] = other_case


def _ascii(name: str) -> str:
    plain = {
        "é": "e",
        "ë": "e",
        "ï": "i",
        "ø": "o",
        "ü": "u",
        "ö": "o",
        "ř": "r",
        "á": "a",
        "ı": "i",
        "'": "",
    }
    return "".join(plain.get(letter, letter) for letter in name)
