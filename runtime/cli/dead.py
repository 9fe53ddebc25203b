"""Dead letters: `dead list`, `dead show`, `dead requeue`, `dead purge`."""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from attrs import asdict, evolve, frozen
from cyclopts import App, Parameter

from messages import Reason
from runtime.cli.options import DATA_DIR, DataDir, Flag, RedisUrl
from runtime.cli.values import Count, Duration, Names, choice
from runtime.errors import ConfigurationError

_SUCCESS: Final = 0
_NOTHING: Final = 1
_LISTED: Final = 50
_BATCH: Final = 500

_ReasonName = Annotated[
    str, Parameter(converter=choice(*Reason), metavar="REASON", show_default=False)
]


@Parameter(name="*")
@frozen(kw_only=True)
class DeadOptions:
    """Which dead letters are meant, and how they are shown.

    Attributes:
        queues: Look at these queues only. [default: BRAiN's and those that living workers serve]
        type: Those of this type only.
        reason: Those with this reason only.
        older_than: Those that have lain there for so long at least.
        newer_than: Those that have lain there for so long at most.
        as_json: Print JSON.
        redis_url: The queue server. Without one, the private server that a worker has started in
            the data directory.
        data_dir: Where private servers keep their files.
    """

    queues: Annotated[Names, Parameter(name=["--queue", "--queues"])] = ()
    type: Annotated[str | None, Parameter(metavar="TYPE")] = None
    reason: _ReasonName | None = None
    older_than: Annotated[Duration | None, Parameter(show_default=False)] = None
    newer_than: Annotated[Duration | None, Parameter(show_default=False)] = None
    as_json: Annotated[bool, Flag, Parameter(name="--json")] = False
    redis_url: RedisUrl = None
    data_dir: DataDir = DATA_DIR


_DEFAULTS: Final = DeadOptions()
Everything = Annotated[bool, Flag, Parameter(name="--all")]


def dead_app() -> App:
    """Return the command with its parts."""
    app = App(name="dead", help="Look at dead letters, send them again, or throw them away.")
    app.command(list_, name="list")
    app.command(show)
    app.command(requeue)
    app.command(purge)
    return app


def list_(*, limit: Count = _LISTED, options: DeadOptions = _DEFAULTS) -> int:
    """List dead letters, the newest last.

    Args:
        limit: How many at most, the newest of them.
        options: which.
    """

    async def listed(letters: Any) -> int:
        found = [letter for one in letters async for letter in _found(one, options, ())]
        shown = [_redacted(one) for one in sorted(found, key=lambda one: one.time)[-limit:]]
        if options.as_json:
            _print_json([_as_json(letter) for letter in shown])
            return _SUCCESS
        _tables().show_list(shown, len(found))
        return _SUCCESS

    return _run(options, listed)


def show(id_: Annotated[str, Parameter(name="ID")], /, *, options: DeadOptions = _DEFAULTS) -> int:
    """Show all that is known of a dead letter.

    Args:
        id_: The task's id, or the entry's.
        options: where to look.
    """

    async def shown(letters: Any) -> int:
        found = [letter for one in letters async for letter in _found(one, options, (id_,))]
        if not found:
            return _nothing(f"No dead letter has the id {id_!r}.")
        letter = _redacted(found[-1])
        if options.as_json:
            _print_json(_as_json(letter))
        else:
            _tables().show_one(letter)
        return _SUCCESS

    return _run(options, shown)


def requeue(
    *ids: Annotated[str, Parameter(name="ID", negative="")],
    everything: Everything = False,
    options: DeadOptions = _DEFAULTS,
) -> int:
    """Send dead letters again, as if they had never been run; their old answers go.

    Exit codes: 0 some were sent, 1 there were none, 2 wrong use.

    Args:
        ids: Of tasks or of entries.
        everything: All that the options don't rule out.
        options: which.
    """
    _check_choice("requeue", ids, everything=everything)
    return _run(options, _changing("requeued", ids, options, lambda one, found: one.requeue(found)))


def purge(
    *ids: Annotated[str, Parameter(name="ID", negative="")],
    everything: Everything = False,
    options: DeadOptions = _DEFAULTS,
) -> int:
    """Throw dead letters away for good.

    Exit codes: 0 some were thrown away, 1 there were none, 2 wrong use.

    Args:
        ids: Of tasks or of entries.
        everything: All that the options don't rule out.
        options: which.
    """
    _check_choice("purge", ids, everything=everything)
    return _run(options, _changing("purged", ids, options, lambda one, found: one.purge(found)))


