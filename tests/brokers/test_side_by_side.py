"""The in-memory broker and a real server, driven side by side; they agree after every step."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.brokers.machine import SideBySide
from tests.servers import Valkey


def _run(server: Valkey, examples: int) -> dict[str, int]:
    tally = {"steps": 0, "faults": 0, "lost": 0, "saves": 0}

    class Machine(SideBySide):
        pass

    Machine.server = server
    Machine.tally = tally
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=100,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return tally


@pytest.mark.timeout(600)  # a failing run is made small first
def test_both_brokers_agree(valkey_server: Valkey) -> None:
    """The brokers agree, and I1 to I8 hold, over 10,000 steps with lost replies and errors."""
    valkey_server.reset()
    tally = _run(valkey_server, 200)
    assert tally["steps"] >= 10_000
    assert tally["faults"] > 100
    assert tally["lost"] > 100
    assert tally["saves"] > 100


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_both_brokers_agree_for_long(valkey_server: Valkey) -> None:
    """The same over 100,000 steps."""
    valkey_server.reset()
    assert _run(valkey_server, 1_500)["steps"] >= 100_000
