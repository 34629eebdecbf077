"""How much a stretch of the shop's life wrote."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShopCounts:
    """Rows and objects that are new, rows that changed, and CSV rows (written anew, of which
    malformed).
    """

    orders: int
    order_items: int
    customers: int
    products: int
    orders_changed: int
    customers_changed: int
    products_changed: int
    charges: int
    refunds: int
    disputes: int
    spend_rows: int
    performance_rows: int
    malformed_rows: int

    def __str__(self) -> str:
        return (
            f"{self.orders:,} orders with {self.order_items:,} items, {self.customers:,} "
            f"customers, {self.products:,} products, "
            f"{self.charges:,} charges, {self.refunds:,} refunds, {self.disputes:,} disputes, "
            f"{self.spend_rows + self.performance_rows:,} CSV rows"
        )
