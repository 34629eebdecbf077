"""Lists objects by ``created``, several windows in parallel, page after page as they come."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingestion.stripe_api.client import Item, StripeApi

BEGINNING = 1_293_840_000  # 2011-01-01, before Stripe's first charge
WORTH_SPLITTING = 4  # pages that a window must promise before an idle thread is given half of it


@dataclass(frozen=True)
class Page:
    """Up to 100 objects, newest first, and the moment before they were asked for.

    The moment is UTC without a zone, by Stripe's clock.
    """

    items: list[Item]
    fetched_at: datetime


@dataclass(frozen=True)
class _Window:
    """Objects created in ``(after, until]``, in seconds since 1970."""

    after: int
    until: int


def list_pages(
    api: StripeApi,
    path: str,
    after: int | None,
    until: int,
    *,
    threads: int,
    where: Mapping[str, Any] | None = None,
) -> Iterator[Page]:
    """Every object created in ``(after, until]`` exactly once, in no particular order of pages.

    One thread begins with the whole window, newest first. Whenever a thread is idle, a busy one
    gives it the older half of what it has left, so that the windows follow the data, however
    uneven. Few pages are in memory at a time.

    Args:
        api: where to read.
        path: for example ``/v1/charges``.
        after: seconds since 1970; None: from the beginning.
        until: seconds since 1970.
        threads: how many windows are read at a time.
        where: further parameters of the list.
    """
    return _Listing(api, path, dict(where or {}), threads).pages(
        _Window(BEGINNING if after is None else after, until)
    )


class _Listing:
    def __init__(self, api: StripeApi, path: str, where: dict[str, Any], threads: int) -> None:
        self._api, self._path, self._where, self._threads = api, path, where, threads
        self._changed = threading.Condition()
        self._waiting: deque[_Window] = deque()
        self._busy = 0
        self._stopped = False
        self._out: queue.Queue[Page | BaseException | None] = queue.Queue(maxsize=2 * threads)

    def pages(self, whole: _Window) -> Iterator[Page]:
        self._waiting.append(whole)
        workers = [
            threading.Thread(target=self._work, name=f"stripe-listing-{n}", daemon=True)
            for n in range(self._threads)
        ]
        for worker in workers:
            worker.start()
        running = len(workers)
        try:
            while running:
                found = self._out.get()
                if found is None:
                    running -= 1
                elif isinstance(found, BaseException):
                    raise found
                else:
                    yield found
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()
            for worker in workers:
                worker.join()

    def _work(self) -> None:
        try:
            while (window := self._take()) is not None:
                try:
                    self._list(window)
                finally:
                    with self._changed:
                        self._busy -= 1
                        self._changed.notify_all()
        except BaseException as error:
            self._give(error)
        self._give(None)

    def _take(self) -> _Window | None:
        with self._changed:
            while not self._waiting and self._busy and not self._stopped:
                self._changed.wait()
            if self._stopped or not self._waiting:
                return None
            self._busy += 1
            return self._waiting.popleft()

    def _give(self, found: Page | BaseException | None) -> None:
        while not self._stopped:
            try:
                return self._out.put(found, timeout=0.2)
            except queue.Full:
                continue
        return None

    def _list(self, window: _Window) -> None:
        cursor: dict[str, str] = {}
        while not self._stopped:
            created = {"gt": window.after, "lte": window.until}
            page = self._api.page(self._path, {"created": created} | self._where | cursor)
            if page.items:
                self._give(Page(page.items, page.fetched_at))
            if page.next_after is None:
                return
            cursor = {"starting_after": page.next_after}
            moments = [at for item in page.items if isinstance(at := item.get("created"), int)]
            if moments:
                window = self._share(window, newest=max(moments), oldest=min(moments))

    def _share(self, window: _Window, *, newest: int, oldest: int) -> _Window:
        """Give the older half of what is left to an idle thread, if there is enough to share."""
        left = oldest - window.after
        promised = left / max(1, newest - oldest)
        with self._changed:
            idle = self._threads - self._busy - len(self._waiting)
            if idle <= 0 or promised < WORTH_SPLITTING or left < 2:
                return window
            middle = window.after + left // 2
            self._waiting.append(_Window(window.after, middle))
            self._changed.notify()
        return _Window(middle, window.until)
