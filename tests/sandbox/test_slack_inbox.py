"""The Slack inbox: refuses what Slack refuses, shows the rest safely, fails on request."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox.slack_inbox import SlackInbox
from sandbox.slack_inbox.page import to_html

if TYPE_CHECKING:
    from collections.abc import Callable


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def send(inbox: SlackInbox, payload: Any) -> requests.Response:
    return requests.post(inbox.webhook_url, json=payload, timeout=5)


def test_a_message_is_taken_kept_and_shown(slack_inbox: SlackInbox) -> None:
    payload = {
        "attachments": [
            {"color": "#a30200", "blocks": [section("*Failed:* <https://example.com/log|the log>")]}
        ]
    }
    answer = send(slack_inbox, payload)
    assert (answer.status_code, answer.text) == (200, "ok")
    listed = requests.get(f"{slack_inbox.url}/messages", timeout=5).json()
    assert [(message["id"], message["payload"]) for message in listed] == [(1, payload)]
    assert listed[0]["text"] == "*Failed:* the log"
    assert listed[0]["colour"] == "#a30200"
    shown = requests.get(slack_inbox.url, timeout=5).text
    assert "<strong>Failed:</strong>" in shown
    assert 'href="https://example.com/log"' in shown
    assert "border-color: #a30200" in shown


def test_messages_survive_a_restart_and_a_torn_last_line(tmp_path: Path) -> None:
    with SlackInbox(tmp_path) as inbox:
        send(inbox, {"text": "first"})
        send(inbox, {"text": "second"})
    with (tmp_path / "messages.jsonl").open("a") as file:
        file.write('{"id": 3, "rece')
    with SlackInbox(tmp_path) as inbox:
        send(inbox, {"text": "third"})
    assert [message.text for message in SlackInbox(tmp_path).messages()] == [
        "first",
        "second",
        "third",
    ]


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        ([1, 2], "invalid_payload"),
        ({}, "no_text"),
        ({"blocks": [section("x" * 3001)]}, "invalid_blocks"),
        ({"blocks": [section("")]}, "invalid_blocks"),
        ({"blocks": [section("x")] * 51}, "invalid_blocks"),
        ({"blocks": [{"type": "section"}]}, "invalid_blocks"),
        (
            {"blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}]},
            "invalid_blocks",
        ),
        (
            {"blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}]},
            "invalid_blocks",
        ),
        (
            {"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]},
            "invalid_blocks",
        ),
        (
            {"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]},
            "invalid_blocks",
        ),
        (
            {"blocks": [{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}]},
            "invalid_blocks",
        ),
        ({"blocks": [{"type": "sektion"}]}, "invalid_blocks"),
        ({"blocks": [{"type": ["section"]}]}, "invalid_blocks"),
        ({"blocks": ["section"]}, "invalid_blocks"),
        ({"blocks": {"type": "section"}}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": "x"}]}, "invalid_blocks"),
        ({"blocks": [section(5)]}, "invalid_blocks"),  # type: ignore[arg-type]
        ({"blocks": [{"type": "image"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "context", "elements": []}]}, "invalid_blocks"),
        ({"blocks": [{"type": "context", "elements": ["x"]}]}, "invalid_blocks"),
        ({"text": 5}, "invalid_payload"),
        ({"attachments": ["x"]}, "invalid_attachments"),
        (
            {"blocks": [{**section("x"), "block_id": "a"}, {**section("y"), "block_id": "a"}]},
            "invalid_blocks",
        ),
        ({"attachments": [{"blocks": [section("x" * 3001)]}]}, "invalid_attachments"),
        ({"attachments": [{"text": "x"}] * 101}, "too_many_attachments"),
    ],
)
def test_what_slack_refuses_is_refused(slack_inbox: SlackInbox, payload: Any, answer: str) -> None:
    refused = send(slack_inbox, payload)
    assert (refused.status_code, refused.text) == (400, answer)
    assert slack_inbox.messages() == []


def test_limits_themselves_are_allowed(slack_inbox: SlackInbox) -> None:
    fields = {"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2000}] * 10}
    assert (
        send(
            slack_inbox, {"blocks": [section("x" * 3000), fields] + [section("y")] * 48}
        ).status_code
        == 200
    )


def test_a_body_that_is_no_json_is_refused_and_a_form_is_taken(slack_inbox: SlackInbox) -> None:
    as_json = {"Content-Type": "application/json"}
    for body in ("{not json", "[" * 100_000, b"\xff"):
        refused = requests.post(slack_inbox.webhook_url, data=body, headers=as_json, timeout=5)
        assert (refused.status_code, refused.text) == (400, "invalid_payload")
    refused = requests.post(slack_inbox.webhook_url, data={"text": "no payload"}, timeout=5)
    assert (refused.status_code, refused.text) == (400, "invalid_payload")
    form = requests.post(
        slack_inbox.webhook_url, data={"payload": json.dumps({"text": "by form"})}, timeout=5
    )
    assert form.status_code == 200
    assert slack_inbox.messages()[0].text == "by form"


def test_faults_come_as_planned_and_then_it_works_again(slack_inbox: SlackInbox) -> None:
    plan = {"answer": 429, "times": 2, "retry_after": 7}
    assert (
        requests.post(f"{slack_inbox.url}/_inbox/faults", json=plan, timeout=5).status_code == 200
    )
    slack_inbox.fail(500)
    answers = [send(slack_inbox, {"text": "hello"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [429, 429, 500, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert len(slack_inbox.messages()) == 1


def test_a_webhook_that_never_answers_times_out_and_does_not_block_others(
    slack_inbox: SlackInbox,
) -> None:
    slack_inbox.fail("never")
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(slack_inbox.webhook_url, json={"text": "lost"}, timeout=0.3)
    assert send(slack_inbox, {"text": "next"}).status_code == 200
    assert [message.text for message in slack_inbox.messages()] == ["next"]


@pytest.mark.parametrize(
    "plan",
    [
        {"answer": "sometimes"},
        {"answer": 200},
        {"answer": 500, "times": 1001},
        {"answer": 500, "times": -1},
        {"answer": 429, "retry_after": 3601},
        {"answer": 500, "times": "2"},
        [500],
        {},
    ],
)
def test_a_wrong_plan_is_explained(slack_inbox: SlackInbox, plan: Any) -> None:
    answer = requests.post(f"{slack_inbox.url}/_inbox/faults", json=plan, timeout=5)
    assert answer.status_code == 400
    assert "never" in answer.text
    assert send(slack_inbox, {"text": "nothing is planned"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:12180"}, 200),
        ({"Host": "[::1]"}, 200),
        ({"Host": "slack-inbox:12180"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "["}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "127.0.0.1", "Origin": "http://127.0.0.1:8080"}, 403),
        ({"Host": "127.0.0.1:1", "Origin": "http://127.0.0.1:1"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "multipart/form-data"}, 415),
        ({"Content-Type": "Application/JSON; charset=utf-8"}, 200),
        ({"Content-Length": "1000001"}, 413),
        ({"Content-Length": "9" * 5000}, 413),
        ({"Content-Length": "-1"}, 400),
        ({"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_only_programs_of_this_machine_are_answered(
    slack_inbox: SlackInbox, headers: dict[str, str], status: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(slack_inbox.url.split(":")[-1]), 5)
    body = b'{"text": "hello"}'
    given = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    with closing(connection):
        connection.putrequest("POST", "/services/x", skip_host="Host" in headers)
        for name, value in given.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        assert connection.getresponse().status == status
    assert len(slack_inbox.messages()) == (status == 200)


def test_a_page_of_another_site_reads_nothing(slack_inbox: SlackInbox) -> None:
    send(slack_inbox, {"text": "not for others"})
    for path in ("/", "/messages"):
        answer = requests.get(slack_inbox.url + path, headers={"Host": "evil.example"}, timeout=5)
        assert answer.status_code == 421
        assert "not for others" not in answer.text


HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'


@pytest.mark.parametrize(
    "payload",
    [
        {"text": HOSTILE},
        {
            "text": f"*{HOSTILE}* `{HOSTILE}` ```{HOSTILE}``` >{HOSTILE} <https://a.b/{HOSTILE}|{HOSTILE}>"
        },
        {"text": "hi", "username": HOSTILE},
        {"blocks": [{"type": "header", "text": {"type": "plain_text", "text": HOSTILE}}]},
        {"blocks": [{"type": "image", "image_url": HOSTILE, "alt_text": HOSTILE}]},
        {"blocks": [{"type": "actions", "elements": [{"type": HOSTILE}]}]},
        {
            "attachments": [
                {
                    "color": HOSTILE,
                    "title": HOSTILE,
                    "title_link": f"https://a.b/{HOSTILE}",
                    "footer": HOSTILE,
                }
            ]
        },
        {"attachments": [{"text": "x", "fields": [{"title": HOSTILE, "value": HOSTILE}]}]},
    ],
)
def test_text_from_outside_is_escaped_everywhere(
    slack_inbox: SlackInbox, payload: dict[str, Any]
) -> None:
    assert send(slack_inbox, payload).status_code == 200
    shown = requests.get(slack_inbox.url, timeout=5).text.lower()
    assert "<script>alert" not in shown
    assert "<img" not in shown


@pytest.mark.parametrize(
    ("mrkdwn", "html"),
    [
        ("*bold* _it_ ~no~", "<strong>bold</strong> _it_ ~no~"),
        ("snake_case_name 2*3*4", "snake_case_name 2*3*4"),
        ("`*code*`", "<code>*code*</code>"),
        ("```a\n&lt;b&gt;```", "<pre>a\n&lt;b&gt;</pre>"),
        ("a &amp; b &lt; c", "a &amp; b &lt; c"),
        ("&amp;lt;", "&amp;lt;"),
        ("&gt; quoted", "&gt; quoted"),
        ("one\ntwo", "one\ntwo"),
        (
            "<https://a.b/?x=1&amp;y=2|log>",
            '<a href="https://a.b/?x=1&amp;y=2" rel="noreferrer">log</a>',
        ),
        ("<javascript:alert(1)|log>", "&lt;javascript:alert(1)|log&gt;"),
        ("<!channel>", "&lt;!channel&gt;"),
    ],
)
def test_bold_code_and_links_read_as_in_slack_and_the_rest_is_text(mrkdwn: str, html: str) -> None:
    assert to_html(mrkdwn) == html


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path, free_port: int) -> None:
    command = [
        sys.executable,
        "-m",
        "sandbox.slack_inbox",
        "--port",
        str(free_port),
        "--store",
        str(tmp_path),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", free_port)) == 0

        wait_for(answers, process)
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert (
            second.stderr.splitlines()[-1]
            == f"The Slack inbox cannot use port {free_port}: Address already in use."
        )
    finally:
        process.terminate()
    assert process.wait(timeout=5) == 0
    assert process.stderr is not None
    process.stderr.close()
