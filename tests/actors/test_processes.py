import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve
from loguru import logger

from actors import Context, Handlers, RefusedError, Reject, Retry, TaskLostError
from actors.current import TaskName, current_task, name_task
from actors.notes import Notes
from actors.processes import HandlerProcessError, Processes
from tests.actors.process_handlers import handlers
from tests.actors.stage import Stage, until
from tests.polling import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

ROOT = Path(__file__).parents[2]


def context() -> Context:
    deadline = datetime(2024, 2, 17, 10, 30, tzinfo=UTC)
    return Context("task-ü", "a type", "a queue", "a worker", 3, deadline)


async def call(processes: Processes, name: str, /, **payload: Any) -> dict[str, Any]:
    body = json.dumps(payload).encode()
    result: dict[str, Any] = json.loads(await processes.call(handlers[name], body, context()))
    return result


@pytest.fixture
async def processes() -> AsyncIterator[Processes]:
    """Processes of a worker with two slots."""
    async with Processes(2, max_result_bytes=2 * 2**20) as all_of_them:
        yield all_of_them


@asynccontextmanager
async def stuck(
    processes: Processes, file: Path, *, end: str | None = None, **options: Any
) -> AsyncIterator[tuple[list[int], Callable[[], None]]]:
    """Have a handler run for ever; yield its processes and what cancels its call.

    The call may end with an error that holds the text `end`.
    """

    async def one() -> None:
        if end is None:
            await call(processes, "stuck", file=str(file), **options)
        else:
            with pytest.raises(HandlerProcessError, match=end):
                await call(processes, "stuck", file=str(file), **options)

    async with anyio.create_task_group() as group:
        group.start_soon(one)
        await until(file.exists, "the handler runs")
        yield written(file), group.cancel_scope.cancel


def written(file: Path) -> list[int]:
    """Return the process ids that a stuck handler has written."""
    pids: list[int] = json.loads(file.read_text())
    return pids


def reaped(*pids: int) -> bool:
    """Say whether these processes have ended and were waited for."""
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def runs(pid: int) -> bool:
    """Say whether a process runs; one that merely waits to be reaped by the system doesn't."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] != b"Z"


async def test_a_handler_runs_elsewhere_and_its_process_is_used_again(
    processes: Processes,
) -> None:
    """The payload is built in another process, which serves the next call too."""
    first = await call(processes, "sum", numbers=[1, 2])
    second = await call(processes, "sum", numbers=[])

    assert (first["sum"], second["sum"]) == (3, 0)
    assert first["pid"] == second["pid"] != os.getpid()


async def test_a_handler_sees_its_context(processes: Processes) -> None:
    """The context is as whole as on the event loop, and the handler runs in the main thread."""
    seen = await call(processes, "whoami")

    assert seen.pop("pid") != os.getpid()
    assert seen == {
        "id": "task-ü",
        "type": "a type",
        "queue": "a queue",
        "worker": "a worker",
        "attempt": 3,
        "deadline": "2024-02-17T10:30:00+00:00",
        "main": True,
    }


async def test_values_come_back_whole(processes: Processes) -> None:
    """Payloads and results cross the line unchanged, large ones without a deadlock."""
    for value in ('ü€😀\x00\n"\\', 10**15, 1e-7, [None, True, {"": []}], "é" * 2**19):
        assert await call(processes, "echo", value=value) == {"value": value}


async def test_results_are_written_as_elsewhere(processes: Processes) -> None:
    """None is an empty object, and what isn't a mapping lies under `value`."""
    assert await call(processes, "returns", what="none") == {}
    assert await call(processes, "returns", what="number") == {"value": 7}


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        (
            "raises",
            {
                "odd": ("OddError", "an odd one: ü \\ud800"),
                "empty": ("OddError", "OddError"),
                "exit": ("SystemExit", "3"),
                "interrupt": ("KeyboardInterrupt", "KeyboardInterrupt"),
            },
        ),
        (
            "returns",
            {
                "nan": ("UnencodableError", "the handler's result isn't JSON"),
                "set": ("UnencodableError", "Object of type set"),
                "half": ("UnencodableError", "half of a character"),
                "deep": ("UnencodableError", "nested too deeply"),
            },
        ),
    ],
    ids=["raises", "returns"],
)
async def test_failures_come_back_whole(
    processes: Processes, name: str, cases: dict[str, tuple[str, str]]
) -> None:
    """An exception's text, class and place come back, and the process stays."""
    before = (await call(processes, "whoami"))["pid"]
    for what, (kind, error) in cases.items():
        with pytest.raises(HandlerProcessError) as caught:
            await call(processes, name, what=what)

        assert error in caught.value.error
        assert str(caught.value) == caught.value.error
        assert caught.value.error_type == kind
        lines = caught.value.traceback.splitlines()
        if name == "raises":
            assert "process_handlers.py" in lines[1]
            assert lines[-1].startswith((f"tests.actors.process_handlers.{kind}", kind))
        else:
            assert lines == []
    assert (await call(processes, "whoami"))["pid"] == before


