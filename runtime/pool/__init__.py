"""`python -m runtime pool`: a supervisor with as many worker processes as the load needs.

    decision    how many workers: a plain function, and the calm before there are fewer
    window      what the last looks at the queues tell: arrivals, how long the oldest waits
    figures     one look at the queues, on the server
    restarts    when a worker that died is replaced
    line        what a worker's process and the supervisor tell each other
    process     a worker's process, as the supervisor sees it
    child       the program of such a process: a worker that never outlives its supervisor
    supervisor  the actor: looks, decides, starts, retires, replaces
    desired     the same decision for workers that something else starts
    program     the pool's own process: servers, signals, exit codes

| what dies here | then |
|---|---|
| a worker | another is started, later and later if they die soon; its tasks are reclaimed |
| a worker that can't start | it says why, once; the pool ends with 2 if none has ever started |
| the supervisor, by `kill -9` | the kernel kills its workers; their tasks wait for the next pool |
| the server | the size stays as it is until there are figures again |

Nothing here touches a task. A worker that is one too many gets SIGTERM and drains like any other.
"""
