"""The dashboards: which questions each answers, and with which queries.

Gauges of the catalog are one truth that each replica tells, so the largest counts; counters are
summed over replicas.
"""

from __future__ import annotations

from typing import Any

from grafana import Dashboard, Panel, Query, Variable, render, stat

R = "$__rate_interval"
DEVICE = 'instance=~"$instance"'
LONG = "/api/datasets/upload|.*/archive|.*/files.*"
"""Routes whose answers last as long as what they carry is large."""


def dashboards() -> dict[str, dict[str, Any]]:
    """Return every dashboard as Grafana reads it, by the name of its file."""
    every = (OVERVIEW, DEVICES, LOADING, EXTRACTION, BUS, API)
    return {each.uid.removeprefix("mistudio-"): render(each) for each in every}


def _quantiles(bucket: str, by: str = "", where: str = "", named: str = "") -> list[Query]:
    """Return the median, 95th and 99th percentile of a histogram."""
    labels = ", ".join(filter(None, ("le", by)))
    rate = f"sum by ({labels}) (rate({bucket}{where}[{R}]))"
    return [
        Query(f"histogram_quantile({part}, {rate})", f"{named}p{int(part * 100)}")
        for part in (0.5, 0.95, 0.99)
    ]


def _mean(histogram: str, by: str) -> str:
    """Return a histogram's mean by a label."""
    parts = (f"sum by ({by}) (rate({histogram}_{part}[{R}]))" for part in ("sum", "count"))
    return " / ".join(parts)


FAILING_LOADS = (
    'sum(increase(mistudio_catalog_loads_total{outcome="failed"}[1h])) / '
    'clamp_min(sum(increase(mistudio_catalog_loads_total{outcome!="cancelled"}[1h])), 1)'
)

OVERVIEW = Dashboard(
    "mistudio-overview",
    "miStudio: Overview",
    "Is everything there, what is it doing, and what needs a person?",
    [
        stat(
            "Alerts that fire",
            "Does anything need a person now?",
            "short",
            'count(ALERTS{alertstate="firing"}) or vector(0)',
            limits=(1, 3),
        ),
        stat(
            "Processes away",
            "Does every process answer Prometheus?",
            "short",
            "count(up == 0) or vector(0)",
            limits=(1, 2),
        ),
        stat(
            "Devices away",
            "Has a device stopped speaking that spoke within the week?",
            "short",
            'max(mistudio_catalog_devices{state="offline"})',
            limits=(1, 2),
        ),
        stat(
            "Dead letters",
            "Are there messages that could not be handled and wait for a decision?",
            "short",
            "max(mistudio_catalog_dead_letters)",
            limits=(1, 10),
        ),
        Panel(
            "Work under way",
            "What is the system doing?",
            "short",
            [
                Query("sum(max by (phase) (mistudio_catalog_loads_in_progress))", "loads"),
                Query(
                    "sum(max by (phase) (mistudio_catalog_extractions_in_progress))", "extractions"
                ),
            ],
        ),
        Panel(
            "Tokens captured",
            "How fast do activations come?",
            "cps",
            [Query(f"sum(rate(mistudio_extractor_captured_tokens_total[{R}]))", "tokens/s")],
        ),
        Panel(
            "Loads that fail",
            "Which part of the last hour's loads failed? Five in a hundred alert.",
            "percentunit",
            [Query(FAILING_LOADS, "failed")],
            limits=(0.02, 0.05),
        ),
        Panel(
            "Models by status",
            "How many models are there, and how many can be used at once?",
            "short",
            [Query("max by (status) (mistudio_catalog_models)", "{{status}}")],
            stacked=True,
        ),
        Panel(
            "Disks",
            "How full are the disks? Eighty in a hundred alert.",
            "percentunit",
            [
                Query(
                    "1 - mistudio_disk_available_bytes / mistudio_disk_size_bytes",
                    "{{root}} {{instance}}",
                )
            ],
            limits=(0.7, 0.8),
        ),
        Panel(
            "Requests",
            "Do people use it, and how long do they wait?",
            "s",
            _quantiles("mistudio_gateway_request_seconds_bucket", where=f'{{route!~"{LONG}"}}'),
            limits=(1, 5),
        ),
    ],
)