async def test_verdicts_keep_what_they_say(processes: Processes) -> None:
    """`Reject` and `Retry` arrive as the handler raised them."""
    with pytest.raises(Reject) as rejected:
        await call(processes, "raises", what="reject")
    with pytest.raises(Retry) as asked:
        await call(processes, "raises", what="retry")
    with pytest.raises(Retry) as by_itself:
        await call(processes, "raises", what="retry by itself")

    assert rejected.value.why == "never"
    assert (asked.value.why, asked.value.after) == ("later", 2.5)
    assert (by_itself.value.why, by_itself.value.after) == (Retry().why, None)


async def test_a_result_that_is_too_large_stays_there() -> None:
    """The bound holds before the result crosses the line."""
    async with Processes(1, max_result_bytes=1_000) as processes:
        with pytest.raises(HandlerProcessError) as caught:
            await call(processes, "returns", what="large")

    assert caught.value.error == "the handler's result has 2012 bytes, the most is 1000"
    assert caught.value.error_type == "ResultTooLarge"


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"how": "exit", "code": 0}, "the process of the handler ended with exit code 0"),
        ({"how": "exit", "code": 7}, "the process of the handler ended with exit code 7"),
        ({"how": "segv"}, "the process of the handler ended with signal 11 (SIGSEGV)"),
        ({"how": "garbage"}, "the process of the handler sent what can't be read"),
    ],
    ids=["exit 0", "exit 7", "SIGSEGV", "garbage"],
)
async def test_a_death_is_a_failure_and_the_next_call_works(
    processes: Processes, payload: dict[str, Any], words: str
) -> None:
    """A process that dies fails its call, in words, and no other."""
    with pytest.raises(HandlerProcessError) as caught:
        await call(processes, "dies", **payload)

    assert caught.value.error.startswith(words)
    assert caught.value.error_type == "ProcessDied"
    assert (await call(processes, "sum", numbers=[1]))["sum"] == 1


async def test_a_process_that_died_idle_harms_no_call(processes: Processes) -> None:
    """A process that somebody killed between two calls is replaced."""
    pid = (await call(processes, "whoami"))["pid"]
    fd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: select.select([fd], [], [], 0)[0], "it has died")
    os.close(fd)

    assert (await call(processes, "whoami"))["pid"] != pid


@pytest.mark.parametrize("how", ["asleep", "busy", "in C"])
async def test_a_cancellation_kills(processes: Processes, tmp_path: Path, how: str) -> None:
    """When a cancelled call returns, its process is gone, whatever it did; the next one works."""
    async with stuck(processes, tmp_path / "pids", how=how) as (pids, cancel):
        cancel()

    assert reaped(*pids)
    assert (await call(processes, "whoami"))["pid"] not in pids


async def test_a_cancellation_kills_what_the_handler_has_started(
    processes: Processes, tmp_path: Path
) -> None:
    """A program that the handler runs ends with it."""
    async with stuck(processes, tmp_path / "pids", helper=True) as (pids, cancel):
        cancel()

    assert len(pids) == 2
    await until(lambda: not any(map(runs, pids)), "both are gone")


async def test_a_cancellation_while_it_starts_leaves_none_behind(processes: Processes) -> None:
    """A time-out shorter than the start of a process ends that process."""
    for delay in (0, 0.001, 0.01, 0.05):
        with anyio.move_on_after(delay) as scope:
            await call(processes, "stuck", file="/dev/null/none")
        assert scope.cancelled_caught
        assert "(0 running, 0 idle)" in repr(processes)


