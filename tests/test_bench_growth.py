"""The picture of how the chain grows says its numbers, and is a picture that a browser takes."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bench.estates import L, M, S
from bench.growth import plotted

SVG = "{http://www.w3.org/2000/svg}"


def test_a_straight_growth_lies_on_its_dotted_line_and_every_number_is_said() -> None:
    growth = [
        (estate, {"cpu_s": estate.objects / 1e6, "grows_s": estate.objects / 4e6}) for estate in (S, M, L)
    ]
    picture = ET.fromstring(plotted(growth))
    lines = {line.get("class"): line.get("points", "").split() for line in picture.iter(f"{SVG}polyline")}
    assert lines["straight"] == [lines["line part"][0], lines["line part"][-1]]
    said = {text.text for text in picture.iter(f"{SVG}text")}
    assert {"0.10 s", "5.0 s", "50 s", "0.03 s", "1.2 s", "12 s", "S", "M", "L"} <= said