DEVICES = Dashboard(
    "mistudio-device",
    "miStudio: Device",
    "What is in device memory, who comes and goes, and does anything wait for room?",
    [
        Panel(
            "Device memory",
            "How much is used, by our models and by whoever else, and what may models take?",
            "bytes",
            [Query(f"mistudio_extractor_device_memory_bytes{{{DEVICE}}}", "{{kind}} {{instance}}")],
        ),
        Panel(
            "Memory in use",
            "Is the device nearly full, whoever fills it? Ninety in a hundred alert.",
            "percentunit",
            [
                Query(
                    f'1 - mistudio_extractor_device_memory_bytes{{kind="free", {DEVICE}}} / '
                    f"ignoring(kind) "
                    f'mistudio_extractor_device_memory_bytes{{kind="total", {DEVICE}}}',
                    "{{instance}}",
                )
            ],
            limits=(0.8, 0.9),
        ),
        Panel(
            "Resident models",
            "How many models are in memory, and do they work?",
            "short",
            [Query(f"mistudio_extractor_resident_models{{{DEVICE}}}", "{{state}} {{instance}}")],
            stacked=True,
        ),
        Panel(
            "Waiting for room",
            "Do models wait because others are in the way?",
            "short",
            [Query(f"mistudio_extractor_waiting_for_room{{{DEVICE}}}", "{{instance}}")],
        ),
        Panel(
            "Evictions",
            "Why do models leave? Many by lru mean that memory is too small for what is asked.",
            "short",
            [
                Query(
                    f"sum by (reason) (increase(mistudio_extractor_evictions_total{{{DEVICE}}}"
                    f"[{R}]))",
                    "{{reason}}",
                )
            ],
        ),
        Panel(
            "Memory given back",
            "How many bytes did leaving models give back?",
            "bytes",
            [
                Query(
                    "sum by (reason) (increase(mistudio_extractor_evicted_bytes_total"
                    f"{{{DEVICE}}}[{R}]))",
                    "{{reason}}",
                )
            ],
        ),
        Panel(
            "Placing a model",
            "How long does it take to bring a model from disk into device memory?",
            "s",
            _quantiles("mistudio_extractor_place_seconds_bucket", where=f"{{{DEVICE}}}"),
        ),
        Panel(
            "Placings and shortages",
            "Do placings fail, and does work run out of memory?",
            "short",
            [
                Query(
                    f"sum by (outcome) (increase(mistudio_extractor_placements_total{{{DEVICE}}}"
                    f"[{R}]))",
                    "{{outcome}}",
                ),
                Query(
                    f"sum(increase(mistudio_extractor_out_of_memory_total{{{DEVICE}}}[{R}]))",
                    "out of memory",
                ),
            ],
        ),
        Panel(
            "Devices",
            "How many devices speak?",
            "short",
            [Query("max by (state) (mistudio_catalog_devices)", "{{state}}")],
        ),
        Panel(
            "Processor",
            "How many processors does an extractor keep busy?",
            "short",
            [
                Query(
                    f'rate(process_cpu_seconds_total{{job="extractor", {DEVICE}}}[{R}])',
                    "{{instance}}",
                )
            ],
        ),
    ],
    [Variable("instance", "mistudio_extractor_device_memory_bytes")],
)

