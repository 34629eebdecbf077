"""Texts with secrets in them, as drivers, tracebacks, shells and services write them."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
LAST = "Mzkpq0J9c2WfNn8yTgQxRb5dEo7LhV4sUaIw3m1KZGtPXe6CBYrHDuFvi+OlA/jS"

# Secrets this process knows, by kind.
KNOWN = {
    "password": "Tr0ub4dor&3/x+y z",
    "password with quotes": "it's\"a\\b<c>&é9",
    "password with a slash": "/v9Kq/Lm2$wX",
    "password of letters": "correcthorsebatterystaple",
    "token": "9fQ2v_Zk-7LmXw3RtYp0",
    "stripe key": "sk_" + "live_51HqLyjWDarjtT1zdp7dcXYZ",
    "aws secret": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzEXA7MPLEK",
    "fernet key": "q3tGk1Zz0dYxW8uVb5nR2mC7oP9sLhJfKeTaXiEvBwY=",
    "pem": f"-----BEGIN PRIVATE KEY-----\n{BODY}\n{LAST}\n-----END PRIVATE KEY-----\n",
    "hex": "4c1f0e9b7a6d58233e0f9a8b7c6d5e4f",
}

Form = Callable[[str], str]


def _aligned(lead: str) -> Form:
    return lambda secret: base64.b64encode(f"{lead}{secret}".encode()).decode()


FORMS: dict[str, Form] = {
    "plain": str,
    "quoted": lambda s: quote(s, safe=""),
    "quoted but for slashes": quote,
    "quoted twice": lambda s: quote(quote(s, safe=""), safe=""),
    "quote_plus": quote_plus,
    "json": lambda s: json.dumps(s)[1:-1],
    "json twice": lambda s: json.dumps(json.dumps(s)[1:-1])[1:-1],
    "repr": lambda s: repr(s)[1:-1],
    "repr of bytes": lambda s: repr(s.encode())[2:-1],
    "html": html.escape,
    "base64": _aligned(""),
    "base64 after a user": _aligned("ann:"),
    "base64 after another": _aligned("loader:"),
    "base64 for addresses": lambda s: base64.urlsafe_b64encode(f"xy{s}".encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
    "sql": lambda s: s.replace("'", "''"),
}

FRAMES = {
    "alone": "{}",
    "sentence": "The server refused {} for the role.",
    "between letters": "xx.{}.yy",
    "driver error": 'FATAL: connection to "db" failed: user=loader password={} host=db',
    "traceback": "  File 'x.py', line 3, in connect\n    driver.open({})\nOSError: {}\n",
    "address": "postgresql://loader:{}@db:5432/shop?sslmode=require",
    "json body": '{"error": {"message": "Invalid key: {}", "code": 401}}',
    "environment": "HOME=/root\nSOME_SETTING={}\nPATH=/usr/bin\n",
    "yaml": "source:\n  host: db\n  setting: '{}'\n",
    "command line": "psql --host db --set v={} --command 'select 1'",
    "header": "> X-Custom: {}\n> Accept: */*",
    "query": "GET /v1/x?day=2026-11-22&v={}&page=2 HTTP/1.1",
}
# Text before the cut, how much of the secret is left, text after it.
CUTS: dict[str, tuple[str, slice, str]] = {
    "cut at the end": ("OperationalError: could not sign in with ", slice(None, -4), ""),
    "cut with dots": ("input_value='", slice(None, -4), "...', input_type=str"),
    "cut at the beginning": ("", slice(4, None), " was refused"),
    "cut after dots": ("input_value='...", slice(4, None), "', input_type=str"),
}


@dataclass(frozen=True)
class Case:
    """A text and the piece of it that must not be read in the masked one."""

    kind: str
    form: str
    frame: str
    text: str
    secret: str

    def leaks(self, masked: str) -> bool:
        return self.secret in masked

    def __str__(self) -> str:
        return f"{self.kind} | {self.form} | {self.frame}"


def known_cases() -> Iterator[Case]:
    for kind, secret in KNOWN.items():
        for form, write in FORMS.items():
            written = write(secret)
            # The edges of Base64 depend on what stands beside the secret.
            core = written[10:-3] if "base64" in form else written
            for frame, text in FRAMES.items():
                yield Case(kind, form, frame, text.replace("{}", written), core)
        for frame, (before, left, after) in CUTS.items():
            piece = secret[left]
            yield Case(kind, "plain", frame, f"{before}{piece}{after}", piece)


# Secrets it does not know. Those with a shape of their own are hidden in any frame, ...
SHAPED = {
    "stripe": "sk_" + "test_4eC39HqLyjWDarjtT1zdp7dc",
    "stripe restricted": "rk_" + "live_51HqLyjWDarjtT1zdp7dc",
    "stripe webhook": "whsec_" + "5f2Kd8sLq0ZxWv9RtYpN3mBc",
    "slack bot": "xoxb-" + "2081234567-2081234567890-aBcDeFgHiJkLmNoP",
    "slack app": "xapp-" + "1-A0123456789-2081234567890-abcdef0123456789",
    "slack path": "https://hooks.slack.com/services/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",
    "discord path": "https://discord.com/api/webhooks/103344556677889900/Zx9-YwVuTsRqPoNmLkJiHgFeDcBa",
    "teams path": "https://acme.webhook.office.com/webhookb2/3fa85f64-5717-4562/IncomingWebhook/0a1b2c3d4e5f",
    "aws key id": "AKIA" + "IOSFODNN7EXAMPLE",
    "aws secret": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXA7MPLEK",
    "gcp api key": "AIza" + "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    "gcp oauth": "ya29." + "a0AfH6SMBx7-Zk3QpLwR9sT2uV5xY8zA1bC4dE",
    "gcs hmac id": "GOOG" + "1EXAMPLE7QK2ZV9WXYT3RBNM5PLH",
    "github": "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
    "github pat": "github_pat_" + "11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ0123456789abcdef",
    "gitlab": "glpat-" + "x8Zq2Wv9RtYpN3mBcK5d",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0."
    "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "azure account key": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2U"
    "VErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "azure secret": "a1b8Q~" + "k3ZxWv9RtYpN3mBcK5dLq0HsGfJ7uEoTi2",
    "key without BEGIN": f"{BODY}\n{LAST}\n-----END PRIVATE KEY-----",
    "key": KNOWN["pem"],
    "openai": "sk-" + "proj-a8Zq2Wv9RtYpN3mBcK5dLq0H",
}
# ... others by what stands beside them.
NAMED_VALUES = {
    "word": "hunter2",
    "random": "x8Zq2Wv9RtYp",
    "punctuated": "p@ss,w0rd;x&y",
    "hex": "0a1b2c3d4e5f60718293",
    "letters": "swordfish",
}
NAMED_FRAMES = {
    "dsn": "host=db user=loader password={} dbname=shop",
    "dsn, quoted": "host=db password='{}' dbname=shop",
    "environment": "HOME=/root\nPGPASSWORD={}\nLANG=C",
    "environment secret": "AWS_SECRET_ACCESS_KEY={}\nLANG=C",
    "json": '{{"api_key": "{}", "day": 1}}',
    "json in json": '{{"body": "{{\\"client_secret\\": \\"{}\\"}}"}}',
    "json, camel case": '{{"secretAccessKey":"{}","region":"eu"}}',
    "python": "connect(host='db', password='{}', port=5432)",
    "python dict": "{{'user': 'loader', 'auth_token': '{}'}}",
    "python bytes": "{{'password': b'{}'}}",
    "yaml": "source:\n  password: {}\n  host: db",
    "yaml, quoted": 'source:\n  password: "{}"\n',
    "toml": 'access_token = "{}"\nuser = "x"',
    "option": "snowsql --user loader --password {} --host db",
    "option =": "snowsql --token={} --host db",
    "option, list": "['snowsql', '--password', '{}', '--host', 'db']",
    "sql": "ALTER ROLE loader WITH LOGIN PASSWORD '{}' VALID UNTIL 'infinity'",
    "sql, identified": "CREATE USER loader IDENTIFIED BY '{}'",
    "snowflake sql": "CREATE USER loader PASSWORD = '{}' DEFAULT_ROLE = LOADER",
    "url": "postgresql+psycopg2://loader:{}@db:5432/shop",
    "redis url": "redis://:{}@redis:6379/0",
    "cookie": "Cookie: session={}; theme=dark",
    "set-cookie": "Set-Cookie: sid={}; HttpOnly",
    "cookie, dict": "{{'Cookie': 'session={}', 'Accept': '*/*'}}",
    "authorization": "Authorization: Bearer {}1",
    "authorization, other": 'Authorization: Snowflake Token="{}"',
    "authorization, dict": "{{'authorization': 'Token {}'}}",
    "api key header": "X-Api-Key: {}\nAccept: */*",
    "s3": "https://b.s3.amazonaws.com/k?X-Amz-Credential=a&X-Amz-Signature={}&X-Amz-Date=1",
    "s3 session": "https://b.s3.amazonaws.com/k?X-Amz-Security-Token={}",
    "s3, older": "https://b.s3.amazonaws.com/k?AWSAccessKeyId={}&Expires=1",
    "gcs": "https://storage.googleapis.com/b/k?X-Goog-Signature={}",
    "azure": "https://a.blob.core.windows.net/c?sv=2024-01-01&sp=r&sig={}&se=2026",
    "azure connection": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={};"
    "EndpointSuffix=x",
    "azure bus": "Endpoint=sb://a/;SharedAccessKeyName=Root;SharedAccessKey={}",
    "fernet": "AIRFLOW__CORE__FERNET_KEY = {}",
    "passphrase": "private_key_file_passphrase: '{}'",
}
TOKEN_URLS = (
    "https://{}@github.com/acme/shop.git",
    "remote: https://x-access-token:{}@github.com/a",
)


def unknown_cases() -> Iterator[Case]:
    for kind, secret in SHAPED.items():
        for frame, text in FRAMES.items():
            yield Case(kind, "plain", frame, text.replace("{}", secret), _core(secret))
    for kind, secret in NAMED_VALUES.items():
        for frame, text in NAMED_FRAMES.items():
            filled = text.replace("{{", "{").replace("}}", "}").replace("{}", secret)
            yield Case(kind, "named", frame, filled, secret)
            # What is left of a value of which only the beginning was hidden is a leak, too.
            yield Case(f"{kind}, its end", "named", frame, filled, secret[-4:])
    for text in TOKEN_URLS:
        secret = "a8Zq2Wv9RtYpN3mBcK5d"
        yield Case("token", "plain", text, text.replace("{}", secret), secret)


def _core(secret: str) -> str:
    """What makes a shaped secret secret: neither its vendor's prefix nor the address."""
    return secret.splitlines()[-2] if "\n" in secret else secret[-12:]