async def test_there_are_no_more_processes_than_slots(processes: Processes) -> None:
    """Calls beyond the slots wait for a process."""
    pids: list[int] = []

    async def one() -> None:
        pids.append((await call(processes, "sum", numbers=[]))["pid"])

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(one)

    assert len(pids) == 8
    assert len(set(pids)) <= 2


async def test_all_are_gone_after_the_end(tmp_path: Path) -> None:
    """The end of the worker ends idle processes and those that run a handler."""
    async with Processes(2, max_result_bytes=1_000) as processes:
        idle = (await call(processes, "whoami"))["pid"]
        async with stuck(processes, tmp_path / "pids", how="busy", end=r"signal 9") as (pids, _):
            fresh = (await call(processes, "whoami"))["pid"]
            await processes.aclose()

    assert idle in pids
    assert reaped(*pids, fresh)


async def test_what_a_handler_prints_is_no_message(
    processes: Processes, capfd: pytest.CaptureFixture[str]
) -> None:
    """The standard output of handlers, of C and of programs goes to the standard error."""
    assert await call(processes, "prints", text="x") == {"text": "x"}

    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == "printed\nwritten\nechoed\n"


async def test_what_a_handler_logs_is_among_the_lines_of_the_worker(processes: Processes) -> None:
    """Lines come with their level, place and what is bound to them; nothing is printed there."""
    lines: list[Any] = []
    sink = logger.add(lambda line: lines.append(line.record), level="DEBUG")
    await call(processes, "logs", text="{x} ")
    logger.remove(sink)

    assert [(line["level"].no, line["message"]) for line in lines[:3]] == [
        (20, "one {x} \\ud800"),
        (10, "two {braces}"),
        (33, "three"),
    ]
    assert lines[0]["extra"] == {
        "task_id": "task-ü",
        "task_type": "a type",
        "attempt": 3,
        "odd": "{1}",
        "large": str(10**30),
    }
    assert (lines[0]["name"], lines[0]["function"]) == ("tests.actors.process_handlers", "logs")
    assert lines[3]["level"].name == "ERROR"
    assert lines[3]["message"].startswith("four\nTraceback")
    assert lines[3]["message"].endswith("OddError: raised")
    assert [line["name"] for line in lines[4:]] == ["a.library", "py.warnings"]
    assert [line["level"].name for line in lines[4:]] == ["WARNING", "WARNING"]
    assert lines[4]["message"] == "five %s"
    assert "UserWarning: six" in lines[5]["message"]


async def test_lines_carry_the_trace_of_their_own_call(processes: Processes) -> None:
    """A line of the run says its trace; one of no run says none, whatever is current here."""
    lines: list[Any] = []
    ids = {"trace_id": "of the run", "span_id": "likewise"}
    token = current_task.set(TaskName("another", "here", 1, {"trace_id": "of another"}))
    logger.configure(patcher=name_task)
    sink = logger.add(lambda line: lines.append(line.record["extra"]), level="INFO")
    try:
        await processes.call(handlers["logs.about_none"], b"{}", context(), ids)
        await processes.call(handlers["logs.about_none"], b"{}", context())
    finally:
        logger.remove(sink)
        logger.configure(patcher=lambda _: None)
        current_task.reset(token)

    named = {"task_id": "task-ü", "task_type": "a type", "attempt": 3}
    assert lines[:2] == [named | ids, {}]
    assert lines[3] == {}
    assert lines[2].items() >= named.items()


