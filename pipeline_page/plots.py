"""The page's plots as SVG from the server: rows in the usual band, seconds, tests, slow models."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date
from statistics import median
from xml.etree import ElementTree

from markupsafe import Markup

from alerting.policy import policy
from pipeline.sources import SOURCES
from pipeline_page.grid import Grid, Row
from pipeline_page.metadata import LAYERS, TEST

SMALL = (300, 96)
WIDE = 620
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 20, 16
BAR, NAMES = 20, 190  # height of a line, and width of its name
TICKS = (0.1, 1, 10, 60, 600, 3600)  # seconds


class _Svg:
    """One picture; ``said`` is what a screen reader says of it.

    Text goes in as text, never as markup.
    """

    def __init__(self, width: float, height: float, said: str) -> None:
        self.width, self.height = width, height
        attributes = {"viewBox": f"0 0 {width:.0f} {height:.0f}", "role": "img", "aria-label": said}
        self.root = ElementTree.Element("svg", attributes)

    def text(self, x: float, y: float, text: str, kind: str, anchor: str = "start") -> None:
        self._add("text", kind, {"x": x, "y": y, "text-anchor": anchor}).text = text

    def dot(self, x: float, y: float, radius: float, kind: str, about: str) -> None:
        self._about(self._add("circle", kind, {"cx": x, "cy": y, "r": radius}), about)

    def bar(self, x: float, y: float, width: float, height: float, kind: str, about: str) -> None:
        self._about(
            self._add("rect", kind, {"x": x, "y": y, "width": width, "height": height}), about
        )

    def upright(self, x: float, top: float, bottom: float, kind: str, about: str = "") -> None:
        self._about(self._add("line", kind, {"x1": x, "x2": x, "y1": top, "y2": bottom}), about)

    def points(self, shape: str, kind: str, points: Iterable[tuple[float, float]]) -> None:
        self._add(shape, kind, {"points": " ".join(f"{x:.1f},{y:.1f}" for x, y in points)})

    def crowd(self, points: Sequence[tuple[float, float]], kind: str, about: str) -> None:
        """Many small dots as one element with markers, darker where they overlap."""
        name = f"dot-{kind}"
        if self.root.find(f"marker[@id='{name}']") is None:
            marker = self._add(
                "marker", kind, {"refX": 3.0, "refY": 3.0, "markerWidth": 6.0, "markerHeight": 6.0}
            )
            marker.attrib |= {"id": name, "markerUnits": "userSpaceOnUse"}
            ElementTree.SubElement(marker, "circle", {"cx": "3", "cy": "3", "r": "3"})
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        use = {f"marker-{place}": f"url(#{name})" for place in ("start", "mid", "end")}
        self._about(
            ElementTree.SubElement(self.root, "polyline", {"points": drawn, "fill": "none", **use}),
            about,
        )

    def days(self, days: Sequence[date]) -> None:
        """The first and the last day under the picture."""
        self.text(LEFT, self.height - 3, f"{days[0]:%-d %b}", "axis")
        self.text(self.width - RIGHT, self.height - 3, f"{days[-1]:%-d %b}", "axis", "end")

    def markup(self) -> Markup:
        return Markup(ElementTree.tostring(self.root, encoding="unicode"))  # noqa: S704  ElementTree has escaped all texts

    def _add(self, tag: str, kind: str, attributes: dict[str, float | str]) -> ElementTree.Element:
        written = {
            name: value if isinstance(value, str) else f"{value:.1f}"
            for name, value in attributes.items()
        }
        return ElementTree.SubElement(self.root, tag, {"class": kind, **written})

    @staticmethod
    def _about(element: ElementTree.Element, about: str) -> None:
        if about:
            ElementTree.SubElement(element, "title").text = about


def rows_plots(grid: Grid, days: Sequence[date]) -> list[Markup]:
    """Rows per day and source, over what is usual on that weekday; days far outside are ringed."""
    return [_rows_plot(row, days) for row in grid.sources]


def _rows_plot(row: Row, days: Sequence[date]) -> Markup:
    known = row.rows_by_day
    shown = {day: known[day] for day in days if day in known}
    bands = {day: band for day in days if (band := row.bands.get(day))}
    odd = [day for day, rows in shown.items() if day in bands and bands[day].far_outside(rows)]
    width, height = SMALL
    top = max([*shown.values(), *(band.high for band in bands.values()), 1])
    span = max(len(days) - 1, 1)
    x = {day: LEFT + (width - LEFT - RIGHT) * index / span for index, day in enumerate(days)}

    def y(rows: float) -> float:
        return height - BOTTOM - (height - TOP - BOTTOM) * rows / top

    unusual = f"Far outside the usual: {', '.join(map(str, odd))}." if odd else "Nothing unusual."
    svg = _Svg(width, height, f"{row.title}: rows per day. {unusual}")
    svg.text(LEFT, 12, row.title, "name")
    svg.text(width - RIGHT, 12, f"up to {top:,.0f} rows", "axis", "end")
    if bands:
        upper, lower = (
            [(x[day], y(band.high)) for day, band in bands.items()],
            [(x[day], y(band.low)) for day, band in bands.items()],
        )
        svg.points("polygon", "band", [*upper, *reversed(lower)])
    svg.points("polyline", "line", [(x[day], y(rows)) for day, rows in shown.items()])
    for day, rows in shown.items():
        about = f"{day}: {rows:,} rows" + (
            f", usually {bands[day].middle:,.0f}" if day in bands else ""
        )
        svg.dot(x[day], y(rows), 4.5 if day in odd else 2.2, "odd" if day in odd else "dot", about)
    svg.days(days)
    return svg.markup()


def seconds_plot(grid: Grid, days: Sequence[date]) -> Markup:
    """Seconds per step and day on a logarithmic axis, newest in front, the SLA as a line."""
    wanted = set(days)
    slas = {source.name: policy(source.kind).sla for source in SOURCES}
    slas |= {name: policy("dbt_run").sla for name in LAYERS} | {TEST: policy("dbt_test").sla}
    lines = [
        (
            row.title,
            [cell.seconds for cell in row.cells if cell.day in wanted and cell.seconds is not None],
            slas.get(row.name),
        )
        for row in grid.rows
    ]
    largest = 1.5 * max(
        [seconds for _, taken, _ in lines for seconds in taken]
        + [sla.total_seconds() for sla in slas.values() if sla]
    )

    def x(seconds: float) -> float:
        return NAMES + (WIDE - NAMES - 40) * math.log10(
            max(seconds, TICKS[0]) / TICKS[0]
        ) / math.log10(largest / TICKS[0])

    height = TOP + BAR * len(lines) + BOTTOM
    svg = _Svg(
        WIDE, height, "Seconds per step and day, on a logarithmic axis, with the SLA of each step."
    )
    for tick in TICKS:
        if tick <= largest:
            svg.upright(x(tick), TOP - 6, height - BOTTOM, "tick")
            svg.text(x(tick), height - 4, _seconds(tick), "axis", "middle")
    for index, (title, taken, sla) in enumerate(lines):
        y = TOP + BAR * index + BAR / 2
        svg.text(NAMES - 8, y + 4, title, "name", "end")
        limit = sla.total_seconds() if sla else math.inf
        past = [seconds for seconds in taken[:-1] if seconds <= limit]
        if past:
            middle = f"{title}: {_seconds(median(past))} in the middle of {len(past)} days"
            svg.crowd([(x(seconds), y) for seconds in past], "past", middle)
        for seconds in (seconds for seconds in taken[:-1] if seconds > limit):
            svg.dot(x(seconds), y, 3, "odd", f"{title}: {_seconds(seconds)}")
        for seconds in taken[-1:]:
            svg.dot(
                x(seconds),
                y,
                4.5,
                "odd" if seconds > limit else "dot",
                f"{title}: {_seconds(seconds)}",
            )
        if sla:
            svg.upright(
                x(sla.total_seconds()),
                y - BAR / 2 + 2,
                y + BAR / 2 - 2,
                "sla",
                f"SLA {_seconds(sla.total_seconds())}",
            )
    return svg.markup()


def tests_plot(grid: Grid, days: Sequence[date]) -> Markup:
    """Tests per day that passed, warned or failed, as bars; red where the test task failed."""
    row = next(row for row in grid.steps if row.name == TEST)
    cells = {
        cell.day: cell for cell in row.cells if "total" in cell.result or cell.state == "failed"
    }
    top = max([int(cell.result.get("total", 0)) for cell in cells.values()] + [1])
    height = 120
    step, full = (WIDE - LEFT - RIGHT) / max(len(days), 1), height - TOP - BOTTOM
    svg = _Svg(WIDE, height, "Test results per day: passed, warned, failed.")
    svg.text(LEFT, 12, f"up to {top:,} tests", "axis")
    for index, day in enumerate(days):
        if day not in cells:
            continue
        left, result = LEFT + index * step + step * 0.1, cells[day].result
        if "total" not in result:
            svg.bar(left, TOP, step * 0.8, full, "failed", f"{day}: the tests failed")
            continue
        passed, warned, total = int(result["passed"]), int(result["warned"]), int(result["total"])
        counts, base = (
            (("passed", passed), ("warned", warned), ("failed", total - passed - warned)),
            float(height - BOTTOM),
        )
        for kind, count in counts:
            size = max(full * count / top, 2.0) if count else 0.0  # a single warning has to be seen
            base -= size
            if count:
                svg.bar(
                    left,
                    base,
                    step * 0.8,
                    size,
                    kind,
                    f"{day}: {', '.join(f'{number} {word}' for word, number in counts)}",
                )
    svg.days(days)
    return svg.markup()


def models_plot(models: Sequence[tuple[str, float, int | None]]) -> Markup:
    """The slowest dbt models of the newest run, longest first: name, seconds, rows."""
    longest = max([seconds for _, seconds, _ in models] + [0.001])
    svg = _Svg(WIDE, 8 + BAR * max(len(models), 1), "The slowest dbt models of the newest run.")
    for index, (name, seconds, rows) in enumerate(models):
        y, long = 4 + BAR * index, (WIDE - NAMES - 170) * seconds / longest
        said = f"{seconds:.2f} s" + (f", {rows:,} rows" if rows is not None else "")
        svg.text(NAMES - 8, y + 14, name, "name", "end")
        svg.bar(NAMES, y + 3, long, BAR - 6, "bar", "")
        svg.text(NAMES + long + 6, y + 14, said, "axis")
    return svg.markup()


def _seconds(seconds: float) -> str:
    if seconds >= 60:
        return f"{seconds / 60:.0f} min" if seconds % 60 == 0 else f"{seconds / 60:.1f} min"
    return f"{seconds:g} s" if seconds in TICKS else f"{seconds:.1f} s"
