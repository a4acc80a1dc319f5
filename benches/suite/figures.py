"""Statistics of samples: medians, percentiles, ratios of pairs, and whether a target is met. Nothing here measures."""

from statistics import median

MILLION = 1_000_000


def percentile(values, hundredths):
    """A percentile (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * hundredths // 100) - 1)]


def ratio(pairs_of, one, other):
    """The median of `one` over `other`, round by round: what the machine did to one it did to the other."""
    return median(a / b for a, b in zip(pairs_of[one], pairs_of[other], strict=True))


def medians(of):
    return {who: median(values) for who, values in of.items()}


def ratios(of, one="exporter"):
    return {who: ratio(of, one, who) for who in of if who != one}


class Target:
    """One line of the table of targets. `figure` finds it in the results; None where this run did not measure it."""

    def __init__(self, what, bound, figure, text="{:.2f}", least=False):
        self.what = what
        self.bound = bound
        self.figure = figure
        self.text = text
        self.least = least

    def judge(self, results):
        """What, the target, the figure, and whether it is met, as text."""
        sign = "≥" if self.least else "≤"
        target = f"{sign} {self.text.format(self.bound)}"
        try:
            figure = self.figure(results)
        except (KeyError, StopIteration):
            return [self.what, target, "", "not measured"]
        met = figure >= self.bound if self.least else figure <= self.bound
        return [self.what, target, self.text.format(figure), "met" if met else f"**missed** by {miss(figure, self.bound)}"]


def miss(figure, bound):
    share = abs(figure / bound - 1)
    return f"a factor of {max(figure / bound, bound / figure):.1f}" if share >= 1 else f"{share:.0%}"


def of_size(rows, series, scrapers=None):
    return next(row for row in rows if row["series"] == series and (scrapers is None or row["scrapers"] == scrapers))


def serving(series, scrapers, kind, peer):
    return lambda results: of_size(results["serving"], series, scrapers)[kind][peer]


def whole(part, of="series"):
    """A part of the results whose target is one for a million."""

    def found(results):
        if results[part][of] < MILLION:
            raise KeyError(of)
        return results[part]

    return found


def render_all(results):
    return next(row for row in results["render"] if row["read"].startswith("all of 20 "))["together_ms"] / 1000


def render_share(results):
    one = next(row for row in results["render"] if row["read"].startswith("one of 20 "))["together_ms"]
    return one / 1000 / render_all(results)


TARGETS = [
    Target("CPU of a gzip scrape over nginx's, 1 M series", 1.4, serving(MILLION, 1, "cpu_ratio", "nginx")),
    Target("CPU of a gzip scrape over nginx's, 1 M series, 4 scrapers", 1.4, serving(MILLION, 4, "cpu_ratio", "nginx")),
    Target("CPU of a gzip scrape over nginx's, 100 k series", 1.4, serving(100_000, 1, "cpu_ratio", "nginx")),
    Target("CPU of a gzip scrape over nginx's, 100 k series, 4 scrapers", 1.4, serving(100_000, 4, "cpu_ratio", "nginx")),
    Target("CPU of a gzip scrape, 10 k series", 60, serving(10_000, 1, "cpu_us", "exporter"), "{:.0f} µs"),
    Target(
        "CPU of a gzip scrape over client_golang's, 1 M series",
        0.001,
        lambda results: of_size(results["job"], MILLION)["cpu_ratio"]["client_golang"],
        "{:.6f}",
    ),
    Target("p99 of a gzip scrape over nginx's, 1 M series", 2, serving(MILLION, 1, "p99_ratio", "nginx")),
    Target("p99 of a gzip scrape over nginx's, 1 M series, 4 scrapers", 2, serving(MILLION, 4, "p99_ratio", "nginx")),
    Target("p99 while a report of 1 M rows is read, over the idle one", 3, lambda results: whole("reading", "rows")(results)["ratio"]),
    Target("resident at 1 M series, idle, beside the event window", 64, lambda r: whole("memory")(r)["idle_mb"], "{:.0f} MB"),
    Target("resident at 1 M series, highest while all targets were read", 96, lambda r: whole("memory")(r)["peak_mb"], "{:.0f} MB"),
    Target("snapshot, render and compress at 1 M series, all changed", 1.3, render_all, "{:.2f} s"),
    Target("snapshot, render and compress when one of 20 targets was read, over that", 0.15, render_share, "{:.3f}"),
    Target("ingest, of CPU time", 200, lambda results: results["ingest"]["mb_per_s"]["exporter"], "{:.0f} MB/s", least=True),
    Target("ingest over sonic-rs's DOM", 0.5, lambda results: results["ingest"]["speed_ratio"]["sonic-rs DOM"], least=True),
    Target("ingest over Go's encoding/json", 6, lambda results: results["ingest"]["speed_ratio"]["Go encoding/json"], least=True),
    Target("memory beside what is kept, 1 M rows", 32, lambda r: whole("ingest", "rows")(r)["memory"]["over_mb"], "{:.0f} MB"),
    Target("CPU of a scrape over what Prometheus takes for it, 1 M series", 0.005, lambda r: whole("prometheus")(r)["share"], "{:.5f}"),
    Target(
        "readers that read the same whole body, of 4",
        4,
        lambda results: sum(results["readers"]["same"].values()),
        "{:.0f}",
        least=True,
    ),
]


def targets(results):
    return [target.judge(results) for target in TARGETS]
