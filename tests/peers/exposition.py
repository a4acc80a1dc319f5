"""A strict parser of Prometheus's text format 0.0.4: what Prometheus tolerates is an error here."""

import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(rf'({NAME})="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|Inf)|NaN")
ESCAPES = {'\\"': '"', "\\\\": "\\", "\\n": "\n"}
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}


class Malformed(Exception):
    """Where the text is invalid, and why."""


def labels_of(text, line):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        if match is None:
            raise Malformed(f"labels: {line}")
        name, value, _ = match.groups()
        if name in labels:
            raise Malformed(f"label {name} twice: {line}")
        labels[name] = re.sub(r"\\.", lambda escape: ESCAPES[escape.group()], value)
        at = match.end()
    return labels


def parse(text):
    """({name: {frozenset of label pairs: value as text}}, {name: type}); raises Malformed."""
    if not text.endswith("\n"):
        raise Malformed("the last line does not end")
    samples, types, helps, done, family = {}, {}, set(), set(), None
    for line in text[:-1].split("\n"):
        if line.startswith("#"):
            mark, kind, name, *rest = [*line.split(" ", 3), "", ""]
            if mark != "#" or kind not in ("HELP", "TYPE") or not re.fullmatch(NAME, name):
                raise Malformed(f"comment: {line}")
            if name != family:
                done.add(family)
                family = name
            if name in done or (kind == "HELP" and name in helps) or (kind == "TYPE" and name in types):
                raise Malformed(f"family repeated: {line}")
            if kind == "HELP":
                helps.add(name)
            elif rest[0] in TYPES:
                types[name] = rest[0]
            else:
                raise Malformed(f"type: {line}")
            continue
        match = SAMPLE.fullmatch(line)
        if match is None:
            raise Malformed(f"sample: {line!r}")
        name, labels, value = match.groups()
        if family is None or name not in {family + suffix for suffix in SUFFIXES.get(types.get(family), ("",))}:
            raise Malformed(f"sample outside its family: {line}")
        if not NUMBER.fullmatch(value):
            raise Malformed(f"number: {line}")
        key = frozenset(labels_of(labels or "", line).items())
        if key in samples.setdefault(name, {}):
            raise Malformed(f"sample twice: {line}")
        samples[name][key] = value
    return samples, types
