"""The command line: `python -m runtime`.

| module | what is there |
|---|---|
| `app` | the commands; how wrong use is said; exit codes |
| `values` | how durations, sizes and names are read |
| `options` | the worker's options, and those that commands share |
| `worker` | runs a worker |
| `handler_modules` | finds the handlers of `--handlers` |
| `screen` | what a worker says when it takes tasks |
| `push`, `payload` | pushes a task; where its payload comes from |
| `status`, `watch` | queues and workers at a glance: the command; on a live screen |
| `overview`, `queue_views`, `worker_views`, `recurring_views` | what it finds |
| `rates`, `remarks` | what comes and goes a second; what is wrong, in words |
| `board`, `grid`, `figures` | an overview as lines that fit a screen |
| `health` | tells whether this machine's workers are alive |
| `demo` | the demonstration, which is in `runtime.demo` |
| `pool` | runs a pool of worker processes (`runtime.pool`) |
| `desired` | says how many workers there should be |
| `place` | which server `push` and `status` mean |

| exit code | means |
|---|---|
| 0 | done; a worker that drained, a task that succeeded, workers that live |
| 1 | a worker crashed or left answers unsettled, a task failed, `status` finds something wrong |
| 2 | wrong use or configuration: one sentence on standard error |
| 3 | `push --wait` has waited for long enough |
| 130 | a command was interrupted |

Commands import what they need when they run: `health` loads neither Redis nor a database driver.
"""
