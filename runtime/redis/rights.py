"""What a worker needs to be allowed, and whether the server allows it.

A right that is missing would show only when it is needed: the one to write dead letters with the
first task that fails, hours after the start. So a worker asks at its start, without the right to
administer anybody: commands between MULTI and DISCARD are checked against the access rules and
never executed. `deploy/redis/worker.acl` grants just what is listed here.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import frozen
from redis.exceptions import NoPermissionError, ResponseError

from runtime.redis import keys
from runtime.redis.failures import describe
from runtime.redis.line import Words
from runtime.redis.links import Link

_ANY: Final = "any"
"""Stands for a holder, a task or a worker: rules that fit one of them fit all."""

_GUIDE: Final = "deploy/redis/worker.acl shows all that a worker needs"


@frozen
class Denied:
    """What the access rules forbid.

    Attributes:
        commands: that may not be sent at all, in capitals.
        places: keys and channels that some command may not touch, each with that command.
    """

    commands: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = []
        if self.commands:
            parts.append(f"the commands {', '.join(self.commands)}")
        if self.places:
            parts.append(f"the keys or channels {', '.join(self.places)}")
        return f"its access rules forbid this user {' and '.join(parts)}; {_GUIDE}"


def of_worker(queues: Iterable[str]) -> tuple[Words, ...]:
    """Return a command for each right that a worker on these queues needs."""
    return (*_EVERYWHERE, *(words for queue in queues for words in _of_queue(queue)))


def of_brain() -> tuple[Words, ...]:
    """Return a command for each right that BRAiN's handlers need beside a worker's.

    The one to PSUBSCRIBE isn't among them: without it agents are freed later, and no task fails.
    """
    waiting, mission = keys.MISSION_QUEUE, keys.mission_agent(_ANY)
    return (
        ("PING",),
        ("EVAL_RO", "return 0", "0"),
        ("EVALSHA_RO", "0" * 40, "0"),
        ("GET", keys.result(_ANY)),
        ("MGET", keys.heartbeat(_ANY)),
        ("SET", mission, "1"),
        ("GETDEL", mission),
        ("SET", keys.MISSION_LOOK, "1"),
        ("EXISTS", keys.unique(waiting, _ANY)),
        ("SET", keys.unique(waiting, _ANY), "1"),
        ("RPUSH", waiting, "1"),
        ("RPOP", waiting),
        ("LRANGE", waiting, "0", "0"),
        ("XREVRANGE", keys.dead(waiting), "+", "-"),
        *(
            words
            for queue in (keys.CLUSTER_QUEUE, waiting)
            for words in (
                ("LLEN", queue),
                ("LINDEX", queue, "0"),
                ("ZRANGE", keys.holders(queue), "0", "0"),
            )
        ),
    )


_EVERYWHERE: Final[tuple[Words, ...]] = (
    ("EVAL", "return 0", "0"),
    ("EVALSHA", "0" * 40, "0"),
    ("TIME",),
    ("CLIENT", "ID"),
    ("CLIENT", "UNBLOCK", "0"),
    ("TYPE", keys.CANCELLED),
    ("ZSCORE", keys.CANCELLED, "1"),
    ("ZADD", keys.CANCELLED, "1", "1"),
    ("ZREM", keys.CANCELLED, "1"),
    ("SET", keys.result(_ANY), "1"),
    ("DEL", keys.result(_ANY)),
    ("PUBLISH", keys.RESULTS_CHANNEL, "1"),
    ("PUBLISH", keys.result(_ANY), "1"),
    ("SET", keys.progress(_ANY), "1"),
    ("GET", keys.progress(_ANY)),
    ("DEL", keys.progress(_ANY)),
    ("SET", keys.heartbeat(_ANY), "1"),
    ("GET", keys.heartbeat(_ANY)),
    ("DEL", keys.heartbeat(_ANY)),
)


def _of_queue(queue: str) -> tuple[Words, ...]:
    inflight, settled = keys.inflight(queue, _ANY), keys.settled(queue, _ANY)
    hashes = (keys.leases(queue), keys.recurring(queue), keys.saved(queue))
    sets = (keys.holders(queue), keys.delayed(queue))
    return (
        ("BLMOVE", queue, inflight, "LEFT", "RIGHT", "1"),
        ("LMOVE", inflight, queue, "RIGHT", "LEFT"),
        ("RPUSH", queue, "1"),
        ("LPUSH", queue, "1"),
        ("RPOP", queue),
        ("LPOP", queue),
        ("EXISTS", inflight),
        ("LRANGE", inflight, "0", "0"),
        ("LINDEX", inflight, "0"),
        ("LPOS", inflight, "1"),
        ("LREM", inflight, "1", "1"),
        ("LSET", inflight, "0", "1"),
        *(words for name in hashes for words in _of_hash(name)),
        *(words for name in sets for words in _of_sorted_set(name)),
        ("GET", settled),
        ("SET", settled, "1"),
        ("DEL", settled),
        ("GET", keys.promoter(queue)),
        ("SET", keys.promoter(queue), "1"),
        ("PTTL", keys.promoter(queue)),
        ("XADD", keys.dead(queue), "*", "1", "1"),
        ("XDEL", keys.dead(queue), "1-1"),
        ("XTRIM", keys.dead(queue), "MAXLEN", "1"),
        ("INCRBY", keys.trimmed(queue), "1"),
        ("EXISTS", keys.paused(queue)),
    )


def _of_hash(name: str) -> tuple[Words, ...]:
    return (
        ("TYPE", name),
        ("HEXISTS", name, "1"),
        ("HGET", name, "1"),
        ("HGETALL", name),
        ("HSET", name, "1", "1"),
        ("HDEL", name, "1"),
    )


def _of_sorted_set(name: str) -> tuple[Words, ...]:
    return (
        ("ZADD", name, "1", "1"),
        ("ZCARD", name),
        ("ZRANGE", name, "0", "0"),
        ("ZREM", name, "1"),
    )


async def denied(link: Link, needed: Sequence[Words]) -> Denied:
    """Ask which of these commands the access rules forbid; none of them is executed.

    A cancellation closes the connection.

    Args:
        link: an open connection.
        needed: the commands.

    Raises:
        NoPermissionError: MULTI or DISCARD is forbidden, so nothing can be asked.
        RedisError: the connection failed.
        OSError: likewise.
    """
    await link.send_command("MULTI")
    await link.read_response()
    commands: dict[str, None] = {}
    places: dict[str, None] = {}
    for words in needed:
        await link.send_command(*words)
        try:
            await link.read_response()
        except NoPermissionError as error:
            if "access" in str(error):
                places[f"{_where(words)} ({_command(words)})"] = None
            else:
                commands[_command(words)] = None
        except ResponseError:
            continue  # what else it has against a command, it has a right to, and so have we
    await link.send_command("DISCARD")
    await link.read_response()
    return Denied(tuple(commands), tuple(places))


def _command(words: Words) -> str:
    return " ".join(map(str, words[:2] if words[0] == "CLIENT" else words[:1]))


def _where(words: Sequence[Any]) -> str:
    count = 2 if words[0] in ("BLMOVE", "LMOVE") else 1
    return " or ".join(map(str, words[1 : 1 + count]))


def unchecked(error: NoPermissionError) -> str:
    """Return the warning for an operator whose rules don't let a worker ask."""
    return f"This user's rights can't be checked: {describe(error)}; {_GUIDE}"
