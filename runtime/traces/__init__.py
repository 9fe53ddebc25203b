"""Traces: one tells a task's whole way, from its push to what its handler calls.

    send brain:mission_tasks                      the producer, `producer`
     ├─ wait brain:mission_tasks                  in the queue, `worker`
     ├─ process brain:mission_tasks               the first attempt, an error
     ├─ wait brain:mission_tasks                  till the retry was due, and in the queue
     └─ process brain:mission_tasks               the second attempt, linked to the first
         ├─ SELECT                                the handler's own calls
         └─ POST

The producer's span context travels in the task's `traceparent`. A task that came without one
begins a trace at its first run, whose context its later attempts find in `first_run`.

| module | what is there |
|---|---|
| `settings` | whether and where traces go; whether the packages are there |
| `current` | the span that is current, for the log; the API, in a process that traces |
| `carrier` | what a task carries of a span |
| `names` | the names of attributes, by OpenTelemetry's conventions for messaging |
| `producer` | the span of a push |
| `worker` | the spans of a wait and a run |
| `sampling` | only what belongs to a task is traced |
| `run_secrets`, `concealment` | no span leaves with a secret in it |
| `export`, `sender` | from the spans to whoever collects them |

Only `worker`, `sampling`, `run_secrets`, `concealment`, `export` and `sender` import
OpenTelemetry, and only a process that traces imports them: others don't pay for it.
"""