LOADING = Dashboard(
    "mistudio-loading",
    "miStudio: Loading",
    "Do models load, how long does it take, and where does it fail?",
    [
        Panel(
            "Loads by outcome",
            "How many loads became ready, failed or were called off?",
            "short",
            [
                Query(
                    f"sum by (outcome) (increase(mistudio_catalog_loads_total[{R}]))",
                    "{{outcome}}",
                )
            ],
        ),
        Panel(
            "Failures by stage",
            "In which stage do loads fail: the hub, the disk, quantising, the device?",
            "short",
            [
                Query(
                    "sum by (stage) (increase(mistudio_catalog_loads_total"
                    f'{{outcome="failed"}}[{R}]))',
                    "{{stage}}",
                )
            ],
        ),
        Panel(
            "Loads by family",
            "Which families are loaded? Those of which there were none are left out.",
            "short",
            [
                Query(
                    'sum by (family) (increase(mistudio_catalog_loads_total{outcome="ready"}'
                    "[6h])) > 0",
                    "{{family}}",
                )
            ],
        ),
        Panel(
            "Load time",
            "How long is it from a load's slot to a model that is ready?",
            "s",
            _quantiles("mistudio_catalog_load_seconds_bucket"),
        ),
        Panel(
            "Time by stage",
            "Where does a preparation spend its time, on average?",
            "s",
            [Query(_mean("mistudio_loader_stage_seconds", "stage") + " >= 0", "{{stage}}")],
        ),
        Panel(
            "Preparations",
            "What became of attempts to prepare a model? Several may belong to one load.",
            "short",
            [
                Query(
                    f"sum by (outcome) (increase(mistudio_loader_preparations_total[{R}]))",
                    "{{outcome}}",
                )
            ],
        ),
        Panel(
            "Download",
            "How fast does the hub give weights?",
            "Bps",
            [Query(f"sum(rate(mistudio_loader_downloaded_bytes_total[{R}]))", "bytes/s")],
        ),
        Panel(
            "Loads under way",
            "Do loads wait for a slot, for a loader, or for a device?",
            "short",
            [Query("max by (phase) (mistudio_catalog_loads_in_progress)", "{{phase}}")],
            stacked=True,
        ),
        Panel(
            "Longest wait",
            "How long has the load that has waited longest for a slot done so?",
            "s",
            [Query('max(mistudio_catalog_waiting_seconds{kind="load"})', "load")],
        ),
        Panel(
            "Datasets read",
            "Are datasets read, and how long does it take?",
            "short",
            [
                Query(
                    f"sum by (outcome) (increase(mistudio_loader_ingestions_total[{R}]))",
                    "{{outcome}}",
                )
            ],
        ),
    ],
)

