"""The sandbox starts the business view as one of its processes, and ends it with the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from sandbox.layout import Layout
from sandbox.stack import Stack

pytestmark = pytest.mark.slow


def test_the_sandbox_starts_names_and_stops_the_business_view(tmp_path: Path) -> None:
    stack, said = Stack(Layout(tmp_path / "sandbox")), []
    stack.layout.make()
    try:
        stack.start_dashboard(said.append)
        assert said == [f"Business view on {stack.dashboard_url}"]
        assert set(stack.running()) == {"dashboard"}
        assert "Streamlit" in requests.get(stack.dashboard_url, timeout=10).text
        stack.start_dashboard(said.append)
        assert len(stack.running()) == 1, "started twice, it runs once"
    finally:
        assert stack.stop(said.append)
    assert said[-1] == "stopped dashboard"
    assert stack.running() == {}
    with pytest.raises(requests.ConnectionError):
        requests.get(stack.dashboard_url, timeout=2)
