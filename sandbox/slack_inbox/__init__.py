"""A Slack inbox for the laptop: takes webhooks, refuses what Slack refuses, shows the rest.

with SlackInbox(store=folder) as inbox:
    ...                             # send to inbox.webhook_url, look at inbox.url
    inbox.messages()                # oldest first
    inbox.fail(429, retry_after=1)  # the next webhook gets 429
"""

from sandbox.slack_inbox.messages import Message
from sandbox.slack_inbox.server import SlackInbox

__all__ = ["Message", "SlackInbox"]
