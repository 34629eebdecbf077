"""What a channel is: one small class with a name, which takes alerts and sends them."""

from __future__ import annotations

from typing import Protocol

from alerting.alert import Alert

RETRIES = 3  # of a request that a service could not answer just then


class DeliveryError(Exception):
    """The channel did not take the alert; the text never holds the channel's address, which is a
    secret.
    """


class Channel(Protocol):
    name: str

    def takes(self, alert: Alert) -> bool:
        """Whether alerts of that kind go there at all."""

    def send(self, alert: Alert) -> None:
        """Deliver the alert or raise ``DeliveryError``."""
