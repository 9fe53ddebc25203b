"""What a worker and a fleet can be measured by: Prometheus metrics, served over HTTP.

| module | what is there |
|---|---|
| `catalogue` | every metric's name, type, labels and meaning, in one place |
| `tallies` | counts and histograms that cost the hot path next to nothing |
| `worker` | `WorkerMetrics`: what one worker measures of itself |
| `task_tally`, `redis_calls`, `service_meters` | its parts: tasks, calls, what handlers use |
| `loop_reader` | reads what belongs to an event loop, which may be stuck, from another thread |
| `families` | from what was counted to what prometheus-client writes |
| `fleet` | what the exporter reads of the queues, once for all workers |
| `endpoint`, `package` | serves a registry at `/metrics`; whether the library is there |

The endpoint runs on a thread: a handler that blocks the event loop is what somebody must hear of,
so the loop can't be what answers the scrape.
"""
