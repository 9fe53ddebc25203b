"""How fast the pool is: ratios measured in one run, so that they mean the same on any machine.

`python -m benchmarks [--json] [--quick]`; every server and worker that it starts is its own.

| module | what is there |
|---|---|
| `suite` | which figures are measured, in which order |
| `throughput`, `bare` | a whole worker process against a bare loop over the same scripts |
| `latency`, `floor` | enqueue to start against a plain BLMOVE |
| `recovery` | from `kill -9` to the restart of the victim's task |
| `backlog` | a million waiting tasks against ten thousand, and the memory meanwhile |
| `footprint` | memory at rest, start-up, import |
| `drain` | how a rate is measured |
| `handlers` | what the measured workers run |
| `server`, `processes`, `tasks` | the Valkey, the workers and the tasks of a run |
| `figures`, `report`, `progress` | what was measured, as a table or as JSON; how far it is |
"""
