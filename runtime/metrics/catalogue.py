"""Every metric: its name, type, labels and meaning. The documents' tables are tested against it.

Names and units are by Prometheus' rules. Each label has few values: a task type that this worker
has no handler for is `unknown`, whatever a producer wrote.
"""

from typing import Final, Literal

from attrs import frozen
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


@frozen
class Metric:
    """One metric.

    Attributes:
        name: as it is exposed; that of a histogram gains `_bucket`, `_sum` and `_count`.
        kind: its type.
        labels: their names.
        meaning: in words.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str

    def gauge(self) -> GaugeMetricFamily:
        """Return a family to fill with the values of this moment."""
        return GaugeMetricFamily(self.name, self.meaning, labels=self.labels)

    def counter(self) -> CounterMetricFamily:
        """Return a family to fill with counts."""
        return CounterMetricFamily(self.name, self.meaning, labels=self.labels)

    def histogram(self) -> HistogramMetricFamily:
        """Return a family to fill with buckets."""
        return HistogramMetricFamily(self.name, self.meaning, labels=self.labels)


UNKNOWN: Final = "unknown"
"""Stands for each task type that the worker has no handler for."""

TASKS: Final = Metric(
    "brain_worker_tasks_total",
    "counter",
    ("queue", "type", "outcome"),
    "Runs that ended and were settled. Outcomes: succeeded; failed (the last attempt); retried; "
    "rejected (never to be run); postponed (before its time); cancelled; stale (taken over, the "
    "answer was dropped).",
)
DEAD: Final = Metric(
    "brain_worker_dead_letters_total",
    "counter",
    ("queue", "reason"),
    "Tasks that this worker has put away as dead letters, by reason.",
)
RUN: Final = Metric(
    "brain_worker_task_duration_seconds",
    "histogram",
    ("queue", "type"),
    "How long handlers ran, each attempt for itself.",
)
WAIT: Final = Metric(
    "brain_worker_queue_time_seconds",
    "histogram",
    ("queue", "type"),
    "How long tasks waited from their creation, or from the time that they name, to the begin of "
    "their first run.",
)
SLOTS: Final = Metric("brain_worker_slots", "gauge", (), "How many handlers can run at once.")
BUSY: Final = Metric("brain_worker_slots_busy", "gauge", (), "How many handlers run.")
OLDEST: Final = Metric(
    "brain_worker_oldest_run_seconds",
    "gauge",
    (),
    "For how long the handler has run that has run for longest; 0 if none runs.",
)
BUFFERED: Final = Metric(
    "brain_worker_buffered_tasks",
    "gauge",
    (),
    "Tasks that were fetched and that no slot has begun.",
)
UNSETTLED: Final = Metric(
    "brain_worker_unsettled_tasks",
    "gauge",
    (),
    "Tasks that have ended and whose end the server hasn't confirmed yet.",
)
HANDED_BACK: Final = Metric(
    "brain_worker_handed_back_total",
    "counter",
    (),
    "Tasks that went back to the head of their queue: fetched and not begun, or given up in a "
    "drain.",
)
RECLAIMED: Final = Metric(
    "brain_worker_reclaimed_total", "counter", (), "Tasks that were recovered from dead workers."
)
LEFT_BEHIND: Final = Metric(
    "brain_worker_abandoned_threads",
    "gauge",
    (),
    "Threads that still run a handler that was given up.",
)
BATCH: Final = Metric(
    "brain_worker_settle_batch_size",
    "histogram",
    (),
    "Tasks that were settled in one call.",
)
LAG: Final = Metric(
    "brain_worker_loop_lag_seconds",
    "gauge",
    (),
    "By how much the event loop was late at worst in the last minute, now included.",
)
STALLS: Final = Metric(
    "brain_worker_loop_stalls_total",
    "counter",
    (),
    "How often the event loop stood still for longer than --stall-warning.",
)
MARGIN: Final = Metric(
    "brain_worker_lease_margin_seconds",
    "gauge",
    (),
    "How close the lease came to its lapse in the last minute; below 0 others may have taken the "
    "tasks. About 3 is healthy.",
)
LAPSES: Final = Metric(
    "brain_worker_lease_lapses_total",
    "counter",
    (),
    "How often the lease was found to have stopped, or may have.",
)
ERRORS: Final = Metric(
    "brain_worker_redis_connection_errors_total",
    "counter",
    (),
    "Calls and renewals that failed on their connection to Redis.",
)
CALL: Final = Metric(
    "brain_worker_redis_call_duration_seconds",
    "histogram",
    ("call",),
    "How long Redis took to answer, by script or command, blocking waits left out.",
)
CONNECTIONS: Final = Metric(
    "brain_worker_database_connections",
    "gauge",
    ("state",),
    "Connections of the database pool that are open: busy or idle.",
)
CONNECTIONS_MAX: Final = Metric(
    "brain_worker_database_connections_limit",
    "gauge",
    (),
    "How many connections the database pool may open.",
)
OLLAMA: Final = Metric(
    "brain_worker_ollama_request_duration_seconds",
    "histogram",
    ("request", "outcome"),
    "How long requests to Ollama took. Requests: chat, embed, tags. Outcomes: answered; failed; "
    "abandoned (cancelled, or out of time).",
)
TOKENS: Final = Metric(
    "brain_worker_ollama_tokens_total",
    "counter",
    ("kind",),
    "Tokens that Ollama has counted in chats: prompt or reply.",
)
INFO: Final = Metric(
    "brain_worker_info", "gauge", ("worker_id", "version"), "1, with the worker's name and version."
)

WORKER: Final = (
    *(TASKS, DEAD, RUN, WAIT, SLOTS, BUSY, OLDEST, BUFFERED, UNSETTLED, HANDED_BACK, RECLAIMED),
    *(LEFT_BEHIND, BATCH, LAG, STALLS, MARGIN, LAPSES, ERRORS, CALL),
    *(CONNECTIONS, CONNECTIONS_MAX, OLLAMA, TOKENS, INFO),
)
"""What a worker exposes."""

UP: Final = Metric(
    "brain_redis_up",
    "gauge",
    (),
    "1 if the exporter has read the queues; 0 if the server is out of reach, and then there are no "
    "figures of queues.",
)
WAITING: Final = Metric("brain_queue_waiting_tasks", "gauge", ("queue",), "Tasks that wait.")
IN_FLIGHT: Final = Metric(
    "brain_queue_in_flight_tasks", "gauge", ("queue",), "Tasks that workers hold."
)
DELAYED: Final = Metric(
    "brain_queue_delayed_tasks",
    "gauge",
    ("queue",),
    "Tasks that wait for their time: retries, and those that were pushed for later.",
)
AGE: Final = Metric(
    "brain_queue_oldest_task_age_seconds",
    "gauge",
    ("queue",),
    "Seconds since the task at the head was created; 0 if none waits or its body can't be read.",
)
DEAD_KEPT: Final = Metric(
    "brain_queue_dead_letters", "gauge", ("queue",), "Dead letters there are."
)
DEAD_ADDED: Final = Metric(
    "brain_queue_dead_letters_added_total",
    "counter",
    ("queue",),
    "Dead letters that there have ever been, as the stream counts them.",
)
DEAD_TRIMMED: Final = Metric(
    "brain_queue_dead_letters_trimmed_total",
    "counter",
    ("queue",),
    "Dead letters that have made room for newer ones.",
)
PAUSED: Final = Metric(
    "brain_queue_paused", "gauge", ("queue",), "1 if the queue is paused, else 0."
)
WORKERS: Final = Metric(
    "brain_queue_workers", "gauge", ("queue",), "Workers with a living lease on the queue."
)
QUEUE_SLOTS: Final = Metric(
    "brain_queue_slots",
    "gauge",
    ("queue",),
    "Slots of these workers; one that serves several queues counts on each.",
)
LOOK: Final = Metric(
    "brain_exporter_look_duration_seconds",
    "gauge",
    (),
    "How long the exporter took to read the queues for this scrape.",
)

FLEET: Final = (
    *(UP, WAITING, IN_FLIGHT, DELAYED, AGE, DEAD_KEPT, DEAD_ADDED, DEAD_TRIMMED, PAUSED),
    *(WORKERS, QUEUE_SLOTS, LOOK),
)
"""What the exporter exposes, once for all workers."""
