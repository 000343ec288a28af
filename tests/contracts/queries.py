"""What a PromQL query asks for, and whether the services declare it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import promql_parser as promql

from mistudio_servicekit.metering import Declared

OF_A_TARGET = {"job": (), "instance": ()}
"""Labels that Prometheus adds to each series; any value will do."""

OF_OTHERS: dict[str, dict[str, tuple[str, ...]]] = {
    "up": {},
    "ALERTS": {"alertname": (), "alertstate": ("firing", "pending"), "severity": ()},
    "process_cpu_seconds_total": {},
    "process_resident_memory_bytes": {},
}
"""Series that Prometheus and the client library add, and their labels."""

Known = Mapping[str, Mapping[str, tuple[str, ...]]]


def known_series(declared: Mapping[str, Sequence[Declared]]) -> Known:
    """Return the labels of each series with their values, none where any is possible."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for metrics in declared.values():
        for metric in metrics:
            for name in metric.series:
                labels = found.setdefault(name, dict(OF_A_TARGET))
                for label, values in metric.labels.items():
                    labels[label] = (*labels.get(label, ()), *values)
                if name.endswith("_bucket"):
                    labels["le"] = ()
    return {**found, **{name: {**OF_A_TARGET, **labels} for name, labels in OF_OTHERS.items()}}


def mistakes(expression: str, known: Known) -> list[str]:
    """Return what is wrong with a query: names and labels that nothing has.

    Raises
    ------
    ValueError
        When it is no PromQL.
    """
    selectors, labels = _parts(promql.parse(expression))
    if not selectors:
        return [f"asks for nothing: {expression}"]
    found = [problem for each in selectors for problem in _of_selector(each, known)]
    has = {label for each in selectors for label in known.get(each.name, {})}
    return found + [f"no series has the label {label}" for label in sorted(labels - has)]


def _of_selector(selector: Any, known: Known) -> Iterator[str]:
    labels = known.get(selector.name)
    if labels is None:
        yield f"no service has {selector.name}"
        return
    for matcher in selector.matchers.matchers:
        if matcher.name not in labels:
            yield f"{selector.name} has no label {matcher.name}"
        elif matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
            values = labels[matcher.name]
            if values and matcher.value not in values:
                yield f"{selector.name} is never of {matcher.name} {matcher.value}"


def _parts(tree: Any) -> tuple[list[Any], set[str]]:
    """Return the selectors of a query, and the labels that it groups or matches by."""
    selectors: list[Any] = []
    labels: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, promql.VectorSelector):
            selectors.append(node)
        modifier = getattr(node, "modifier", None)
        for part in (modifier, getattr(modifier, "matching", None)):
            labels.update(getattr(part, "labels", ()))

    promql.walk(tree, visit)
    return selectors, labels
