"""Draws rows per second and peak memory of each contender.

Runs in the environment of ``benchmarks/requirements.txt``.

Reads JSON from standard input: a list of [name, rows per second, peak MB].
"""

from __future__ import annotations

import json
import sys

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt


def main(picture: str) -> None:
    bars = sorted(json.load(sys.stdin), key=lambda bar: bar[1])
    names = [name for name, _, _ in bars]
    colors = ["#2a6f97" if name == "ours" else "#b8c4cc" for name in names]
    mpl.rcParams.update({"svg.hashsalt": "benchmarks", "font.size": 10})
    figure, (speed, memory) = plt.subplots(
        1, 2, figsize=(10, 2.8), sharey=True, layout="constrained"
    )
    for axes, values, title in (
        (speed, [rate for _, rate, _ in bars], "rows per second"),
        (memory, [megabytes for _, _, megabytes in bars], "peak memory, MB"),
    ):
        axes.bar_label(
            axes.barh(names, values, color=colors),
            labels=[f"{value:,.0f}" for value in values],
            padding=3,
        )
        axes.set_title(title)
        axes.set_xticks([])
        axes.margins(x=0.2)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
