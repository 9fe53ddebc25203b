import pytest
from tests.brokers import test_side_by_side as t
from hypothesis import Phase
def test_x(valkey_server):
    t.PHASES=(Phase.generate,Phase.shrink)
    valkey_server.reset()
    print(t._run(valkey_server,60))