async def test_a_fork_of_a_handler_has_no_line(
    processes: Processes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a handler forks can't speak for it, and doesn't hide the death of its process."""
    result = await call(processes, "forks", seconds=0, dies=False)
    assert result["said"] == "forked"
    assert "from the fork" in capfd.readouterr().err

    file = tmp_path / "pids"
    with pytest.raises(HandlerProcessError, match="ended with exit code 5"):
        await call(processes, "forks", seconds=600, dies=True, file=str(file))
    await until(lambda: not any(map(runs, written(file))), "the fork is gone with it")


async def test_ctrl_c_is_for_the_worker(processes: Processes) -> None:
    """A SIGINT does nothing to a process, which is in no group that a terminal signals."""
    pid = (await call(processes, "whoami"))["pid"]
    os.kill(pid, signal.SIGINT)

    assert (await call(processes, "whoami"))["pid"] == pid
    assert os.getpgid(pid) != os.getpgrp()


async def test_a_name_that_leads_elsewhere_is_an_error(processes: Processes) -> None:
    """A function that isn't what its module holds under its name can't be found elsewhere."""
    others = Handlers()

    def inner(payload: dict[str, Any]) -> None:
        """Be called like something else."""

    inner.__qualname__ = "add"
    inner.__module__ = "tests.actors.process_handlers"
    others.on("t", run_in="process")(inner)

    with pytest.raises(HandlerProcessError, match=r"process_handlers\.add can't be found") as error:
        await processes.call(others["t"], b"{}", context())
    assert error.value.error_type == "HandlerError"


async def test_a_module_that_breaks_elsewhere_is_named(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's own path counts; a module that can't be imported is named with its cause."""
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "breaking_handlers.py"
    file.write_text(
        "from actors import Handlers\n"
        "handlers = Handlers()\n"
        "@handlers.on('t', run_in='process')\n"
        "def there(payload: dict) -> str:\n"
        "    return 'found'\n"
    )
    import breaking_handlers  # type: ignore[import-not-found]  # noqa: PLC0415 - made just now

    there = breaking_handlers.handlers["t"]
    assert await processes.call(there, b"{}", context()) == b'{"value":"found"}'

    file.write_text("raise RuntimeError('not today')\n")
    async with Processes(1, max_result_bytes=100) as others:
        with pytest.raises(HandlerProcessError) as caught:
            await others.call(there, b"{}", context())
    assert caught.value.error == (
        "handler breaking_handlers:there can't be loaded in a process: RuntimeError: not today"
    )
    assert caught.value.error_type == "RuntimeError"
    assert str(file) in caught.value.traceback


async def test_without_an_interpreter_no_process_starts(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that can't be started is a failure of the call, in words, and no crash."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(HandlerProcessError, match="no process could be started") as caught:
        await call(processes, "whoami")

    assert caught.value.error_type == "ProcessNotStarted"
    assert "(0 running, 0 idle)" in repr(processes)


async def test_a_process_ends_when_its_line_closes(tmp_path: Path) -> None:
    """A worker that lives and has dropped the line loses the process, also while it runs."""
    processes = Processes(1, max_result_bytes=100)
    async with stuck(processes, tmp_path / "pids", how="busy", end="exit code 1") as (pids, _):
        (process,) = processes._all
        await process._line.aclose()
    assert reaped(*pids)


SCRIPT = """
import json, sys
from datetime import datetime
import anyio
from actors import Context, Handlers
from actors.processes import Processes

handlers = Handlers()

@handlers.on("t", run_in="process")
def main_handler(payload: dict) -> list:
    return [__name__, payload["x"]]

async def main():
    context = Context("id", "t", "q", "w", 1, datetime.max)
    async with Processes(1, max_result_bytes=100) as processes:
        print((await processes.call(handlers["t"], b'{"x": 1}', context)).decode())

if __name__ == "__main__":
    anyio.run(main)
"""


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(["script.py"], "__worker_main__"), (["-m", "script"], "script"), (["."], "__worker_main__")],
    ids=["script", "module", "directory"],
)
def test_handlers_in_the_main_script_are_found(
    tmp_path: Path, arguments: list[str], name: str
) -> None:
    """What the worker was started as is imported under another name, by module or by file."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "__main__.py").write_text(SCRIPT)
    command = [sys.executable, *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == f'{{"value":["{name}",1]}}\n', done.stderr


def test_a_handler_without_a_module_is_refused() -> None:
    """What was typed in has no file that a process could run."""
    code = "\n".join([*SCRIPT.splitlines()[:-1], "    pass"])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "handler __main__.main_handler can't run in a process" in done.stderr
    assert "write __main__ into a file" in done.stderr


WORKER = """
import sys
from datetime import datetime
import anyio
from actors import Context
from actors.processes import Processes
from tests.actors.process_handlers import handlers

async def main():
    context = Context("id", "t", "q", "w", 1, datetime.max)
    async with Processes(3, max_result_bytes=100) as processes, anyio.create_task_group() as group:
        for how in ("asleep", "busy", "in C"):
            payload = '{"how": "%s", "file": "%s/%s"}' % (how, sys.argv[2], how)
            group.start_soon(processes.call, handlers["stuck"], payload.encode(), context)

anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_processes_die_with_a_killed_worker(tmp_path: Path, backend: str) -> None:
    """SIGKILL of the worker ends its processes, also one whose C code keeps the lock."""
    files = [tmp_path / how for how in ("asleep", "busy", "in C")]
    command = [sys.executable, "-c", WORKER, backend, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT) as worker:
        try:
            eventually(lambda: all(file.exists() for file in files), what="all handlers run")
        finally:
            worker.kill()
    pids = [pid for file in files for pid in json.loads(file.read_text())]

    eventually(lambda: not any(map(runs, pids)), what="all processes are gone")


async def test_a_worker_runs_handlers_in_processes(stage: Stage) -> None:
    """A whole worker answers what a process returned, raised, or was too slow for."""
    stage.handlers.include(handlers.values())
    async with stage.working():
        done = await stage.run("sum", numbers=[1, 2, 3])
        rejected = await stage.run("raises", what="reject")

    assert done["success"] is True
    assert done["result"]["sum"] == 6
    assert rejected["result"]["error"] == "never"


async def test_a_handler_in_a_process_goes_on_where_it_stood(stage: Stage) -> None:
    """Each save is kept when it returns, and the next run, in whichever process, finds it."""
    stage.handlers.include(handlers.values())
    network = stage.broker.network("w")
    async with stage.working(worker_id="w"):
        answer = await stage.run("steps", steps=10, fails_after=4)

    assert answer["result"] == {"found": {"step": 4, "large": 2**70}, "attempt": 2}
    assert network.calls.count("save") == 10
    assert not any(stage.memory.store.notes.states.values())


async def test_what_cannot_be_saved_is_said_in_the_process(stage: Stage) -> None:
    """A state that is none, one that the server refuses, a lost task: errors of the handler's."""
    stage.handlers.include(handlers.values())
    network = stage.broker.network("w")
    async with stage.working(worker_id="w"):
        large = (await stage.run("saves", what="large"))["result"]
        odd = (await stage.run("saves", what="set"))["result"]
        network.breaks["save"] = RefusedError("it won't")
        refused = (await stage.run("saves"))["result"]
        network.breaks["save"] = TaskLostError("t")
        lost = (await stage.run("saves"))["result"]
    assert large["error_type"] == "StateTooLargeError"
    assert odd["error"].startswith("the saved state isn't JSON")
    assert refused == {"error": "it won't", "error_type": "RefusedError"}
    assert lost["error_type"] == "TaskLostError"


async def test_threads_in_a_process_save_too(stage: Stage) -> None:
    """Saves of several threads take turns on the line."""
    stage.handlers.include(handlers.values())
    async with stage.working(worker_id="w"):
        assert (await stage.run("saves", thread=True))["success"]
    assert stage.broker.network("w").calls.count("save") == 20


async def test_progress_crosses_the_line_now_and_then(processes: Processes, tmp_path: Path) -> None:
    """Of a tight loop's values the newest arrives while the handler runs; few are sent."""
    seen: list[tuple[float, float | None]] = []

    class Watched(Notes):
        __slots__ = ()

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "progress" and value is not None:
                seen.append(value)
            super().__setattr__(name, value)

    where = evolve(context(), notes=Watched())
    payload = json.dumps({"to": 200_000, "file": str(tmp_path / "go")}).encode()
    async with anyio.create_task_group() as group:
        group.start_soon(processes.call, handlers["counts"], payload, where)
        await until(lambda: (200_000, 200_000) in seen, "the last value has come")
        (tmp_path / "go").touch()
    assert len(seen) < 1_000
    assert all(type(done) is int for done, _ in seen)


async def test_progress_of_one_call_is_not_that_of_the_next(
    processes: Processes, tmp_path: Path
) -> None:
    """A process that is used again begins at nothing."""
    (tmp_path / "go").touch()
    first, second = context(), evolve(context(), notes=Notes())
    for where, to in ((first, 5), (second, 0)):
        payload = json.dumps({"to": to, "file": str(tmp_path / "go")}).encode()
        await processes.call(handlers["counts"], payload, where)
    assert second.notes.progress is None
