"""Writes Grafana dashboards: panels in rows, each with its question, its queries and its unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 39
"""Of a dashboard, as Grafana 11 writes it; later versions bring older ones up to theirs."""

SOURCE = {"type": "prometheus", "uid": "prometheus"}
COLUMNS = 24
TAG = "mistudio"

Unit = Literal["s", "bytes", "Bps", "short", "percentunit", "reqps", "ops", "cps"]
"""Grafana's names: seconds, bytes, bytes a second, a number, a share of one, and rates."""


@dataclass(frozen=True)
class Query:
    """A PromQL expression; ``legend`` names its series by ``{{label}}``."""

    expr: str
    legend: str = ""

    def in_prometheus(self, window: str = "5m") -> str:
        """Return the expression as Grafana would send it, with all values of each variable.

        Parameters
        ----------
        window
            Of rates.
        """
        return self.expr.replace("$__rate_interval", window).replace("$instance", ".*")


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes
    ----------
    title
        What is shown.
    question
        What a reader finds out from it.
    unit
        Of every query.
    queries
        In the order of their colours.
    kind
        ``stat`` is a number now, ``timeseries`` its course.
    width, height
        In a grid of 24 columns.
    limits
        Values from which on it turns yellow, and red.
    stacked
        Whether the series add up to something.
    """

    title: str
    question: str
    unit: Unit
    queries: Sequence[Query]
    kind: Literal["stat", "timeseries"] = "timeseries"
    width: int = 12
    height: int = 8
    limits: tuple[float, float] | None = None
    stacked: bool = False


@dataclass(frozen=True)
class Variable:
    """A choice above the panels: one or several values of a label; all of them at first."""

    name: str
    metric: str


@dataclass(frozen=True)
class Dashboard:
    """A page of panels, laid out from left to right; ``uid`` is its address."""

    uid: str
    title: str
    description: str
    panels: Sequence[Panel]
    variables: Sequence[Variable] = field(default=())


def stat(title: str, question: str, unit: Unit, expr: str, **options: Any) -> Panel:
    """Return a number of now; four of them make a row."""
    shape = {"width": 6, "height": 4, **options}
    return Panel(title, question, unit, [Query(expr)], kind="stat", **shape)


def render(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [TAG],
        "schemaVersion": SCHEMA,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [_links()],
        "templating": {"list": [_variable(each) for each in dashboard.variables]},
        "annotations": {"list": []},
        "panels": _laid_out(dashboard.panels),
    }


def _links() -> dict[str, Any]:
    return {
        "type": "dashboards",
        "title": "miStudio",
        "tags": [TAG],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": True,
        "targetBlank": False,
    }


def _variable(variable: Variable) -> dict[str, Any]:
    query = f"label_values({variable.metric}, {variable.name})"
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.name,
        "datasource": SOURCE,
        "query": {"query": query, "refId": "variable"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _laid_out(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    found, x, y, tallest = [], 0, 0, 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        found.append(_panel(panel, number, place))
        x, tallest = x + panel.width, max(tallest, panel.height)
    return found


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    now = panel.kind == "stat"
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.question,
        "gridPos": place,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _STAT if now else _COURSE,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "editorMode": "code",
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "instant": now,
                "range": not now,
            }
            for index, query in enumerate(panel.queries)
        ],
    }


_STAT = {
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    "colorMode": "value",
    "graphMode": "none",
    "textMode": "auto",
}
_COURSE = {
    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
    "tooltip": {"mode": "multi", "sort": "desc"},
}


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limits is not None:
        colours = zip(("yellow", "red"), panel.limits, strict=True)
        steps += [{"color": colour, "value": limit} for colour, limit in colours]
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.unit == "percentunit":
        defaults["max"] = 1
    if panel.kind == "timeseries":
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 5,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel.limits else "off"},
        }
    else:
        defaults["color"] = {"mode": "thresholds"}
    return defaults
