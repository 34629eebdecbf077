"""The emulator against the official SDK, which reads it as it reads Stripe."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from sandbox.stripe_emulator import Fault, StripeEmulator

KEY = "sk_test_" + "e" * 24
DAY = 86_400
NOW = 1_790_000_000  # the emulator's clock in these tests


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def emulator(clock: Clock) -> Iterator[StripeEmulator]:
    with StripeEmulator(now=clock) as running:
        yield running


@pytest.fixture
def client(emulator: StripeEmulator) -> stripe.StripeClient:
    return client_of(emulator.url)


def client_of(url: str, key: str = KEY) -> stripe.StripeClient:
    return stripe.StripeClient(key, base_addresses={"api": url}, max_network_retries=0)


def charge(number: int, created: int, **fields: Any) -> dict[str, Any]:
    return {
        "object": "charge",
        "id": f"ch_{number:05}",
        "created": created,
        "amount": 1000,
        "currency": "usd",
        **fields,
    }


def ids(page: Any) -> list[str]:
    return [item.id for item in page.data]


def event_types(client: stripe.StripeClient) -> list[str]:
    return [event.type for event in client.v1.events.list({"limit": 100}).data][::-1]


def test_lists_are_newest_first_and_auto_paging_sees_each_object_once(
    emulator: StripeEmulator, client: stripe.StripeClient
) -> None:
    # Three in each second.
    emulator.import_objects([charge(n, NOW - 1000 + n // 3) for n in range(250)])

    listed = [item.id for item in client.v1.charges.list({"limit": 100}).auto_paging_iter()]

    assert listed == [f"ch_{n:05}" for n in reversed(range(250))]


def test_paging_backwards_gives_the_nearest_newer_objects(
    emulator: StripeEmulator, client: stripe.StripeClient
) -> None:
    emulator.import_objects([charge(n, NOW - 100 + n) for n in range(10)])

    page = client.v1.charges.list({"limit": 3, "ending_before": "ch_00004"})

    assert ids(page) == ["ch_00007", "ch_00006", "ch_00005"]
    assert page.has_more
    assert [item.id for item in page.auto_paging_iter()] == [f"ch_{n:05}" for n in range(5, 10)]


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        ({"gt": NOW + 3}, [5, 4]),
        ({"gte": NOW + 3}, [5, 4, 3]),
        ({"lt": NOW + 2}, [1, 0]),
        ({"lte": NOW + 2}, [2, 1, 0]),
        ({"gt": NOW + 1, "lte": NOW + 3}, [3, 2]),
        (NOW + 4, [4]),
    ],
)
def test_created_takes_every_operator(
    emulator: StripeEmulator, client: stripe.StripeClient, created: Any, expected: list[int]
) -> None:
    emulator.import_objects([charge(n, NOW + n) for n in range(6)])

    assert ids(client.v1.charges.list({"created": created})) == [f"ch_{n:05}" for n in expected]


def test_an_object_created_between_two_pages_shifts_nothing(
    emulator: StripeEmulator, client: stripe.StripeClient
) -> None:
    emulator.import_objects([charge(n, NOW - 10 + n) for n in range(4)])
    first = client.v1.charges.list({"limit": 2})

    client.v1.charges.create({"amount": 500, "currency": "usd", "source": "tok_visa"})
    second = client.v1.charges.list({"limit": 2, "starting_after": first.data[-1].id})

    assert ids(first) + ids(second) == ["ch_00003", "ch_00002", "ch_00001", "ch_00000"]
    assert not second.has_more


def test_a_charge_is_refunded_in_parts_and_says_so(client: stripe.StripeClient) -> None:
    paid = client.v1.charges.create(
        {"amount": 1000, "currency": "usd", "source": "tok_visa", "metadata": {"order_id": "7"}}
    )

    client.v1.refunds.create({"charge": paid.id, "amount": 300, "reason": "requested_by_customer"})
    part = client.v1.charges.retrieve(paid.id)
    rest = client.v1.refunds.create({"charge": paid.id})
    whole = client.v1.charges.retrieve(paid.id)

    assert (part.amount_refunded, part.refunded) == (300, False)
    assert (whole.amount_refunded, whole.refunded, rest.amount) == (1000, True, 700)
    assert whole.metadata["order_id"] == "7"
    assert [refund.amount for refund in client.v1.refunds.list({"charge": paid.id}).data] == [
        700,
        300,
    ]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": paid.id})
    assert refused.value.code == "charge_already_refunded"
    assert event_types(client) == [
        "charge.succeeded", "charge.refunded", "refund.created", "charge.refunded",
        "refund.created",
    ]  # fmt: skip


def test_an_event_carries_the_object_as_it_was_and_what_changed(
    client: stripe.StripeClient,
) -> None:
    paid = client.v1.charges.create({"amount": 1000, "currency": "usd", "source": "tok_visa"})
    client.v1.refunds.create({"charge": paid.id, "amount": 300})
    client.v1.refunds.create({"charge": paid.id, "amount": 200})

    newest, older = client.v1.events.list({"type": "charge.refunded"}).data

    assert (
        older.data.object["amount_refunded"],
        older.data.previous_attributes["amount_refunded"],
    ) == (300, 0)
    assert (
        newest.data.object["amount_refunded"],
        newest.data.previous_attributes["amount_refunded"],
    ) == (500, 300)
    assert client.v1.events.retrieve(newest.id).type == "charge.refunded"


def authorised(client: stripe.StripeClient, amount: int = 1000) -> stripe.Charge:
    return client.v1.charges.create(
        {"amount": amount, "currency": "usd", "source": "tok_visa", "capture": False}
    )


def refunds_of(client: stripe.StripeClient, charge_id: str) -> list[tuple[Any, ...]]:
    """Amount, status, reason, whether it touched the balance, oldest first."""
    found = client.v1.refunds.list({"charge": charge_id}).data[::-1]
    return [(r.amount, r.status, r.reason, r.balance_transaction is not None) for r in found]


def test_a_late_capture(client: stripe.StripeClient) -> None:
    held = authorised(client)
    assert (held.captured, held.amount_captured, held.balance_transaction) == (False, 0, None)

    taken = client.v1.charges.capture(held.id)

    assert (taken.captured, taken.amount_captured, taken.amount_refunded) == (True, 1000, 0)
    assert taken.balance_transaction
    assert refunds_of(client, held.id) == []
    assert event_types(client) == ["charge.succeeded", "charge.captured"]
    with pytest.raises(stripe.InvalidRequestError, match="already been captured"):
        client.v1.charges.capture(held.id)


def test_a_partial_capture_gives_the_rest_back_without_moving_it(
    client: stripe.StripeClient,
) -> None:
    held = authorised(client)

    taken = client.v1.charges.capture(held.id, {"amount": 800})
    client.v1.refunds.create({"charge": held.id, "amount": 300})
    client.v1.refunds.create({"charge": held.id})
    whole = client.v1.charges.retrieve(held.id)

    assert (taken.amount_captured, taken.amount_refunded, taken.refunded) == (800, 200, False)
    assert (whole.amount_captured, whole.amount_refunded, whole.refunded) == (800, 1000, True)
    assert refunds_of(client, held.id) == [
        (200, "succeeded", None, False),
        (300, "succeeded", None, True),
        (500, "succeeded", None, True),
    ]


def test_an_authorisation_is_voided_by_a_refund_of_the_whole(client: stripe.StripeClient) -> None:
    held = authorised(client)
    with pytest.raises(stripe.InvalidRequestError, match="partially refund an uncaptured charge"):
        client.v1.refunds.create({"charge": held.id, "amount": 1})

    refund = client.v1.refunds.create({"charge": held.id})
    voided = client.v1.charges.retrieve(held.id)

    assert (voided.status, voided.captured, voided.amount_captured) == ("succeeded", False, 0)
    assert (voided.refunded, voided.amount_refunded) == (True, 1000)
    assert refund.balance_transaction is None
    assert refund.destination_details["card"]["type"] == "reversal"
    assert event_types(client) == ["charge.succeeded", "charge.refunded", "refund.created"]
    with pytest.raises(stripe.InvalidRequestError, match="has been refunded"):
        client.v1.charges.capture(held.id)


def test_an_authorisation_that_nobody_captures_expires_after_seven_days(
    client: stripe.StripeClient, clock: Clock, tmp_path: Path
) -> None:
    held, taken, voided = authorised(client), authorised(client), authorised(client)
    client.v1.charges.capture(taken.id)
    client.v1.refunds.create({"charge": voided.id})
    clock.now += 7 * DAY - 1
    assert not client.v1.charges.retrieve(held.id).refunded

    clock.now += 1
    expired = client.v1.charges.retrieve(held.id)

    assert (expired.status, expired.captured, expired.amount_captured) == ("succeeded", False, 0)
    assert (expired.refunded, expired.amount_refunded) == (True, 1000)
    assert refunds_of(client, held.id) == [(1000, "succeeded", "expired_uncaptured_charge", False)]
    assert event_types(client)[-1] == "charge.expired"
    assert refunds_of(client, taken.id) == []
    assert len(refunds_of(client, voided.id)) == 1


def test_an_authorisation_in_the_store_expires_as_well(tmp_path: Path, clock: Clock) -> None:
    with StripeEmulator(store=tmp_path, now=clock) as emulator:
        held = authorised(client_of(emulator.url))
    clock.now += 8 * DAY
    with StripeEmulator(store=tmp_path, now=clock) as emulator:
        assert client_of(emulator.url).v1.charges.retrieve(held.id).refunded


def test_objects_have_the_fields_of_the_api_version_and_no_others(
    client: stripe.StripeClient,
) -> None:
    charge = client.v1.charges.create(
        {"amount": 1000, "currency": "usd", "source": "tok_createDispute"}
    )
    client.v1.refunds.create({"charge": charge.id, "amount": 1})
    fixtures = json.loads((Path(__file__).parent / "stripe_fixtures.json").read_text())
    del fixtures["charge"]["refunds"]  # only where it is asked to be expanded

    for kind in ("charge", "refund", "dispute", "event"):
        path = f"/v1/{kind}s"
        item = client.deserialize(client.raw_request("get", path), api_mode="V1").data[0].to_dict()
        assert item.keys() == fixtures[kind].keys(), kind
        assert unknown(item, fixtures[kind]) == [], kind


def unknown(item: Any, fixture: Any, path: str = "") -> list[str]:
    """Fields, at any depth, that the fixture does not have; what varies by nature is left out."""
    if path in ("/metadata", "/data") or not isinstance(item, dict) or not fixture:
        return []
    missing = [f"{path}/{name}" for name in item if name not in fixture]
    inner = [unknown(item[name], fixture[name], f"{path}/{name}") for name in item.keys() & fixture]
    return [*missing, *(name for names in inner for name in names)]


def test_a_refund_need_not_have_a_charge(
    emulator: StripeEmulator, client: stripe.StripeClient
) -> None:
    emulator.import_objects(
        [
            {
                "object": "refund",
                "id": "re_loose",
                "charge": None,
                "amount": 700,
                "currency": "eur",
                "created": NOW - 5,
            }
        ]
    )

    loose = client.v1.refunds.retrieve("re_loose")

    assert (loose.charge, loose.amount, loose.currency) == (None, 700, "eur")
    assert event_types(client) == ["refund.created"]


def test_the_live_mode_takes_live_keys_and_its_objects_say_so() -> None:
    with StripeEmulator(livemode=True) as emulator:
        live = client_of(emulator.url, "sk_live_" + "x" * 24)
        made = live.v1.charges.create({"amount": 1000, "currency": "usd", "source": "tok_visa"})
        assert made.livemode
        assert live.v1.events.list().data[0].livemode
        with pytest.raises(stripe.AuthenticationError):
            client_of(emulator.url).v1.charges.list()


def test_the_date_of_an_answer_is_the_emulators(emulator: StripeEmulator, clock: Clock) -> None:
    clock.now = 1_600_000_000
    health = requests.get(f"{emulator.url}/_emulator/health", timeout=5)
    assert health.headers["Date"] == "Sun, 13 Sep 2020 12:26:40 GMT"


def test_a_dispute_is_opened_and_lost(client: stripe.StripeClient) -> None:
    paid = client.v1.charges.create(
        {"amount": 1000, "currency": "usd", "source": "tok_createDispute"}
    )
    dispute = client.v1.disputes.list({"charge": paid.id}).data[0]

    client.v1.disputes.close(dispute.id)

    assert paid.disputed
    assert dispute.status == "needs_response"
    assert client.v1.disputes.retrieve(dispute.id).status == "lost"
    assert event_types(client) == [
        "charge.succeeded", "charge.dispute.created", "charge.dispute.funds_withdrawn",
        "charge.dispute.closed",
    ]  # fmt: skip


def test_a_declined_card_is_an_error_and_leaves_a_failed_charge(
    client: stripe.StripeClient,
) -> None:
    with pytest.raises(stripe.CardError) as declined:
        client.v1.charges.create(
            {"amount": 1000, "currency": "usd", "source": "tok_chargeDeclined"}
        )

    failed = client.v1.charges.list().data[0]
    assert declined.value.code == "card_declined"
    assert (failed.status, failed.paid, failed.captured, failed.failure_code) == (
        "failed",
        False,
        False,
        "card_declined",
    )
    assert event_types(client) == ["charge.failed"]


def test_events_are_filtered_by_types_and_reach_back_thirty_days(
    emulator: StripeEmulator, client: stripe.StripeClient, clock: Clock
) -> None:
    emulator.import_objects(
        [charge(1, NOW - 40 * DAY), charge(2, NOW - 20 * DAY), charge(3, NOW - 1 * DAY)]
    )
    emulator.import_objects([{"object": "refund", "charge": "ch_00001", "created": NOW - 10 * DAY}])

    both = client.v1.events.list({"types": ["charge.succeeded", "refund.created"]}).data
    assert [
        (event.type, event.data.object["id"][:8])
        for event in both
        if event.type == "charge.succeeded"
    ] == [
        ("charge.succeeded", "ch_00003"),
        ("charge.succeeded", "ch_00002"),
    ]
    assert [event.type for event in both] == [
        "charge.succeeded",
        "refund.created",
        "charge.succeeded",
    ]

    clock.now += 15 * DAY
    assert [
        event.data.object["id"]
        for event in client.v1.events.list({"type": "charge.succeeded"}).data
    ] == ["ch_00003"]
    with pytest.raises(stripe.InvalidRequestError, match="No such event"):
        client.v1.events.retrieve(both[-1].id)


def test_an_import_has_its_own_past(emulator: StripeEmulator, client: stripe.StripeClient) -> None:
    past = NOW - 5 * DAY
    lines = [
        charge(1, past - 90 * DAY, amount=2500, metadata={"order_id": "31"}),
        {"object": "refund", "id": "re_1", "charge": "ch_00001", "amount": 500, "created": past},
        {
            "object": "dispute",
            "id": "du_1",
            "charge": "ch_00001",
            "created": past + 60,
            "reason": "fraudulent",
        },
        {"object": "dispute", "id": "du_1", "status": "won", "_at": past + 120},
    ]
    answer = requests.post(
        f"{emulator.url}/_emulator/import", data="\n".join(map(json.dumps, lines)), timeout=5
    )

    assert answer.json() == {"charge": 1, "refund": 1, "dispute": 2}
    found = client.v1.charges.retrieve("ch_00001")
    assert (found.created, found.amount_refunded, found.disputed) == (past - 90 * DAY, 500, True)
    assert [
        (event.type, event.created - past) for event in client.v1.events.list({"limit": 100}).data
    ][::-1] == [
        ("charge.refunded", 0),
        ("refund.created", 0),
        ("charge.dispute.created", 60),
        ("charge.dispute.funds_withdrawn", 60),
        ("charge.dispute.funds_reinstated", 120),
        ("charge.dispute.closed", 120),
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("not json", "Line 2 is not JSON"),
        ('{"object": "customer", "created": 1}', "Line 2: object is 'customer'"),
        (
            '{"object": "charge", "created": 1, "currency": "usd"}',
            "Line 2: a new charge needs 'amount'",
        ),
        (
            '{"object": "refund", "created": 1, "charge": "ch_none"}',
            "Line 2: no such charge: 'ch_none'",
        ),
    ],
)
def test_a_bad_import_is_refused_whole(emulator: StripeEmulator, line: str, complaint: str) -> None:
    lines = json.dumps(charge(1, NOW)) + "\n" + line

    answer = requests.post(f"{emulator.url}/_emulator/import", data=lines, timeout=5)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(complaint)
    assert requests.get(f"{emulator.url}/_emulator/health", timeout=5).json()["charge"] == 0


@pytest.mark.parametrize("key", ["sk_live_" + "x" * 24, "nonsense"])
def test_a_wrong_key_is_refused_without_being_shown(emulator: StripeEmulator, key: str) -> None:
    with pytest.raises(stripe.AuthenticationError) as refused:
        client_of(emulator.url, key).v1.charges.list()
    assert key not in str(refused.value)


def test_a_restricted_key_has_no_permission(emulator: StripeEmulator) -> None:
    with pytest.raises(stripe.PermissionError):
        client_of(emulator.url, "rk_test_" + "x" * 24).v1.charges.list()


def test_what_stripe_would_refuse_is_refused(
    emulator: StripeEmulator, client: stripe.StripeClient
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter: color"):
        client.v1.charges.list({"color": "red"})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(stripe.InvalidRequestError, match="between 1 and 100"):
        client.v1.charges.list({"limit": 101})
    with pytest.raises(stripe.InvalidRequestError, match="No such charge: 'ch_gone'") as gone:
        client.v1.charges.list({"starting_after": "ch_gone"})
    assert gone.value.param == "starting_after"
    with pytest.raises(stripe.InvalidRequestError, match="No such charge"):
        client.v1.charges.retrieve("ch_gone")
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        client.raw_request("get", "/v1/customers")


def test_an_idempotency_key_replays_the_answer(client: stripe.StripeClient) -> None:
    parameters: Any = {"amount": 1000, "currency": "usd", "source": "tok_visa"}
    first = client.v1.charges.create(parameters, {"idempotency_key": "once"})
    second = client.v1.charges.create(parameters, {"idempotency_key": "once"})

    assert first.id == second.id
    assert len(client.v1.charges.list().data) == 1


def test_faults_come_when_asked_for(emulator: StripeEmulator) -> None:
    url = f"{emulator.url}/v1/charges"
    headers = {"Authorization": f"Bearer {KEY}"}

    def get() -> requests.Response:
        return requests.get(url, headers=headers, timeout=5)

    fault = {"kind": "429", "retry_after": 2, "times": 2, "path": "^/v1/charges"}
    assert requests.post(f"{emulator.url}/_emulator/faults", json=fault, timeout=5).ok
    limited = get()
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "2")
    assert limited.json()["error"]["code"] == "rate_limit"
    assert requests.get(f"{emulator.url}/v1/events", headers=headers, timeout=5).ok
    assert [get().status_code, get().status_code] == [429, 200]

    emulator.add_fault(Fault("500", every=3, times=0))
    assert [get().status_code for _ in range(6)] == [200, 200, 500, 200, 200, 500]
    requests.delete(f"{emulator.url}/_emulator/faults", timeout=5)

    emulator.add_fault(Fault("cut"))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        get()
    emulator.add_fault(Fault("timeout", seconds=0.2))
    with pytest.raises(requests.exceptions.ConnectionError):
        get()
    assert get().status_code == 200

    refused = requests.post(f"{emulator.url}/_emulator/faults", json={"kind": "418"}, timeout=5)
    assert refused.status_code == 400


def test_a_store_survives_a_kill(tmp_path: Path) -> None:
    def serve() -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "sandbox.stripe_emulator", "--store", str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, process.stdout.readline().split()[-1]

    process, url = serve()
    try:
        created = client_of(url).v1.charges.create(
            {"amount": 1000, "currency": "usd", "source": "tok_visa"}
        )
        client_of(url).v1.refunds.create({"charge": created.id, "amount": 10})
        before = [event.id for event in client_of(url).v1.events.list().data]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with (tmp_path / "objects.jsonl").open("ab") as file:
        file.write(b'{"kind":"charge","id":"ch_torn","crea')  # as a kill in mid-write leaves it

    process, url = serve()
    try:
        charges = client_of(url).v1.charges.list().data
        assert [(item.id, item.amount_refunded) for item in charges] == [(created.id, 10)]
        assert [event.id for event in client_of(url).v1.events.list().data] == before
        client_of(url).v1.refunds.create({"charge": created.id, "amount": 5})
    finally:
        process.terminate()
        assert process.wait(10) == 0
    assert [
        json.loads(line)["kind"] for line in (tmp_path / "objects.jsonl").read_text().splitlines()
    ].count("refund") == 2


def test_stop_closes_the_port_and_open_connections() -> None:
    emulator = StripeEmulator().start()
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {KEY}"
    assert session.get(f"{emulator.url}/v1/charges", timeout=5).ok

    emulator.stop()

    with pytest.raises(requests.exceptions.ConnectionError):
        session.get(f"{emulator.url}/v1/charges", timeout=5)


def test_a_hundred_thousand_charges_list_and_reload_fast(tmp_path: Path) -> None:
    with StripeEmulator(store=tmp_path) as emulator:
        emulator.import_objects([charge(n, NOW - 200_000 + n) for n in range(100_000)])
    started = time.perf_counter()
    with StripeEmulator(store=tmp_path) as emulator:
        reloaded = time.perf_counter() - started
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {KEY}"
        oldest = "ch_99999"
        started = time.perf_counter()
        for _ in range(50):
            page = session.get(
                f"{emulator.url}/v1/charges",
                params={"limit": 100, "starting_after": oldest},
                timeout=5,
            ).json()
            oldest = page["data"][-1]["id"]
        listed = time.perf_counter() - started
    assert oldest == f"ch_{99_999 - 5_000:05}"
    assert reloaded < 10
    assert listed < 5


def test_the_server_is_reachable_from_this_machine_only() -> None:
    with StripeEmulator() as emulator:
        port = int(emulator.url.rsplit(":", 1)[1])
        # A server on all addresses would answer here, too.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=2)


@pytest.mark.parametrize("path", ["/v1/charges", "/_emulator/requests"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Host": "evil.example"}, 421), ({"Origin": "https://evil.example"}, 403)],
)
def test_a_page_of_another_site_is_not_answered(
    emulator: StripeEmulator, path: str, headers: dict[str, str], status: int
) -> None:
    assert requests.get(emulator.url + path, headers=headers, timeout=5).status_code == status


def test_a_body_of_unknown_or_endless_length_is_not_read(emulator: StripeEmulator) -> None:
    url = f"{emulator.url}/_emulator/import"
    assert requests.post(url, data=iter([b"{}"]), timeout=5).status_code == 411
    endless = {"Content-Length": str(2**40)}
    assert requests.request("POST", url, headers=endless, timeout=5).status_code == 413
