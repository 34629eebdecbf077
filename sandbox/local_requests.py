"""Who may ask a stand-in's server: programs of this machine, and no page of some other site.

A browser sends what any site tells it to, to 127.0.0.1 too. So a request has to name the server by
an address or by a name it has here (else a site's own name was pointed at it, "DNS rebinding"), a
page that posts has to be the server's own, and bodies are bounded.
"""

from __future__ import annotations

from email.message import Message
from ipaddress import ip_address
from urllib.parse import urlsplit

# A page of another site can send the last two without asking, but not without its Origin.
TAKEN = ("application/json", "application/x-ndjson", "application/x-www-form-urlencoded", "")
LARGEST_BODY = 1_000_000  # bytes
NAMES = frozenset({"localhost", "slack-inbox", "stripe-emulator"})  # the latter two in containers


def refusal(
    method: str, headers: Message, largest_body: int = LARGEST_BODY
) -> tuple[int, str] | None:
    """HTTP status and sentence for a request that is not answered, None for any other."""
    host = headers.get("Host") or ""
    if not _is_ours(host):
        return 421, "Ask for this server by its address, or as localhost."
    origin = headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return 403, "Pages of other sites may not ask this server."
    if headers.get("Transfer-Encoding"):
        return 411, "Say how long the body is: Content-Length."
    length = headers.get("Content-Length") or "0"
    if not (length.isascii() and length.isdigit()):
        return 400, "Content-Length is no number."
    if len(length) > 20 or int(length) > largest_body:
        return 413, "The body is too large."
    media_type = (headers.get("Content-Type") or "").split(";")[0].strip().lower()
    if method == "POST" and int(length) and media_type not in TAKEN:
        return 415, "Send JSON or a form."
    return None


def _is_ours(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name in NAMES or bool(ip_address(name))
    except ValueError:
        return False
