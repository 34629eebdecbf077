"""The shape of Stripe's objects: each of them complete, from the few fields that somebody gave.

Their fields are those of ``API_VERSION`` and no others, as Stripe's fixtures list them
(https://github.com/stripe/openapi, ``fixtures3.json``). A charge has no ``refunds``: the list comes
only to who asks to expand it (https://docs.stripe.com/upgrades#2022-11-15).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.stripe_emulator.store import Object

API_VERSION = "2026-06-24.dahlia"
EVIDENCE = (
    *("access_activity_log", "billing_address", "cancellation_policy"),
    *("cancellation_policy_disclosure", "cancellation_rebuttal", "customer_communication"),
    *("customer_email_address", "customer_name", "customer_purchase_ip", "customer_signature"),
    *("duplicate_charge_documentation", "duplicate_charge_explanation", "duplicate_charge_id"),
    *("enhanced_evidence", "product_description", "receipt", "refund_policy"),
    *("refund_policy_disclosure", "refund_refusal_explanation", "service_date"),
    *("service_documentation", "shipping_address", "shipping_carrier", "shipping_date"),
    *("shipping_documentation", "shipping_tracking_number", "uncategorized_file"),
    "uncategorized_text",
)


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def derived_id(prefix: str, identifier: str) -> str:
    """An id that belongs to another one, the same each time."""
    return f"{prefix}_{hashlib.sha256(identifier.encode()).hexdigest()[:24]}"


def charge(given: Mapping[str, Any]) -> Object:
    """A charge; ``amount``, ``currency`` and ``created`` are needed, the rest has defaults."""
    identifier = given.get("id") or new_id("ch")
    status = given.get("status", "succeeded")
    succeeded = status != "failed"
    captured = given.get("captured", succeeded)
    refunded = given.get("amount_refunded", 0)
    email = given.get("receipt_email")
    defaults: Object = {
        "id": identifier,
        "object": "charge",
        "amount": 0,
        "amount_captured": given["amount"] if captured else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": derived_id("txn", identifier) if captured else None,
        "billing_details": {
            "address": {
                "city": None,
                "country": None,
                "line1": None,
                "line2": None,
                "postal_code": None,
                "state": None,
            },
            "email": email,
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        "calculated_statement_descriptor": "ECOMMERCE SHOP",
        "captured": captured,
        "created": 0,
        "currency": "usd",
        "customer": None,
        "description": None,
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": {},
        "on_behalf_of": None,
        "outcome": {
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network" if succeeded else "declined_by_network",
            "reason": None if succeeded else given.get("failure_code"),
            "seller_message": "Payment complete."
            if succeeded
            else "The bank did not return any further details.",
            "type": "authorized" if succeeded else "issuer_declined",
        },
        "paid": succeeded,
        "payment_intent": None,
        "payment_method": derived_id("pm", identifier),
        "payment_method_details": {
            "card": {
                "amount_authorized": given["amount"],
                "authorization_code": None,
                "brand": "visa",
                "checks": {
                    "address_line1_check": None,
                    "address_postal_code_check": None,
                    "cvc_check": "pass",
                },
                "country": "US",
                "exp_month": 8,
                "exp_year": 2029,
                "extended_authorization": {"status": "disabled"},
                "fingerprint": derived_id("fp", str(given.get("customer") or identifier))[3:19],
                "funding": "credit",
                "incremental_authorization": {"status": "unavailable"},
                "installments": None,
                "last4": "4242",
                "mandate": None,
                "multicapture": {"status": "unavailable"},
                "network": "visa",
                "network_token": {"used": False},
                "network_transaction_id": str(int(derived_id("", identifier)[1:13], 16)),
                "overcapture": {
                    "maximum_amount_capturable": given["amount"],
                    "status": "unavailable",
                },
                "regulated_status": "unregulated",
                "three_d_secure": None,
                "transaction_link_id": None,
                "wallet": None,
            },
            "type": "card",
        },
        "receipt_email": email,
        "receipt_number": None,
        "receipt_url": f"https://pay.stripe.com/receipts/payment/{derived_id('r', identifier)[2:]}",
        "refunded": bool(refunded) and refunded == given["amount"],
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": status,
        "transfer_data": None,
        "transfer_group": None,
    }
    return defaults | dict(given)


def refund(given: Mapping[str, Any], of: Object | None, *, released: bool = False) -> Object:
    """A refund of a charge: of all that is left of it, unless an ``amount`` is given.

    Args:
        of: None: a refund without a charge, with ``amount`` and ``currency`` of its own.
        released: what it gives back was authorised and never captured, so it touches no balance.
    """
    identifier = given.get("id") or new_id("re")
    of = of or {"captured": True, "amount": 0, "amount_refunded": 0}
    moves_money = of["captured"] and not released
    defaults: Object = {
        "id": identifier,
        "object": "refund",
        "amount": of["amount"] - of["amount_refunded"],
        "balance_transaction": derived_id("txn", identifier) if moves_money else None,
        "charge": of.get("id"),
        "created": 0,
        "currency": of.get("currency"),
        "customer": of.get("customer"),
        "customer_account": None,
        "destination_details": {
            "card": {"type": "refund" if moves_money else "reversal"},
            "type": "card",
        },
        "metadata": {},
        "payment_intent": of.get("payment_intent"),
        "payment_method": of.get("payment_method"),
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    return defaults | dict(given)


def dispute(given: Mapping[str, Any], of: Object) -> Object:
    """A dispute of a charge: of its whole amount, unless an ``amount`` is given."""
    identifier = given.get("id") or new_id("du")
    created = given.get("created", 0)
    defaults: Object = {
        "id": identifier,
        "object": "dispute",
        "amount": of["amount"],
        "balance_transactions": [],
        "charge": of["id"],
        "created": 0,
        "currency": of["currency"],
        "enhanced_eligibility_types": [],
        "evidence": dict.fromkeys(EVIDENCE) | {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": created + 9 * 86400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": of["livemode"],
        "metadata": {},
        "payment_intent": of["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": "visa",
                "case_type": "chargeback",
                "network": "visa",
                "network_reason_code": "83",
            },
            "type": "card",
        },
        "reason": "general",
        "status": "needs_response",
    }
    return defaults | dict(given)


def event(
    kind: str,
    at: int,
    item: Object,
    previous: Mapping[str, Any] | None = None,
    *,
    livemode: bool,
) -> Object:
    data: Object = {"object": item}
    if previous:
        data["previous_attributes"] = dict(previous)
    return {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": at,
        "data": data,
        "livemode": livemode,
        "pending_webhooks": 0,
        "request": {"id": new_id("req"), "idempotency_key": None},
        "type": kind,
    }
