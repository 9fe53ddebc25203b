"""Simulates pools under loads: what the decision costs and gives, without a second of waiting.

    loads        what is pushed when, and how long each task takes; the same at each run
    simulation   workers, slots and a queue, event by event
    policies     who decides how many workers there are: the pool's own decision, and others
    table        the figures, as docs/autoscaling.md has them

The classes that decide are the pool's own (`runtime.pool.decision`, `runtime.pool.window`).
"""
