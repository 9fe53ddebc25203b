"""What the workers of a pool don't share."""

import pytest

from runtime.cli.options import WorkerOptions
from runtime.pool.supervisor import options_for


@pytest.mark.parametrize(
    ("port", "ports"), [(None, [None, None]), (0, [0, 0]), (9100, [9100, 9101])]
)
def test_each_worker_has_a_name_and_a_port(port: int | None, ports: list[int | None]) -> None:
    """No two have one name, and the second one's metrics are at the port behind the first one's."""
    options = WorkerOptions(metrics_port=port)
    workers = [options_for(options, "w", seat) for seat in (1, 2)]
    assert [one.worker_id for one in workers] == ["w-1", "w-2"]
    assert [one.metrics_port for one in workers] == ports
