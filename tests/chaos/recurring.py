"""A task each second, for workers that also have the handlers of `tests.chaos.handlers`."""

from actors import Handlers
from runtime.redis import keys

handlers = Handlers(queue=keys.CLUSTER_QUEUE)
handlers.every("1s", "work", {"ms": 5}, name="tick")
