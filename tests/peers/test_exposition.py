#!/usr/bin/env python3
"""The strict parser accepts valid text and nothing else."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from exposition import Malformed, parse

VALID = (
    "# HELP a_total Things\\nthat happened.\n# TYPE a_total counter\n"
    'a_total{agent="x\\"y\\\\z\\n🎧",skill=""} 1.5e+06\na_total{agent="other",skill=""} 0\n'
    '# HELP d Time.\n# TYPE d histogram\nd_bucket{le="1"} 1\nd_bucket{le="+Inf"} 2\nd_sum 3.25\nd_count 2\n'
)


class Reader(unittest.TestCase):
    def test_hostile_label_values_survive_the_round_trip(self):
        samples, types = parse(VALID)
        self.assertEqual(types, {"a_total": "counter", "d": "histogram"})
        self.assertEqual(samples["a_total"][frozenset({("agent", 'x"y\\z\n🎧'), ("skill", "")})], "1.5e+06")
        self.assertEqual(samples["d_sum"], {frozenset(): "3.25"})

    def test_what_prometheus_tolerates_is_malformed(self):
        for what, old, new in (
            ("no last newline", VALID[-1:], ""),
            ("sample twice", 'agent="other",skill=""', 'skill="",agent="x\\"y\\\\z\\n🎧"'),
            ("label twice", 'agent="other",skill=""', 'agent="other",agent=""'),
            ("bad escape", "y\\\\z", "y\\z"),
            ("open quote", '"other"', '"other'),
            ("timestamp", "} 0\n", "} 0 1700000000000\n"),
            ("number", "} 0\n", "} zero\n"),
            ("sample of no family", "d_sum 3.25", "e_sum 3.25"),
            ("family repeated", "d_count 2\n", "d_count 2\n# TYPE a_total counter\n"),
            ("interleaved", "d_count 2\n", 'd_count 2\na_total{agent="late"} 1\n'),
            ("comment", "# HELP d Time.", "# hello"),
            ("unknown type", "d histogram", "d info"),
            ("empty line", "# TYPE d", "\n# TYPE d"),
        ):
            with self.subTest(what):
                head, found, tail = VALID.rpartition(old)
                self.assertTrue(found)
                with self.assertRaises(Malformed):
                    parse(head + new + tail)


if __name__ == "__main__":
    unittest.main()
