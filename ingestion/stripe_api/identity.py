"""One account, one mode: refuses another Stripe account or mode than the raw tables hold.

A restricted key need not be allowed to read its account, so the account is known by its charges:
Stripe answers 404 for those of another one, and for those of the other mode
(https://docs.stripe.com/keys#test-live-modes).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from ingestion.stripe_api.client import ObjectGoneError, StripeApi
from ingestion.stripe_api.settings import StripeSettings
from pipeline.errors import PermanentError
from pipeline.sources import CHARGES

if TYPE_CHECKING:
    from warehouse import Warehouse


class OtherAccountError(PermanentError):
    """The key opens another account, or another mode, than the one that is loaded."""


def check_identity(api: StripeApi, settings: StripeSettings, warehouse: Warehouse) -> bool:
    """Whether charges are loaded; ``OtherAccountError`` unless the key knows one of the newest."""
    if not warehouse.raw_columns(CHARGES):
        return False
    newest = warehouse.query(
        "select charge_id, payload from stripe.raw_charges where _deleted_at is null "
        "order by created_at desc, charge_id limit 3"  # one may be gone, if it was a test's
    )
    if not newest:
        return False
    loaded, key = _mode_of(json.loads(str(newest[0][1]))), _mode_of_key(settings)
    if loaded and key and loaded != key:
        raise OtherAccountError(_refusal(f"is a {key} key, and {loaded} charges are loaded"))
    if not any(_is_known(api, str(charge_id)) for charge_id, _ in newest):
        names = ", ".join(str(charge_id) for charge_id, _ in newest)
        raise OtherAccountError(
            _refusal(f"does not know the newest charges that are loaded ({names})")
        )
    return True


def _refusal(found: str) -> str:
    return (
        f"STRIPE_API_KEY {found}: it belongs to another account or mode. Two accounts, or test and "
        "live, must not mix in one warehouse; nothing was loaded. Set the key of the account that "
        "is loaded, or start afresh with this one: python -m ingestion charges --full-refresh"
    )


def _is_known(api: StripeApi, charge_id: str) -> bool:
    try:
        api.get(f"/v1/charges/{charge_id}")
    except ObjectGoneError:
        return False
    return True


def _mode_of(charge: object) -> str | None:
    live = charge.get("livemode") if isinstance(charge, dict) else None
    return {True: "live", False: "test"}.get(live) if isinstance(live, bool) else None


def _mode_of_key(settings: StripeSettings) -> str | None:
    """By its prefix, such as ``rk_live_``: https://docs.stripe.com/keys."""
    found = re.match(r"[a-z]+_(?:org_)?(live|test)_", settings.api_key.get_secret_value())
    return found[1] if found else None
