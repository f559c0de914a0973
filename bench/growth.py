"""The picture of how the chain grows: CPU over object versions on two logarithmic axes, straight growth beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor, log10
from typing import Any

from bench.estates import Estate

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 150, 74, 372
"""Edges of the axes: what is right of them is for the names of the lines."""
_LINES = (("cpu_s", "whole", "whole chain"), ("grows_s", "part", "what grows"))
_STYLE = """
svg { --paper: #fcfcfa; --ink: #1b2430; --soft: #5b6673; --grid: #e3e5e8; --whole: #0b5cad; --part: #1f7a4d }
@media (prefers-color-scheme: dark) {
  svg { --paper: #14181d; --ink: #e8ecf0; --soft: #9aa6b2; --grid: #2a3139; --whole: #6db3ff; --part: #63cf97 }
}
text { fill: var(--ink); font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
.soft { fill: var(--soft); font-size: 12px } .head { font-size: 16px; font-weight: 600 }
.grid { stroke: var(--grid) } .line { fill: none; stroke-width: 2.5 }
.straight { fill: none; stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 2 5; stroke-linecap: round }
.whole { stroke: var(--whole) } .part { stroke: var(--part) }
circle.whole { fill: var(--whole) } circle.part { fill: var(--part) } circle { stroke-width: 0 }
text.whole, text.part { stroke: var(--paper); stroke-width: 4; paint-order: stroke; font-weight: 600 }
text.whole { fill: var(--whole) } text.part { fill: var(--part) }
"""


def plotted(growth: Sequence[tuple[Estate, dict[str, Any]]]) -> str:
    """Return the picture as SVG; it is readable on paper and on a dark page, and says all in words too."""
    return "\n".join(_Plot(growth).parts()) + "\n"


class _Plot:
    """One picture: where numbers lie on it, and what is drawn."""

    def __init__(self, growth: Sequence[tuple[Estate, dict[str, Any]]]) -> None:
        self.growth = growth
        seconds = [max(measured[name], 0.01) for _, measured in growth for name, _, _ in _LINES]
        self.first, self.last = floor(log10(min(seconds))), ceil(log10(max(seconds)))
        self.least = log10(growth[0][0].objects)
        self.most = log10(growth[-1][0].objects)

    def x(self, versions: float) -> float:
        """Place a number of versions."""
        return (
            _LEFT
            + 30
            + (log10(versions) - self.least) / (self.most - self.least) * (_WIDTH - _LEFT - _RIGHT - 60)
        )

    def y(self, seconds: float) -> float:
        """Place a number of seconds."""
        return _BOTTOM - (log10(max(seconds, 0.01)) - self.first) / (self.last - self.first) * (
            _BOTTOM - _TOP
        )

    def parts(self) -> Iterator[str]:
        """Yield the elements in the order in which they are painted."""
        said = "; ".join(
            f"{estate.name}, {estate.objects:,} versions: {measured['cpu_s']:.1f} s, of which {measured['grows_s']:.1f} s "
            "grow with versions"
            for estate, measured in self.growth
        )
        yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="t d">'
        yield f'<title id="t">CPU of the chain over object versions</title><desc id="d">{said}.</desc>'
        yield f"<style>{_STYLE}</style>"
        box = f'x="{_LEFT}" y="{_TOP}" width="{_WIDTH - _RIGHT - _LEFT}" height="{_BOTTOM - _TOP}"'
        yield f'<clipPath id="axes"><rect {box}/></clipPath>'
        yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="8" style="fill: var(--paper)"/>'
        yield f'<text class="head" x="{_LEFT}" y="32">CPU of the chain over object versions</text>'
        told = (
            "Seconds, both axes logarithmic; dotted: ten times the versions take ten times as long, as from M"
        )
        yield f'<text class="soft" x="{_LEFT}" y="52">{told}</text>'
        yield from self._axes()
        for name, kind, title in _LINES:
            yield from self._line(name, kind, title)
        yield "</svg>"

    def _axes(self) -> Iterator[str]:
        right = _WIDTH - _RIGHT
        for power in range(self.first, self.last + 1):
            at = self.y(10.0**power)
            yield f'<line class="grid" x1="{_LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}"/>'
            yield f'<text class="soft" x="{_LEFT - 10}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g} s</text>'
        for estate, _ in self.growth:
            at = self.x(estate.objects)
            yield f'<line class="grid" x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{_BOTTOM}"/>'
            yield f'<text x="{at:.1f}" y="{_BOTTOM + 22}" text-anchor="middle" font-weight="600">{estate.name}</text>'
            size = f"{estate.objects / 1e6:g} million"
            yield f'<text class="soft" x="{at:.1f}" y="{_BOTTOM + 40}" text-anchor="middle">{size}</text>'
            yield f'<text class="soft" x="{at:.1f}" y="{_BOTTOM + 56}" text-anchor="middle">{estate.jobs:,} exports</text>'

    def _line(self, name: str, kind: str, title: str) -> Iterator[str]:
        points = [(self.x(e.objects), self.y(m[name]), max(m[name], 0.01)) for e, m in self.growth]
        middle = self.growth[len(self.growth) // 2]
        of_one = max(middle[1][name], 0.01) / middle[0].objects
        ends = [estate.objects for estate, _ in (self.growth[0], self.growth[-1])]
        places = " ".join(f"{self.x(size):.1f},{self.y(of_one * size):.1f}" for size in ends)
        yield f'<polyline class="straight" clip-path="url(#axes)" points="{places}"/>'
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        yield f'<polyline class="line {kind}" points="{places}"/>'
        above = name == "cpu_s"
        for x, y, seconds in points:
            yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
            beside = y - 12 if above else y + 22
            yield f'<text class="{kind}" x="{x:.1f}" y="{beside:.1f}" text-anchor="middle">{_said(seconds)}</text>'
        x, y, _ = points[-1]
        yield f'<text class="{kind}" x="{x + 40:.1f}" y="{y + 4:.1f}">{title}</text>'
        if not above:
            yield f'<text class="soft" x="{x + 40:.1f}" y="{y + 20:.1f}">with versions</text>'


def _said(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"
