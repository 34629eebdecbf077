"""Customers as a real shop has them: without phones, registered twice, in states spelt anyhow."""

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
    """Columns of the table."""

    address: Texts
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
    """Customers with these numbers.

    A few carry the e-mail of another one (``known_emails`` included) in other case.
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
            _at(draw, (0.01, None), (0.015, f" {name}"), (0.03, name.upper()), (1, name))
            for name, draw in zip(first, draws[3], strict=True)
        ],
        last_name=[
            _at(draw, (0.01, None), (0.02, f"{name} "), (1, name))
            for name, draw in zip(last, draws[4], strict=True)
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
            nation = _pick(COUNTRY_SPELLINGS, country)
            zip_code = f"{zip_prefix:03d}{int(tail * 100):02d}"
            spelt = ((0.68, code), (0.92, name), (0.96, code.lower()), (0.985, f" {code} "))
            addresses.state.append(_at(spelling, *spelt))
        else:
            city, abroad, nation, zip_code = _pick(ABROAD, (where - 0.88) / 0.12)
            addresses.state.append(abroad)
        flat = f", Apt {1 + int(tail * 40)}" if kind > 0.8 else ""
        addresses.address.append(None if tail < 0.01 else text + flat)
        addresses.city.append(_at(number, (0.98, city), (0.99, city.upper()), (1, f"{city} ")))
        addresses.country.append(None if street > 0.995 else nation)
        addresses.zip_code.append(None if tail > 0.99 else zip_code)
    return addresses


def loyalty(customer_ids: Ints) -> Floats:
    """How often a customer orders, compared with others: a power law, few buy much, many once."""
    return np.asarray(np.minimum((1 - chance(customer_ids, "loyalty")) ** (-1 / 1.3), 80.0))


def choose_buyers(rng: np.random.Generator, ordered_at: Ints, ids: Ints, created_at: Ints) -> Ints:
    """Positions of the buyers among the customers, who are sorted by ``created_at``.

    Nobody buys before registering. Of those who register, six in ten do it to order at once.
    """
    known = np.searchsorted(created_at, ordered_at, side="right")
    reach = np.cumsum(loyalty(ids))
    drawn = rng.random(len(ordered_at)) * reach[np.maximum(known, 1) - 1]
    buyers = np.minimum(np.searchsorted(reach, drawn, side="right"), np.maximum(known, 1) - 1)
    if len(ordered_at):
        eager = np.flatnonzero((chance(ids, "orders at once") < 0.6) & (created_at > ordered_at[0]))
        next_order = np.searchsorted(ordered_at, created_at[eager])
        in_time = next_order < len(ordered_at)
        buyers[next_order[in_time]] = eager[in_time]
    return np.asarray(buyers, dtype=np.int64)


def _pick(choices: Sequence[Choice], draw: float) -> Choice:
    return choices[int(draw * len(choices))]


def _at(draw: float, *ways: tuple[float, str | None]) -> str | None:
    """The first way whose upper bound lies above the draw, None above the last."""
    return next((way for bound, way in ways if draw < bound), None)


def _phone(have: float, digits: float) -> str | None:
    area, last = 200 + int(digits * 700), f"{int(digits * 1e7) % 10000:04d}"
    return _at(
        have,
        (MISSING_PHONES, None),
        (0.7, f"({area}) 555-{last}"),
        (0.9, f"+1{area}555{last}"),
        (0.95, f"{area}.555.{last} "),
        (1, f"{area} 555 {last}"),
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
    return name.translate(_PLAIN)


_PLAIN = str.maketrans("éëïøüöřáı", "eeiouorai", "'")