def _check_choice(command: str, ids: tuple[str, ...], *, everything: bool) -> None:
    if bool(ids) == everything:
        came = "ids and --all" if ids else "neither ids nor --all"
        raise ConfigurationError(f"dead {command}", f"given {came}", "one of both")


def _changing(
    done: str,
    ids: tuple[str, ...],
    options: DeadOptions,
    change: Callable[[Any, list[Any]], Awaitable[int]],
) -> Callable[[Any], Awaitable[int]]:
    async def changed(letters: Any) -> int:
        count = 0
        for one in letters:
            pages = _tables().tracked(await one.count(), f"{done} of {one.queue}")
            batch: list[Any] = []
            with pages as step:
                async for letter in _found(one, options, ids):
                    batch.append(letter)
                    if len(batch) == _BATCH:
                        count += await change(one, batch)
                        step(len(batch))
                        batch = []
                if batch:
                    count += await change(one, batch)
                    step(len(batch))
        if options.as_json:
            _print_json({done: count})
        elif count:
            letters_ = "dead letter" if count == 1 else "dead letters"
            print(f"{count:,} {letters_} {done}.")  # noqa: T201 - it is the command line's
        if not count:
            return _nothing("No dead letter fits.", quiet=options.as_json)
        return _SUCCESS

    return changed


def _run(options: DeadOptions, work: Callable[[Any], Awaitable[int]]) -> int:
    """Open the way to the server and do the work on the queues that are meant."""
    import asyncio  # noqa: PLC0415 - the other commands don't need it

    from runtime.cli import place  # noqa: PLC0415

    url = place.find(options.redis_url, options.data_dir)
    return asyncio.run(_with_letters(url, options.queues, work))


async def _with_letters(
    url: str, queues: tuple[str, ...], work: Callable[[Any], Awaitable[int]]
) -> int:
    from secrets import token_hex  # noqa: PLC0415 - as above

    from runtime.dead_letters import DeadLetters  # noqa: PLC0415
    from runtime.heartbeats import queue_names  # noqa: PLC0415
    from runtime.producer_session import open_session  # noqa: PLC0415

    session = await open_session(url, 5.0, lambda: 0.5)
    try:
        names = queues or await queue_names(session)
        return await work([DeadLetters(session, name, lambda: token_hex(6)) for name in names])
    finally:
        await session.aclose()


def _found(letters: Any, options: DeadOptions, ids: tuple[str, ...]) -> Any:
    """Go through a queue's letters that are meant."""
    from runtime.dead_letters import Selection  # noqa: PLC0415 - as above

    return letters.find(
        Selection(
            ids=frozenset(ids),
            task_type=options.type,
            reason=None if options.reason is None else Reason(options.reason),
            older_than=options.older_than,
            newer_than=options.newer_than,
        )
    )


def _redacted(letter: Any) -> Any:
    """Return a letter as it may be shown; what is stored keeps its bytes."""
    # They are slow to import, and not every command shows a letter.
    from messages.redaction import redact, redact_body, redact_value, secrets_in  # noqa: PLC0415

    secrets = secrets_in(letter.raw)
    return evolve(
        letter,
        raw=redact_body(letter.raw).encode(),
        error=redact(letter.error, secrets),
        traceback=redact(letter.traceback, secrets),
        errors=tuple(redact_value(list(letter.errors))),
    )


def _as_json(letter: Any) -> dict[str, Any]:
    body = asdict(letter) | {
        "time": letter.time.isoformat().replace("+00:00", "Z"),
        "raw": letter.raw.decode(errors="backslashreplace"),
    }
    return {"type" if name == "task_type" else name: value for name, value in body.items()}


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))  # noqa: T201 - it is the command line's


def _nothing(sentence: str, *, quiet: bool = False) -> int:
    if not quiet:
        print(sentence, file=sys.stderr)  # noqa: T201 - it is the command line's
    return _NOTHING


def _tables() -> Any:
    from runtime.cli import dead_tables  # noqa: PLC0415 - JSON needs none

    return dead_tables
