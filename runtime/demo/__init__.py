"""The demonstration: `python -m runtime demo` builds a cluster, works, and kills a worker.

| module | what is there |
|---|---|
| `run` | from the start to the end of it: what is opened, signals, exit codes |
| `directory` | the directory of its own, removed at the end |
| `processes` | the worker processes: started, watched, killed, stopped |
| `script`, `missions` | what happens, step by step; the missions, and when a worker is killed |
| `stage` | what a step works with |
| `work` | the handler of its missions |
| `ollama` | whether missions are chats, and can be |
| `record` | what it has pushed, heard and done |
| `answers` | hears the answers as any subscriber does |
| `snapshot`, `reader` | what is to be seen at a moment; reading it from the servers |
| `view` | a plain function from a snapshot to what rich draws |
| `screens` | a live view on a terminal, plain lines elsewhere |
| `summary`, `picture` | what is said at the end; the view as an SVG |

Nothing is simulated: it uses private servers, real workers and the tasks of any other producer, and
each figure that it shows was read from the servers or measured.

| what ends it | exit code |
|---|---|
| the end of the script, with each task answered once | 0 |
| a part that fails, a task that was lost or answered twice, the time limit | 1 |
| SIGHUP, SIGINT, SIGTERM | 129, 130, 143 |

In each case the workers are stopped, then the private servers, then the directory is removed.
Killed by SIGKILL it leaves the directory, and nothing else: the kernel tells its workers to stop,
and the last of them stops the servers.
"""
