#!/usr/bin/env python3
"""report.py RESULTS.json PLOT.svg: the table of a run of tests/bench/run, medians with their spread, and a plot of it.

The first line of RESULTS names the machine; each further one is a row of gwbench. Rows of one label are runs of one case; the case
`X-floor` is the bare C forwarder that `X` stands beside.
"""
import json
import statistics
import sys

FIGURES = [
    ("cpu", "CPU us/message", lambda row: row.get("gw_cpu_us_per_msg", 0)),
    ("rate", "messages/s", lambda row: row["dlv_per_s"]),
    ("p50", "p50 us", lambda row: row["dlv_p50_us"]),
    ("p99", "p99 us", lambda row: row["dlv_p99_us"]),
    ("p999", "p99.9 us", lambda row: row["dlv_p999_us"]),
    ("before", "MB before", lambda row: row.get("gw_rss_kb", [0, 0])[0] / 1024),
    ("after", "MB after", lambda row: row.get("gw_rss_kb", [0, 0])[1] / 1024),
    ("lost", "lost", lambda row: row["lost"]),
]
WIDTH, HEIGHT, BAR, LEFT = 720, 24, 14, 170


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
    print("case".ljust(18), *(title.rjust(22) for _, title, _ in FIGURES))
    for label, runs in found.items():
        cells = ("{:g} [{:g} {:g}]".format(*(round(value, 1) for value in spread(runs, figure))) for _, _, figure in FIGURES)
        print(label.ljust(18), *(cell.rjust(22) for cell in cells))


def plot(found, title):
    """Bars of CPU time, the floor's in grey, with a line from the least to the most."""
    cpu = FIGURES[0][2]
    most = max(spread(runs, cpu)[2] for runs in found.values()) or 1
    scale = (WIDTH - LEFT - 60) / most
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT * (len(found) + 2)}" font-family="sans-serif" font-size="12">',
           f'<text x="4" y="16">{title}: CPU time in us a message, median and spread</text>']
    for at, (label, runs) in enumerate(found.items(), 1):
        middle, least, greatest = spread(runs, cpu)
        y = at * HEIGHT + 6
        colour = "#999" if label.endswith("-floor") else "#2a6"
        out.append(f'<text x="4" y="{y + 12}">{label}</text>')
        out.append(f'<rect x="{LEFT}" y="{y}" width="{middle * scale:.1f}" height="{BAR}" fill="{colour}"/>')
        line = f'x1="{LEFT + least * scale:.1f}" x2="{LEFT + greatest * scale:.1f}" y1="{y + BAR / 2}" y2="{y + BAR / 2}"'
        out.append(f'<line {line} stroke="#000"/>')
        out.append(f'<text x="{LEFT + greatest * scale + 6:.1f}" y="{y + 12}">{middle:.1f}</text>')
    return "\n".join(out + ["</svg>", ""])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        head, *lines = file.read().splitlines()
    machine, found = json.loads(head), cases(lines)
    print(machine["machine"], "load", machine["load"])
    table(found)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(plot(found, machine["machine"]))


main()
