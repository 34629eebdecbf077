"""Signs in to Snowflake: with which key, token or password, and none of them in any log."""

from __future__ import annotations

import base64
import logging
import re
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.errors import SettingsError
from warehouse.snowflake.settings import SnowflakeSettings

HOW_TO_SIGN_IN = (
    "Set SNOWFLAKE_PRIVATE_KEY_FILE (or SNOWFLAKE_PRIVATE_KEY), SNOWFLAKE_TOKEN or "
    "SNOWFLAKE_PASSWORD; see docs/snowflake.md, Sign-in."
)


@dataclass(frozen=True)
class SignIn:
    """How this process signs in. ``private_key`` is PKCS#8 in DER, without a passphrase."""

    method: Literal["key pair", "token", "password"]
    private_key: bytes | None = None
    secret: str | None = None

    def __repr__(self) -> str:
        return f"SignIn({self.method})"

    def arguments(self) -> dict[str, Any]:
        """For the connector."""
        if self.method == "key pair":
            return {"authenticator": "SNOWFLAKE_JWT", "private_key": self.private_key}
        if self.method == "token":
            return {"authenticator": "PROGRAMMATIC_ACCESS_TOKEN", "token": self.secret}
        return {"password": self.secret}


def sign_in(settings: SnowflakeSettings) -> SignIn:
    """The first of key pair, token and password that is set.

    ``SettingsError`` says what is missing or wrong.
    """
    if settings.private_key_file or settings.private_key:
        return SignIn("key pair", private_key=_private_key(settings))
    if settings.token:
        return SignIn("token", secret=settings.token.get_secret_value())
    if settings.password:
        return SignIn("password", secret=settings.password.get_secret_value())
    raise SettingsError(f"Nothing is set to sign in to Snowflake with. {HOW_TO_SIGN_IN}")


def private_key_pem(settings: SnowflakeSettings) -> str | None:
    """``SNOWFLAKE_PRIVATE_KEY`` as PEM, whichever of its two forms was given; None if unset."""
    if settings.private_key is None:
        return None
    text = settings.private_key.get_secret_value().strip().replace("\\n", "\n")
    if "-----BEGIN" in text:
        return text
    kind = "ENCRYPTED PRIVATE KEY" if settings.private_key_file_pwd else "PRIVATE KEY"
    body = "".join(text.split())
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""])


def _private_key(settings: SnowflakeSettings) -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if settings.private_key_file:
        variable = f"SNOWFLAKE_PRIVATE_KEY_FILE names {settings.private_key_file}, which"
        try:
            pem = settings.private_key_file.read_bytes()
        except OSError as error:
            raise SettingsError(
                f"{variable} cannot be read: {error.strerror}. {HOW_TO_SIGN_IN}"
            ) from None
    else:
        variable, pem = "SNOWFLAKE_PRIVATE_KEY", (private_key_pem(settings) or "").encode()
    passphrase = settings.private_key_file_pwd
    try:
        key = serialization.load_pem_private_key(
            pem, passphrase.get_secret_value().encode() if passphrase else None
        )
    except TypeError:  # it has a passphrase and none was given, or the other way round
        needs = (
            "has no passphrase, but one is set"
            if passphrase
            else "has a passphrase, and none is set"
        )
        raise SettingsError(
            f"{variable} {needs}: correct SNOWFLAKE_PRIVATE_KEY_FILE_PWD."
        ) from None
    except ValueError:
        hint = " or SNOWFLAKE_PRIVATE_KEY_FILE_PWD is not its passphrase" if passphrase else ""
        raise SettingsError(
            f"{variable} is no private key in PEM{hint}. {HOW_TO_SIGN_IN}"
        ) from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < 2048:
        raise SettingsError(
            f"{variable} is no RSA key of 2048 bits or more; Snowflake takes no other."
        )
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def fingerprint(settings: SnowflakeSettings) -> str | None:
    """SHA256 fingerprint of the public key, as in ``describe user``; None without a key pair."""
    import hashlib

    from cryptography.hazmat.primitives import serialization

    given = sign_in(settings)
    if given.private_key is None:
        return None
    key = serialization.load_der_private_key(given.private_key, None)
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode()


class _Masking(logging.Filter):
    """Takes this account's secrets, and all that looks like one, out of the connector's records."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        from pipeline.masking import mask

        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            return True
        record.msg, record.args = mask(_SIGNED.sub(r"\1***", text), self.secrets), None
        return True


_SIGNED = re.compile(r"(?i)((?:signature|x-amz-security-token|sig)=)[^&\s'\"]+")
_masking = _Masking()


def mask_logs(settings: SnowflakeSettings, given: SignIn) -> None:
    """Filter each of the connector's loggers: a filter does not see children's records."""
    values = (
        settings.private_key,
        settings.private_key_file_pwd,
        settings.token,
        settings.password,
    )
    _masking.secrets |= {value.get_secret_value() for value in values if value}
    if given.private_key:
        _masking.secrets.add(base64.b64encode(given.private_key).decode())
    for name in ["snowflake.connector", *logging.root.manager.loggerDict]:
        if (
            name.split(".")[0] == "snowflake"
            and _masking not in (logger := logging.getLogger(name)).filters
        ):
            logger.addFilter(_masking)
