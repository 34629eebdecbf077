"""The demo shop: a source database, Stripe account and CSV inbox of seeded, realistic, messy data.

open_shop(source_dsn, stripe_url, csv_inbox, scale=0.1, until=now)     # its first twelve months
live(source_dsn, stripe_url, csv_inbox, start=now, end=tomorrow)       # and what happens next
"""

from sandbox.shop.counts import ShopCounts
from sandbox.shop.living import live
from sandbox.shop.opening import SCHEMA, open_shop
from sandbox.shop.targets import ShopError

__all__ = ["SCHEMA", "ShopCounts", "ShopError", "live", "open_shop"]
