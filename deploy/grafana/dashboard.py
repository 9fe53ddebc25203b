"""Grafana's dashboard, written so that it can be read: `make dashboards` makes its JSON anew.

It answers three questions, a row each: are tasks flowing, what is failing, do we need more
workers. A fourth row tells of what BRAiN's own handlers use.
"""

import sys
from pathlib import Path
from typing import Final, Protocol, Self, TypeVar

from attrs import frozen
from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef

PLACE: Final = Path(__file__).parent / "dashboards" / "brain.json"

_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="prometheus")
"""The data source that deploy/grafana/provisioning makes."""

_RATE: Final = "$__rate_interval"


@frozen
class Query:
    """What a panel asks.

    Attributes:
        expr: PromQL.
        legend: of each series.
    """

    expr: str
    legend: str = ""


@frozen
class Graph:
    """A panel that shows figures over time.

    Attributes:
        title: what it shows.
        unit: Grafana's name of the unit.
        queries: what it asks.
        tells: what to make of it, for its tooltip.
        from_zero: whether nothing is below 0.
    """

    title: str
    unit: str
    queries: tuple[Query, ...]
    tells: str
    from_zero: bool = True


@frozen
class Figure:
    """A panel that shows one figure of now.

    Attributes:
        title: what it shows.
        unit: Grafana's name of the unit.
        query: what it asks.
        tells: what to make of it.
    """

    title: str
    unit: str
    query: Query
    tells: str


@frozen
class Row:
    """A question, and the panels that answer it."""

    title: str
    panels: tuple[Graph | Figure, ...]


def _rate(metric: str, by: str, **matches: str) -> str:
    """Return how fast a counter grows, by some labels."""
    chosen = ",".join(f'{label}=~"{value}"' for label, value in matches.items())
    return f"sum by ({by}) (rate({metric}{{{chosen}}}[{_RATE}]))"


def _quantile(share: float, metric: str, by: str) -> str:
    """Return a quantile of a histogram, by some labels."""
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket[{_RATE}])))"


_UNHAPPY: Final = "failed|retried|rejected"

FLOWING: Final = Row(
    "Are tasks flowing?",
    (
        Figure(
            "Waiting",
            "short",
            Query("sum(brain_queue_waiting_tasks)"),
            "Tasks that no worker has taken yet, on all queues.",
        ),
        Figure(
            "The oldest is",
            "s",
            Query("max(brain_queue_oldest_task_age_seconds)"),
            "Seconds since the next task was created, of the queue where that is longest.",
        ),
        Figure(
            "Succeeded",
            "ops",
            Query(f'sum(rate(brain_worker_tasks_total{{outcome="succeeded"}}[{_RATE}]))'),
            "Tasks a second.",
        ),
        Figure(
            "Share of runs that fail",
            "percentunit",
            Query(
                f'sum(rate(brain_worker_tasks_total{{outcome=~"{_UNHAPPY}"}}[{_RATE}]))'
                f" / sum(rate(brain_worker_tasks_total[{_RATE}]))"
            ),
            "Retries among them.",
        ),
        Figure("Workers", "short", Query("count(brain_worker_info)"), "Those that are scraped."),
        Figure(
            "Redis",
            "bool_on_off",
            Query("min(brain_redis_up)"),
            "Whether the exporter can read the queues; if not, half of this page is empty.",
        ),
        Graph(
            "Runs by outcome",
            "ops",
            (Query(_rate("brain_worker_tasks_total", "outcome"), "{{outcome}}"),),
            "A second. Succeeded should follow what producers push.",
        ),
        Graph(
            "Waiting by queue",
            "short",
            (
                Query("max by (queue) (brain_queue_waiting_tasks)", "{{queue}}"),
                Query("max by (queue) (brain_queue_paused) == 1", "{{queue}} is paused"),
            ),
            "A line that only rises has too few workers, or none.",
        ),
        Graph(
            "Time in the queue",
            "s",
            tuple(
                Query(_quantile(share, "brain_worker_queue_time_seconds", "queue"), legend)
                for share, legend in ((0.5, "{{queue}} median"), (0.95, "{{queue}} 95 %"))
            ),
            "Of tasks that began, from their creation to their first run.",
        ),
        Graph(
            "Run time by type, 95 %",
            "s",
            (Query(_quantile(0.95, "brain_worker_task_duration_seconds", "type"), "{{type}}"),),
            "What has become slow?",
        ),
    ),
)

