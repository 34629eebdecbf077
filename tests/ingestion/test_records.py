"""The load record as it travels in events."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime

from pipeline.records import LoadRecord, TableCounts, Window
from pipeline.rejects import Reject

RECORD = LoadRecord(
    load_id="charges-2026-11-22-1",
    source="charges",
    day=date(2026, 11, 22),
    window=Window(datetime(2026, 11, 21, 5), datetime(2026, 11, 22, 6)),
    watermark=datetime(2026, 11, 22, 6),
    started_at=datetime(2026, 11, 22, 6, 0, 1),
    extracted_at=datetime(2026, 11, 22, 6, 0, 2),
    committed_at=datetime(2026, 11, 22, 6, 0, 2, 250400),
    tables=(TableCounts("charges", 10, 4, 5, 1), TableCounts("refunds", 3, 1, 2, 0)),
    checksum="abc",
    rows_rejected=2,
    rows_newly_rejected=1,
    rejects=(Reject("amount", "is null", "secret", key="ch_7"),),
)


def test_an_event_carries_the_load_as_plain_json() -> None:
    event = RECORD.as_event()
    assert json.loads(json.dumps(event)) == event
    assert event == {
        "source": "charges",
        "day": "2026-11-22",
        "load_id": "charges-2026-11-22-1",
        "rows": 13,
        "rows_inserted": 5,
        "rows_updated": 7,
        "rows_rejected": 2,
        "rows_newly_rejected": 1,
        "newly_rejected": ["key ch_7: amount is null"],
        "window": ["2026-11-21T05:00:00", "2026-11-22T06:00:00"],
        "seconds": 1.25,
    }


def test_a_first_load_has_a_window_without_a_start() -> None:
    first = replace(RECORD, window=Window(None, datetime(2026, 11, 22, 6)))
    assert first.as_event()["window"] == [None, "2026-11-22T06:00:00"]
