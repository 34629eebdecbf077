"""How much a stretch of the shop's life wrote."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShopCounts:
    """New rows and objects, and the CSV rows that were written anew."""

    orders: int
    order_items: int
    customers: int
    products: int
    charges: int
    refunds: int
    disputes: int
    csv_rows: int

    def __str__(self) -> str:
        return (
            f"{self.orders:,} orders with {self.order_items:,} items, {self.customers:,} "
            f"customers, {self.products:,} products, {self.charges:,} charges, "
            f"{self.refunds:,} refunds, {self.disputes:,} disputes, {self.csv_rows:,} CSV rows"
        )
