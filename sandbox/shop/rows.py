"""The shop's rows as the database's columns: cents become exact decimals, microseconds become
timestamps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sandbox.shop.catalogue import Products
from sandbox.shop.chance import Ints, Texts
from sandbox.shop.lifecycle import spelled
from sandbox.shop.orders import Lines
from sandbox.shop.people import Addresses, Customers
from sandbox.shop.season import SECOND, iso

Columns = Mapping[str, Iterable[object]]


def money(cents: int | None) -> str | None:
    if cents is None:
        return None
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def customer_columns(customers: Customers) -> Columns:
    return {
        "customer_id": customers.customer_id.tolist(),
        "email": customers.email,
        "first_name": customers.first_name,
        "last_name": customers.last_name,
        "phone": customers.phone,
        **address_columns(customers.address),
        "created_at": iso(customers.created_at),
        "updated_at": iso(customers.updated_at),
    }


def address_columns(address: Addresses) -> Columns:
    return {
        "address": address.street,
        "city": address.city,
        "state": address.state,
        "country": address.country,
        "zip_code": address.zip_code,
    }


def product_columns(products: Products) -> Columns:
    return {
        "product_id": products.product_id.tolist(),
        "name": products.name,
        "category": products.category,
        "subcategory": products.subcategory,
        "price": map(money, products.price.tolist()),
        "cost": map(money, products.cost),
        "weight_kg": products.weight,
        "is_active": products.is_active,
        "created_at": iso(products.created_at),
        "updated_at": iso(products.updated_at),
    }


def order_columns(
    order_id: Ints,
    customer_id: Ints,
    created_at: Ints,
    status: Ints,
    updated_at: Ints,
    total: Ints,
    shipping: Addresses,
) -> Columns:
    """An order is dated to the second; its row is created in that second."""
    return {
        "order_id": order_id.tolist(),
        "customer_id": customer_id.tolist(),
        "order_date": iso(created_at // SECOND * SECOND),
        "status": spelled(order_id, status),
        "total_amount": map(money, total.tolist()),
        "shipping_address": shipping.street,
        "shipping_city": shipping.city,
        "shipping_state": shipping.state,
        "shipping_country": shipping.country,
        "shipping_zip": shipping.zip_code,
        "created_at": iso(created_at),
        "updated_at": iso(updated_at),
    }


def line_columns(
    line_id: Ints, lines: Lines, order_id: Ints, created_at: Ints, product_id: Ints
) -> Columns:
    return {
        "order_item_id": line_id.tolist(),
        "order_id": order_id[lines.order].tolist(),
        "product_id": product_id[lines.product].tolist(),
        "quantity": lines.quantity.tolist(),
        "unit_price": map(money, lines.unit_price.tolist()),
        "discount_pct": lines.discount_pct,
        "line_total": map(money, lines.line_total.tolist()),
        "created_at": iso(created_at[lines.order]),
    }


def picked(addresses: Addresses, positions: Ints) -> Addresses:
    """The addresses at these positions."""
    chosen = positions.tolist()

    def pick(texts: Texts) -> Texts:
        return [texts[position] for position in chosen]

    return Addresses(
        pick(addresses.street),
        pick(addresses.city),
        pick(addresses.state),
        pick(addresses.country),
        pick(addresses.zip_code),
    )
