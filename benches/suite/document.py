"""Results as Markdown, and their place in the documentation."""

from figures import targets

BEGIN = "<!-- scripts/bench writes from here -->"
END = "<!-- to here -->"


def table(heads, rows):
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def short(number):
    """Three significant digits."""
    if number >= 1000:
        digits = 10 ** (len(str(int(number))) - 3)
        return f"{round(number / digits) * digits:,}"
    return f"{number:.3g}" if number < 100 else f"{number:.0f}"


def thousands(series):
    return f"{series // 1_000_000} M" if series >= 1_000_000 else f"{series // 1000} k"


def microseconds(us):
    if us >= 1e6:
        return f"{short(us / 1e6)} s"
    return f"{short(us / 1000)} ms" if us >= 1000 else f"{short(us)} µs"


def markdown(results):
    """All results."""
    host = results["machine"]
    parts = [
        f"Measured on {results['date']} at commit `{results['commit']}` on {host['cores']} cores of {host['cpu']}, "
        f"{host['memory_gb']} GB, Linux {host['kernel']}; load at the beginning {host['load']:.1f}"
        + (" (**quick**: smaller, and not for the record)." if results["quick"] else "."),
        "### Targets",
        table(["what", "target", "measured", ""], targets(results)),
    ]
    for name, section in SECTIONS.items():
        if results.get(name):
            parts += section(results)
    return "\n\n".join(parts) + "\n"


def serving(results):
    rows = []
    for row in results["serving"]:
        cpu, p99 = row["cpu_us"], row["p99_us"]
        cells = [f"{thousands(row['series'])}, {row['scrapers']}", f"{row['bytes']['exporter'] / 1e6:.2f} MB"]
        cells += [microseconds(cpu[who]) for who in ("exporter", "nginx", "blast")]
        cells += [f"**{row['cpu_ratio']['nginx']:.2f}**", f"{row['cpu_ratio']['blast']:.2f}"]
        cells += [microseconds(p99["exporter"]), f"**{row['p99_ratio']['nginx']:.2f}**"]
        rows.append(cells)
    heads = ["series, scrapers", "gzip", "exporter", "nginx", "loop", "CPU / nginx", "CPU / loop", "p99", "p99 / nginx"]
    return ["### Scrapes compared with servers of the same bytes", "CPU time of the server for a gzip scrape.", table(heads, rows)]


def job(results):
    rows = []
    for row in results["job"]:
        cpu = row["cpu_us"]
        cells = [thousands(row["series"])] + [microseconds(cpu[who]) for who in ("exporter", "client_golang", "prometheus_client")]
        cells += [f"1 / {1 / row['cpu_ratio'][who]:,.0f}" for who in ("client_golang", "prometheus_client")]
        cells += [f"{row['resident_mb'][who]:,.0f} MB" for who in ("client_golang", "prometheus_client")]
        rows.append([*cells, row["rounds"]])
    heads = ["series", "exporter", "client_golang", "prometheus_client", "/ Go", "/ Python", "resident: Go", "Python", "pairs"]
    text = "CPU time of a gzip scrape. The libraries hold the same samples, set once, and write and compress them at each scrape."
    return ["### Scrapes compared with the usual libraries", text, table(heads, rows)]


def ingest(results):
    found = results["ingest"]
    rows = []
    for who, speed in found["mb_per_s"].items():
        rows.append([who, f"{short(speed)} MB/s", f"{found['speed_ratio'].get(who, 1):.2f}"])
    memory = found["memory"]
    text = f"{found['rows']:,} rows, {found['bytes'] / 1e6:.0f} MB, in CPU time; medians of {found['rounds']}, one process each."
    after = f"In memory {memory['state_mb']:.0f} MB of it are kept, and {memory['over_mb']:.1f} MB more were in use at the peak."
    return ["### Reading a report", text, table(["reader", "speed", "exporter / reader"], rows), after]


def memory(results):
    found = results["memory"]
    text = (
        f"{found['series']:,} series: {found['resident_mb']:.0f} MB resident when idle, of which {found['window_mb']:.0f} MB are the "
        f"{found['events']:,} events of the window; the rest is {found['bytes_a_series']:.0f} bytes per series. "
        f"At the peak, while all targets were read, {found['peak_mb']:.0f} MB."
    )
    rows = []
    for poll in results["polls"] + results.get("many_targets", []):
        rows.append([f"{poll['read']} of {poll['targets']}", f"{poll['megabytes']:.1f} MB"])
        rows[-1] += [microseconds(poll["cpu_ms"] * 1000), f"{poll['seconds']:.1f} s"]
    polls = "A poll from the first byte of its report to the page that shows it: reading, counting, commit, rendering, compressing."
    return ["### Memory and polls", text, polls, table(["targets read", "reports", "CPU", "time"], rows)]


def render(results):
    rows = [
        [row["read"], f"{row['anew']} of {row['shards']}"]
        + [microseconds(row[f"{what}_ms"] * 1000) for what in ("snapshot", "render", "together")]
        for row in results["render"]
    ]
    heads = ["read", "shards rendered", "`Ledger::snapshot`", "`render`", "together"]
    return ["### Rendering a million series", "CPU time, from `cargo bench --bench render`.", table(heads, rows)]


def reading(results):
    found = results["reading"]
    text = (
        f"While a report of {found['rows']:,} rows was read, the p99 of {found['scrapes']} scrapes was {microseconds(found['p99_us'])}, "
        f"{found['ratio']:.1f} times that when idle ({microseconds(found['idle_p99_us'])}); from then until it was published "
        f"{microseconds(found['publishing_p99_us'])}. {found['peak_mb']:.0f} MB were resident at the peak."
    )
    return ["### Scrapes while a large report is read", text]


def readers(results):
    found, scraped = results["readers"], results["prometheus"]
    same = ", ".join(f"{who}{'' if same else ' **(not the same)**'}" for who, same in found["same"].items())
    text = (
        f"Debian's Prometheus spends {scraped['prometheus_ms']:,.0f} ms of CPU on a scrape of {scraped['series']:,} series, the exporter "
        f"{scraped['exporter_ms']:.2f} ms: {scraped['share']:.3%}. The same {found['bytes']:,} bytes (sha256 `{found['sha256'][:16]}…`, "
        f"without the exporter's own metrics) as without gzip are read by {same}."
    )
    return ["### Clients", text]


SECTIONS = {
    "serving": serving,
    "job": job,
    "ingest": ingest,
    "memory": memory,
    "render": render,
    "reading": reading,
    "readers": readers,
}


def headline(results):
    judged = [row[3] for row in targets(results)]
    missed = sum("missed" in how for how in judged)
    return f"targets: {judged.count('met')} met, {missed} missed, {judged.count('not measured')} not measured"


def write_between_marks(page, text):
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RuntimeError(f"{page} has no place for the results: {BEGIN} and {END}")
    page.write_text(f"{before}{begin}\n{text}{end}{after}")
