"""Compares the plot of latencies with coordinates computed by hand."""

import sys
import unittest
from pathlib import Path
from xml.etree import ElementTree

sys.path.append(str(Path(__file__).resolve().parent.parent / "core"))

from plot import BOTTOM, LEFT, RIGHT, TOP
from plot_latency import latency_by_load

SVG = "{http://www.w3.org/2000/svg}"


class PlotLatency(unittest.TestCase):
    def test_points_match_the_axes(self):
        # The axis of loads ends at 2000, and that of latencies spans one decade.
        lines = {"a <b>": [[0.0, 0.1], [1000.0, 10**-0.5]], "c": [[2000.0, 1.0]]}
        root = ElementTree.fromstring(latency_by_load("t & u", "n", lines))
        circles = [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{SVG}circle")]
        self.assertEqual(circles, [(LEFT, BOTTOM), ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2), (RIGHT, TOP)])
        labels = [text.text for text in root.iter(f"{SVG}text")]
        self.assertTrue({"t & u", "a <b>", "c", "0.1", "0.2", "0.5", "1", "0", "2,000"} <= set(labels), labels)


if __name__ == "__main__":
    unittest.main()
