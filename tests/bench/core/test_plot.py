"""Compares the plot with coordinates computed by hand."""

import unittest
from xml.etree import ElementTree

from plot import BOTTOM, LEFT, RIGHT, TOP, linear_ticks, quality_by_days, quality_by_seconds, seconds_ticks

SVG = "{http://www.w3.org/2000/svg}"


class Plot(unittest.TestCase):
    def test_ticks_enclose_values(self):
        self.assertEqual(seconds_ticks([0.13, 3.1]), [0.1, 0.2, 0.5, 1, 2, 5])
        self.assertEqual(seconds_ticks([0.2, 0.2]), [0.2, 0.5])
        for values, expected in [
            ([0.061, 0.094], [0.06, 0.07, 0.08, 0.09, 0.1]),
            ([0.3, 1.9], [0, 0.5, 1, 1.5, 2]),
            ([1, 1], [1, 1.1]),
        ]:
            self.assertEqual([round(tick, 9) for tick in linear_ticks(values)], expected)

    def test_points_match_the_axes(self):
        # The x axis spans one decade. The second point is in the middle of both axes.
        lines = {"a <b>": [[0.1, 0.0], [10**-0.5, 0.5]], "c": [[1.0, 1.0]]}
        root = ElementTree.fromstring(quality_by_seconds("t & u", "n", "q", [1, 2], lines))
        circles = [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{SVG}circle")]
        self.assertEqual(circles, [(LEFT, BOTTOM), ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2), (RIGHT, TOP)])
        labels = [text.text for text in root.iter(f"{SVG}text")]
        self.assertTrue({"t & u", "a <b>", "c", "0.1", "0.2", "0.5", "1", "0.0", "1.0"} <= set(labels), labels)

    def test_axes_of_days_begin_at_0(self):
        root = ElementTree.fromstring(quality_by_days("t", "n", "q", {"a": [[10.0, 0.1]], "b": [[5.0, 0.2]], "c": [[0.0, 0.0]]}))
        circles = [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{SVG}circle")]
        middle = (LEFT + RIGHT) / 2
        self.assertEqual(circles, [(RIGHT, (TOP + BOTTOM) / 2), (middle, TOP), (LEFT, BOTTOM)])


if __name__ == "__main__":
    unittest.main()