EXTRACTION = Dashboard(
    "mistudio-extraction",
    "miStudio: Extraction",
    "How fast do activations come, where does the time go, and what did the cache save?",
    [
        stat(
            "Cache hits",
            "Which part of the last day's completed extractions computed nothing?",
            "percentunit",
            'sum(increase(mistudio_catalog_cache_answers_total{result="hit"}[1d])) / '
            "clamp_min(sum(increase(mistudio_catalog_cache_answers_total[1d])), 1)",
        ),
        stat(
            "Saved by the cache",
            "How many bytes of activations of the last day were in the store already?",
            "bytes",
            "sum(increase(mistudio_catalog_cache_saved_bytes_total[1d]))",
        ),
        stat(
            "Activations kept",
            "How much do the stores hold?",
            "bytes",
            "max(mistudio_catalog_store_bytes)",
        ),
        stat(
            "Of the limit",
            "How near are the stores to the limit from which on the least used leave?",
            "percentunit",
            "max(mistudio_catalog_store_bytes) / max(mistudio_catalog_store_limit_bytes)",
        ),
        Panel(
            "Tokens",
            "How many tokens are captured each second, by which extractor?",
            "cps",
            [
                Query(
                    f"sum by (instance) (rate(mistudio_extractor_captured_tokens_total[{R}]))",
                    "{{instance}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "Samples",
            "How many samples are captured each second?",
            "cps",
            [Query(f"sum(rate(mistudio_extractor_captured_samples_total[{R}]))", "samples/s")],
        ),
        Panel(
            "Written",
            "How many bytes of activations are written each second?",
            "Bps",
            [Query(f"sum(rate(mistudio_extractor_written_bytes_total[{R}]))", "bytes/s")],
        ),
        Panel(
            "Depth",
            "Through how many blocks does a captured token go, padding and repetitions included?",
            "short",
            [
                Query(
                    f"sum(rate(mistudio_extractor_block_tokens_total[{R}])) / "
                    f"(sum(rate(mistudio_extractor_captured_tokens_total[{R}])) > 0)",
                    "blocks a token",
                )
            ],
        ),
        Panel(
            "Time by phase",
            "Where do extractors spend their time? Waiting for models counts as place.",
            "short",
            [
                Query(
                    f"sum by (phase) (rate(mistudio_extractor_phase_seconds_sum[{R}]))",
                    "{{phase}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "A shard",
            "How long does it take to capture and write a shard?",
            "s",
            _quantiles("mistudio_extractor_phase_seconds_bucket", where='{phase="capture"}'),
        ),
        Panel(
            "Extractions under way",
            "Do extractions wait, or do they move?",
            "short",
            [Query("max by (phase) (mistudio_catalog_extractions_in_progress)", "{{phase}}")],
            stacked=True,
        ),
        Panel(
            "Extractions that ended",
            "How do extractions end?",
            "short",
            [
                Query(
                    f"sum by (outcome) (increase(mistudio_catalog_extractions_total[{R}]))",
                    "{{outcome}}",
                )
            ],
        ),
        Panel(
            "Time of an extraction",
            "How long is it from a request to its activations, where something is computed?",
            "s",
            _quantiles("mistudio_catalog_extraction_seconds_bucket"),
        ),
        Panel(
            "Longest wait",
            "How long has the extraction that has waited longest to begin done so?",
            "s",
            [Query('max(mistudio_catalog_waiting_seconds{kind="extraction"})', "extraction")],
        ),
    ],
)

BUS = Dashboard(
    "mistudio-bus",
    "miStudio: Bus",
    "Do messages move: from the outbox to the bus, and from the bus to a worker?",
    [
        Panel(
            "Waiting messages",
            "Which queues are long? Extractions keep a window of shards ordered on purpose.",
            "short",
            [
                Query(
                    'max by (subject) (mistudio_catalog_queue_messages{state="waiting"})',
                    "{{subject}}",
                )
            ],
        ),
        Panel(
            "Messages in hand",
            "What are workers busy with?",
            "short",
            [
                Query(
                    'max by (subject) (mistudio_catalog_queue_messages{state="in_hand"})',
                    "{{subject}}",
                )
            ],
        ),
        Panel(
            "Age of the oldest message",
            "Has something waited, or been in work, for too long?",
            "s",
            [Query("max by (subject) (mistudio_catalog_queue_age_seconds)", "{{subject}}")],
        ),
        Panel(
            "Workers",
            "Is there a worker for each queue? A queue without one is no queue but a store.",
            "short",
            [Query("max by (subject) (mistudio_catalog_queue_workers)", "{{subject}}")],
        ),
        Panel(
            "Messages handled",
            "What becomes of messages, and how many are tried again?",
            "ops",
            [
                Query(
                    f"sum by (outcome) (rate(mistudio_messages_handled_total[{R}]))", "{{outcome}}"
                )
            ],
        ),
        Panel(
            "Messages not published",
            "Does the bus refuse messages?",
            "ops",
            [
                Query(
                    "sum by (job) (rate(mistudio_messages_published_total"
                    f'{{outcome="failed"}}[{R}]))',
                    "{{job}}",
                )
            ],
        ),
        Panel(
            "Outbox",
            "How many messages has the catalog decided on that are not on the bus?",
            "short",
            [
                Query("max(mistudio_catalog_outbox_messages)", "waiting"),
                Query("max(mistudio_catalog_outbox_parked_messages)", "set aside"),
            ],
        ),
        Panel(
            "Outbox lag",
            "For how long has the oldest of them waited? Half a minute alerts.",
            "s",
            [Query("max(mistudio_catalog_outbox_lag_seconds)", "oldest")],
            limits=(10, 30),
        ),
        Panel(
            "Requests answered with an error",
            "Which service answers requests on the bus with errors, and with which?",
            "ops",
            [
                Query(
                    "sum by (job, code) (rate(mistudio_requests_answered_total"
                    f'{{code!="ok"}}[{R}]))',
                    "{{job}} {{code}}",
                )
            ],
        ),
        Panel(
            "Dead letters",
            "How many messages wait for a person to replay or discard them?",
            "short",
            [Query("max(mistudio_catalog_dead_letters)", "letters")],
            limits=(1, 10),
        ),
        Panel(
            "What cannot be read",
            "Can each service read the figures that it shows? 1 is yes.",
            "short",
            [Query("min by (job, measure) (mistudio_measured)", "{{job}} {{measure}}")],
        ),
    ],
)

API = Dashboard(
    "mistudio-api",
    "miStudio: API",
    "How many people ask, how long do they wait, and do they hear of what happens?",
    [
        Panel(
            "Requests",
            "How many requests are answered, by route?",
            "reqps",
            [
                Query(
                    f"sum by (route) (rate(mistudio_gateway_request_seconds_count[{R}]))",
                    "{{route}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "Latency",
            "How long do answers take, downloads and uploads aside? Five seconds alert.",
            "s",
            _quantiles("mistudio_gateway_request_seconds_bucket", where=f'{{route!~"{LONG}"}}'),
            limits=(1, 5),
        ),
        Panel(
            "Slowest routes",
            "Which routes are slow, on average?",
            "s",
            [
                Query(
                    f"topk(5, {_mean('mistudio_gateway_request_seconds', 'route')} >= 0)",
                    "{{route}}",
                )
            ],
        ),
        Panel(
            "Errors",
            "Which part of the answers are the service's own errors?",
            "percentunit",
            [
                Query(
                    "(sum(rate(mistudio_gateway_request_seconds_count"
                    f'{{status=~"5.."}}[{R}])) or vector(0)) / '
                    f"sum(rate(mistudio_gateway_request_seconds_count[{R}]))",
                    "5xx",
                )
            ],
            limits=(0.01, 0.05),
        ),
        Panel(
            "Requests in progress",
            "How many requests are being answered now?",
            "short",
            [Query("sum(mistudio_gateway_requests_in_progress)", "requests")],
        ),
        Panel(
            "WebSocket clients",
            "How many clients listen, and how many were sent away as too slow?",
            "short",
            [
                Query("sum(mistudio_gateway_websocket_clients)", "connected"),
                Query(
                    f"sum(increase(mistudio_gateway_websocket_lagging_clients_total[{R}]))",
                    "sent away",
                ),
            ],
        ),
        Panel(
            "WebSocket frames",
            "How many frames are sent?",
            "cps",
            [Query(f"sum(rate(mistudio_gateway_websocket_frames_total[{R}]))", "frames/s")],
        ),
        Panel(
            "WebSocket delay",
            "How long after it happened does a client hear of an event?",
            "s",
            _quantiles("mistudio_gateway_websocket_delay_seconds_bucket"),
        ),
        Panel(
            "Uploads",
            "How fast do datasets come in?",
            "Bps",
            [Query(f"sum(rate(mistudio_gateway_upload_bytes_total[{R}]))", "bytes/s")],
        ),
        Panel(
            "Database connections",
            "Does the catalog come near the end of its connections?",
            "short",
            [
                Query("sum by (state) (mistudio_catalog_database_connections)", "{{state}}"),
                Query("sum(mistudio_catalog_database_connections_limit)", "limit"),
            ],
        ),
        Panel(
            "Waiting for a connection",
            "Do requests wait for the database?",
            "s",
            _quantiles("mistudio_catalog_database_acquire_seconds_bucket"),
        ),
        Panel(
            "Memory",
            "What does each process hold of main memory?",
            "bytes",
            [
                Query(
                    'process_resident_memory_bytes{job=~"catalog|gateway|loader|extractor"}',
                    "{{job}} {{instance}}",
                )
            ],
        ),
    ],
)