FAILING: Final = Row(
    "What is failing?",
    (
        Graph(
            "Runs that fail, by type",
            "ops",
            (
                Query(
                    _rate("brain_worker_tasks_total", "type, outcome", outcome=_UNHAPPY),
                    "{{type}} {{outcome}}",
                ),
            ),
            "Retried attempts come again by themselves; failed and rejected are dead letters.",
        ),
        Graph(
            "New dead letters by reason",
            "short",
            (
                Query(
                    f"sum by (reason) (increase(brain_worker_dead_letters_total[{_RATE}]))",
                    "{{reason}}",
                ),
            ),
            "`python -m runtime dead list` names them.",
        ),
        Graph(
            "Dead letters",
            "short",
            (Query("max by (queue) (brain_queue_dead_letters)", "{{queue}}"),),
            "Until somebody sends them again or throws them away.",
        ),
        Graph(
            "Tasks that changed hands",
            "short",
            (
                Query(f"sum(increase(brain_worker_reclaimed_total[{_RATE}]))", "reclaimed"),
                Query(f"sum(increase(brain_worker_handed_back_total[{_RATE}]))", "handed back"),
                Query(
                    f'sum(increase(brain_worker_tasks_total{{outcome="stale"}}[{_RATE}]))'
                    " or vector(0)",
                    "stale answers",
                ),
            ),
            "Reclaimed: a worker died. Stale: one was suspended or cut off, and came too late.",
        ),
        Graph(
            "Event loop lag",
            "s",
            (Query("max by (instance) (brain_worker_loop_lag_seconds)", "{{instance}}"),),
            "The worst of a minute. Above 1 s a handler blocks; the worker's log names the line.",
        ),
        Graph(
            "Lease margin",
            "s",
            (Query("min by (instance) (brain_worker_lease_margin_seconds)", "{{instance}}"),),
            "The lowest of a minute. About 3 s is healthy; below 0 the tasks may be gone.",
            from_zero=False,
        ),
        Graph(
            "Redis calls, 99 %",
            "s",
            (
                Query(
                    _quantile(0.99, "brain_worker_redis_call_duration_seconds", "call"),
                    "{{call}}",
                ),
            ),
            "How long the server and the way there take.",
        ),
        Graph(
            "Trouble on the way to Redis",
            "short",
            (
                Query(
                    f"sum(increase(brain_worker_redis_connection_errors_total[{_RATE}]))",
                    "connection errors",
                ),
                Query(f"sum(increase(brain_worker_lease_lapses_total[{_RATE}]))", "lapses"),
                Query(f"sum(increase(brain_worker_loop_stalls_total[{_RATE}]))", "stalls"),
            ),
            "What interrupts the work and heals by itself.",
        ),
    ),
)

SCALING: Final = Row(
    "Do we need more workers?",
    (
        Graph(
            "Slots",
            "short",
            (
                Query("sum(brain_worker_slots)", "there are"),
                Query("sum(brain_worker_slots_busy)", "busy"),
            ),
            "All busy while tasks wait: more workers, or more slots, help.",
        ),
        Graph(
            "Age of the next task",
            "s",
            (Query("max by (queue) (brain_queue_oldest_task_age_seconds)", "{{queue}}"),),
            "The wait that a new task has before it, about.",
        ),
        Graph(
            "Workers and slots by queue",
            "short",
            (
                Query("max by (queue) (brain_queue_workers)", "{{queue}} workers"),
                Query("max by (queue) (brain_queue_slots)", "{{queue}} slots"),
            ),
            "Those with a living lease.",
        ),
        Graph(
            "In flight and delayed",
            "short",
            (
                Query("max by (queue) (brain_queue_in_flight_tasks)", "{{queue}} in flight"),
                Query("max by (queue) (brain_queue_delayed_tasks)", "{{queue}} delayed"),
            ),
            "What the length of the queue doesn't count.",
        ),
        Graph(
            "The longest run",
            "s",
            (Query("max by (instance) (brain_worker_oldest_run_seconds)", "{{instance}}"),),
            "A line that rises for long is a handler that hangs.",
        ),
        Graph(
            "Processor by worker",
            "percentunit",
            (
                Query(
                    f"rate(process_cpu_seconds_total[{_RATE}]) and on (instance) brain_worker_info",
                    "{{instance}}",
                ),
            ),
            "Near 100 % a worker is at its limit, and more slots don't help: more workers do.",
        ),
        Graph(
            "Memory by worker",
            "bytes",
            (
                Query(
                    "process_resident_memory_bytes and on (instance) brain_worker_info",
                    "{{instance}}",
                ),
            ),
            "Resident.",
        ),
        Graph(
            "Tasks settled in one call",
            "short",
            (
                Query(
                    f"sum(rate(brain_worker_settle_batch_size_sum[{_RATE}]))"
                    f" / sum(rate(brain_worker_settle_batch_size_count[{_RATE}]))",
                    "mean",
                ),
                Query("sum(brain_worker_buffered_tasks)", "fetched, not begun"),
                Query("sum(brain_worker_unsettled_tasks)", "unsettled"),
            ),
            "Large batches: workers are at their limit. Unsettled that stays: the server refuses.",
        ),
    ),
)

