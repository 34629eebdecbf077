"""Says what Snowflake and its connector refuse, as errors of the pipeline."""

from __future__ import annotations

import snowflake.connector.errors as connector

from pipeline.errors import (
    CredentialsError,
    PermanentError,
    PipelineError,
    WarehouseUnavailableError,
)
from warehouse.snowflake.settings import SnowflakeSettings

# Numbers of GS errors, as the server sends them and the connector shows them.
_SIGN_IN: dict[int, str] = {
    390100: "the user name or the password is wrong",
    390101: "the user name is not known",
    390102: "the user is locked",
    390106: "the password has to be changed first",
    390144: "the private key does not belong to the user (JWT token is invalid)",
    390186: "the role does not exist or is not granted to the user",
    390189: "the role does not exist or is not granted to the user",
    390201: "the object does not exist or the role may not use it",
    390422: "the network policy does not let this machine's address in",
    394300: "the public key or the user of the private key is wrong",
    394304: "the private key does not belong to the user",
    394400: "the programmatic access token is wrong, expired or switched off",
    395090: "multi-factor sign-in is required; use a key pair or a token for a service user",
}
_NO_SUCH_ACCOUNT = {290403, 290404, 251009}
# Does not exist or not authorized, insufficient privileges; no database, schema or virtual
# warehouse that the role may use.
_NO_RIGHT = {2003, 2043, 3001, 3003, 3041, 3540, 90105, 90106, 606}
_QUOTA = {90073, 90069, 3114}  # the resource monitor has suspended the virtual warehouse
_CANCELLED = 604
_PASSING = {
    625,  # lock timeout
    630,  # statement reached its time limit
    666,  # service is busy
    300005,  # server is in maintenance
    300010,
    390109,
    390110,
    390111,
    390112,  # the session has expired
    390114,
    390195,
    253003,  # an upload failed
    252007,
}


def explain(error: Exception, settings: SnowflakeSettings, doing: str) -> PipelineError:
    """The error as one of ours. ``doing`` completes "Snowflake could not ..."."""
    number = abs(int(getattr(error, "errno", None) or 0))
    text = " ".join(str(getattr(error, "msg", None) or error).split())
    reason = next(
        (said for code, said in _SIGN_IN.items() if code == number or f"{code}" in text[:120]), None
    )
    if reason is None and (
        "JWT token is invalid" in text or "Incorrect username or password" in text
    ):
        reason = "the key, token or password does not belong to the user"
    if reason is None and "network policy is required" in text.lower():
        reason = "a service user's token needs a network policy (apply --allow-ip)"
    if reason:
        return CredentialsError(
            f"Snowflake refuses {settings.user} on account {settings.account}: {reason}. Check "
            "the user, its key, token or "
            f"password, and its role (docs/snowflake.md, Sign-in). Snowflake said: {text}"
        )
    if number in _NO_SUCH_ACCOUNT and "404" in f"{number} {text}":
        return CredentialsError(
            f"There is no Snowflake account {settings.account}. Check SNOWFLAKE_ACCOUNT. The "
            f"answer was: {text}"
        )
    if number in _NO_RIGHT or "Insufficient privileges" in text or "not authorized" in text:
        return CredentialsError(
            f"Snowflake could not {doing}: an object is missing, or the role may not use it. Apply "
            "infrastructure/snowflake "
            f"(docs/snowflake.md), then try again. Snowflake said: {text}"
        )
    if number in _QUOTA or "resource monitor" in text.lower():
        return PermanentError(
            f"Snowflake could not {doing}: a resource monitor has stopped the virtual warehouse: "
            "its credits are used up. "
            f"Raise its quota (docs/cost.md) or wait for the next month. Snowflake said: {text}"
        )
    if number == _CANCELLED:
        return PermanentError(
            f"Snowflake could not {doing}: the statement was cancelled, by a person or because it "
            f"took longer than {settings.statement_timeout_seconds} seconds "
            f"(SNOWFLAKE_STATEMENT_TIMEOUT_SECONDS). Snowflake said: {text}"
        )
    if _is_passing(error, number):
        return WarehouseUnavailableError(f"Snowflake could not {doing} for now: {text}")
    return PermanentError(f"Snowflake could not {doing}: {text}")


def _is_passing(error: Exception, number: int) -> bool:
    if number in _PASSING:
        return True
    # What the server says of a statement will be said again; all that is left comes from the way
    # there, or its time limits.
    return not isinstance(
        error, connector.ProgrammingError | connector.IntegrityError | connector.DataError
    )
