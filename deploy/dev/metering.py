"""Render ``docs/metrics.md``: every metric, as the services themselves declare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mistudio_servicekit.metering import Declared

START = """# Metrics

What each service shows at `/metrics` in Prometheus' text format (`make contracts` writes this page
from the services' own declarations). The gateway serves it beside its API, the others on
`HEALTH_HOST:HEALTH_PORT`. No token is needed: keep that port from the outside, and let a proxy in
front of the gateway not pass `/metrics` on.

No label holds an id: values are the fixed words named here, subjects of the contract
(`contracts/subjects.md`), error codes (`contracts/errors.md`), methods and templates of routes, and
statuses of HTTP. Series whose words are named here are there from the start, at zero. A histogram
`NAME` is stored as `NAME_bucket`, `NAME_sum` and `NAME_count`. What is read when somebody looks is
not a number while it cannot be read, and `mistudio_measured` says so.

Replicas of the catalog and of the gateway each count what they do themselves, so their counters are
summed; gauges of the catalog are one truth told by each, so of those the largest is taken.
"""
END = """## What libraries add

| names | tell |
|---|---|
| `process_*`, `python_*` | the process's processor time, memory, files, garbage collection |
| `faststream_*` | messages, their sizes and how long handlers took, by subject |
"""
_KIT = ("catalog", "extractor", "gateway", "loader")


def page(declared: Mapping[str, Sequence[Declared]]) -> str:
    """Return the page of the metrics that each service declares."""
    holders: dict[str, list[str]] = {}
    rows: dict[str, Declared] = {}
    for service, metrics in sorted(declared.items()):
        for metric in metrics:
            rows[metric.name] = _merged(rows.get(metric.name, metric), metric)
            holders.setdefault(metric.name, []).append(service)
    sections: dict[tuple[str, ...], list[Declared]] = {}
    for name, services in holders.items():
        sections.setdefault(tuple(services), []).append(rows[name])
    parts = [START]
    for held_by, metrics in sorted(sections.items(), key=lambda item: (-len(item[0]), item[0])):
        title = "Every service" if held_by == _KIT else " and ".join(held_by).capitalize()
        parts.append(f"## {title}\n\n{_table(metrics)}\n")
    return "\n".join([*parts, END])


def _merged(one: Declared, other: Declared) -> Declared:
    """Return one line for what two services declare under one name."""
    labels = {
        label: tuple(dict.fromkeys((*values, *other.labels[label])))
        for label, values in one.labels.items()
    }
    return replace(one, labels=labels)


def _table(metrics: Sequence[Declared]) -> str:
    lines = ["| metric | type | unit | labels | meaning |", "|---|---|---|---|---|"]
    for metric in sorted(metrics, key=lambda each: each.name):
        labels = "<br>".join(
            f"`{label}`: {', '.join(values)}" if values else f"`{label}`"
            for label, values in metric.labels.items()
        )
        lines.append(
            f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.meaning} |"
        )
    return "\n".join(lines)