SERVICES: Final = Row(
    "What BRAiN's handlers use",
    (
        Graph(
            "Database connections",
            "short",
            (
                Query("sum by (state) (brain_worker_database_connections)", "{{state}}"),
                Query("sum(brain_worker_database_connections_limit)", "limit"),
            ),
            "All busy: handlers wait for a connection.",
        ),
        Graph(
            "Ollama, 95 %",
            "s",
            (
                Query(
                    _quantile(
                        0.95, "brain_worker_ollama_request_duration_seconds", "request, outcome"
                    ),
                    "{{request}} {{outcome}}",
                ),
            ),
            "How long requests take.",
        ),
        Graph(
            "Ollama's tokens",
            "short",
            (Query(_rate("brain_worker_ollama_tokens_total", "kind"), "{{kind}}"),),
            "A second.",
        ),
    ),
)

ROWS: Final = (FLOWING, FAILING, SCALING, SERVICES)


class _Describable(Protocol):
    """What builders of panels have in common."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def datasource(self, datasource: DataSourceRef) -> Self: ...
    def height(self, h: int) -> Self: ...
    def span(self, w: int) -> Self: ...
    def with_target(self, target: prometheus.Dataquery) -> Self: ...


B = TypeVar("B", bound=_Describable)


def _described(builder: B, panel: Graph | Figure, width: int, height: int) -> B:
    builder.title(panel.title).description(panel.tells).unit(panel.unit).datasource(_SOURCE)
    return builder.span(width).height(height)


def _target(query: Query, ref: str) -> prometheus.Dataquery:
    asked = prometheus.Dataquery().expr(query.expr).ref_id(ref).datasource(_SOURCE)
    return asked.legend_format(query.legend) if query.legend else asked


def _panel(panel: Graph | Figure) -> timeseries.Panel | stat.Panel:
    if isinstance(panel, Figure):
        figure = _described(stat.Panel(), panel, 4, 4)
        figure.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        return figure.with_target(_target(panel.query, "A"))
    graph = _described(timeseries.Panel(), panel, 6, 8)
    if panel.from_zero:
        graph.min(0)
    for number, query in enumerate(panel.queries):
        graph.with_target(_target(query, chr(ord("A") + number)))
    return graph


def build() -> str:
    """Return the dashboard's JSON."""
    board = boards.Dashboard("BRAiN worker pool").uid("brain-worker-pool").tags(["brain"])
    board.refresh("15s").time("now-1h", "now").timezone("browser").tooltip(
        DashboardCursorSync.CROSSHAIR
    )
    for row in ROWS:
        board.with_row(boards.Row(row.title))
        for panel in row.panels:
            board.with_panel(_panel(panel))
    built = board.build()
    for number, panel in enumerate(built.panels or (), 1):
        panel.id_val = number
    return JSONEncoder(sort_keys=True, indent=2).encode(built) + "\n"


if __name__ == "__main__":
    PLACE.parent.mkdir(exist_ok=True)
    PLACE.write_text(build())
    sys.stdout.write(f"{PLACE} is written\n")
