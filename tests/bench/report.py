#!/usr/bin/env python3
"""The table of a run of tests/bench/run or tests/bench/table: medians with their spread, the same as JSON, and a plot of it.

    report.py ROWS.jsonl PLOT.svg [TABLE.json]
    report.py --fanout LABEL < LINES    rows of presence.c as rows of a table, on standard output

The first line of ROWS names the machine; each further one is a row of gwbench. Rows of one label are runs of one case. `X-floor` is the
bare C forwarder that `X` stands beside; the servers of others are called by their names.
"""
import json
import statistics
import sys

#: Key in the JSON, title, how it is read from a row. What is measured is called `gw` in every row.
FIGURES = [
    ("cpu_us", "CPU us/message", lambda row: row.get("gw_cpu_us_per_msg", 0)),
    ("per_s", "messages/s", lambda row: row["dlv_per_s"]),
    ("p50_us", "p50 us", lambda row: row.get("dlv_p50_us", 0)),
    ("p99_us", "p99 us", lambda row: row.get("dlv_p99_us", 0)),
    ("p999_us", "p99.9 us", lambda row: row.get("dlv_p999_us", 0)),
    ("before_mb", "MB before", lambda row: row.get("gw_rss_kb", [0, 0])[0] / 1024),
    ("during_mb", "during", lambda row: row.get("gw_peak_kb", 0) / 1024),
    ("after_mb", "after", lambda row: row.get("gw_rss_kb", [0, 0])[1] / 1024),
    ("lost", "lost", lambda row: row["lost"]),
]
OTHERS = ("kamailio", "prosody", "ejabberd")
WIDTH, HEIGHT, BAR, LEFT = 760, 24, 14, 190


def cases(lines):
    """The runs of each label, in the order of their first rows."""
    found = {}
    for line in lines:
        row = json.loads(line)
        if "label" in row:
            found.setdefault(row["label"], []).append(row)
    return found


def spread(runs, figure):
    values = sorted(figure(row) for row in runs)
    return statistics.median(values), values[0], values[-1]


def table(found):
    print("case".ljust(22), *(title.rjust(22) for _, title, _ in FIGURES))
    for label, runs in found.items():
        cells = ("{:g} [{:g} {:g}]".format(*(round(value, 1) for value in spread(runs, figure))) for _, _, figure in FIGURES)
        print(label.ljust(22), *(cell.rjust(22) for cell in cells))


def as_json(machine, found):
    """Each figure as median, least and most."""
    rows = {label: {key: [round(value, 2) for value in spread(runs, figure)] for key, _, figure in FIGURES} | {"runs": len(runs)}
            for label, runs in found.items()}
    return json.dumps(machine | {"figures": ["median", "least", "most"], "cases": rows}, indent=1) + "\n"


def plot(found, title):
    """Bars of CPU time, others' in grey, with a line from the least to the most."""
    cpu = FIGURES[0][2]
    most = max((spread(runs, cpu)[2] for runs in found.values()), default=1) or 1
    scale = (WIDTH - LEFT - 60) / most
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT * (len(found) + 2)}" font-family="sans-serif" font-size="12">',
           f'<text x="4" y="16">{title}: CPU time in us a message, median and spread</text>']
    for at, (label, runs) in enumerate(found.items(), 1):
        middle, least, greatest = spread(runs, cpu)
        y = at * HEIGHT + 6
        colour = "#999" if label.endswith("-floor") or label.startswith(OTHERS) else "#2a6"
        out.append(f'<text x="4" y="{y + 12}">{label}</text>')
        out.append(f'<rect x="{LEFT}" y="{y}" width="{middle * scale:.1f}" height="{BAR}" fill="{colour}"/>')
        line = f'x1="{LEFT + least * scale:.1f}" x2="{LEFT + greatest * scale:.1f}" y1="{y + BAR / 2}" y2="{y + BAR / 2}"'
        out.append(f'<line {line} stroke="#000"/>')
        out.append(f'<text x="{LEFT + greatest * scale + 6:.1f}" y="{y + 12}">{middle:.1f}</text>')
    return "\n".join(out + ["</svg>", ""])


def fanout(label):
    """`one publishes` of presence.c: a message is what one watcher is told."""
    for line in sys.stdin:
        row = json.loads(line)
        if row["label"] == "one publishes":
            memory = round(row["rss_mb"] * 1024)
            print(json.dumps({"label": label, "dlv_per_s": row["per_s"], "dlv_p50_us": row["p50_ms"] * 1e3, "dlv_p99_us": row["p99_ms"] * 1e3,
                              "dlv_p999_us": row["p999_ms"] * 1e3, "gw_cpu_us_per_msg": row["cpu_us"], "gw_rss_kb": [memory, memory],
                              "gw_peak_kb": memory, "lost": row["number"] - row["done"]}))


def main():
    if sys.argv[1] == "--fanout":
        return fanout(sys.argv[2])
    with open(sys.argv[1], encoding="utf-8") as file:
        head, *lines = file.read().splitlines()
    machine, found = json.loads(head), cases(lines)
    print(machine["machine"], "load", machine["load"])
    table(found)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(plot(found, machine["machine"]))
    if len(sys.argv) > 3:
        with open(sys.argv[3], "w", encoding="utf-8") as file:
            file.write(as_json(machine, found))


main()
