"""Snapshots to be drawn: one like those of a real run, and any that Hypothesis thinks of."""

from hypothesis import strategies as st

from runtime.demo.snapshot import (
    AgentRow,
    ClusterRow,
    Event,
    MissionRow,
    MissionState,
    QueueRow,
    Snapshot,
    WorkerRow,
    WorkerState,
)

LABELS = [f"{number}00k-{number + 1}00k" for number in range(6)]

AFTER_THE_KILL = Snapshot(
    headline="worker-2 is killed; its 3 missions must run elsewhere within 5 s",
    elapsed_s=18.1,
    cluster=ClusterRow("research-001", "scaling_down", 6, 1.0, 100.0, 12),
    queues=(
        QueueRow("brain:cluster_tasks", 0, 1, 0, 0),
        QueueRow("brain:mission_tasks", 2, 6, 3, 4),
    ),
    workers=(
        WorkerRow("worker-1", WorkerState.ALIVE, 32449, 3, 6, 13, 0.9),
        WorkerRow("worker-2", WorkerState.KILLED, 32451, 3, 6, 6, 13.7),
    ),
    agents=(
        AgentRow("supervisor-14d80305815a", "Head of Research", "supervisor", "active", None),
        *(
            AgentRow(f"worker-fe9e399e5{number}4a", "Researcher", "worker", "busy", label)
            for number, label in enumerate(LABELS)
        ),
    ),
    missions=(
        MissionRow("1", LABELS[0], MissionState.ANSWERED, "worker-1", answer="9,592 primes"),
        MissionRow("2", LABELS[1], MissionState.RUNNING, "worker-1", 14, 20),
        MissionRow("3", LABELS[2], MissionState.RUNNING, "worker-1", 48, None),
        MissionRow("4", LABELS[3], MissionState.ORPHANED, "worker-2", 7, 20),
        MissionRow("5", LABELS[4], MissionState.WAITING),
        MissionRow("6", LABELS[5], MissionState.FAILED, "worker-1", answer="no memory"),
    ),
    events=tuple(Event(number / 2, f"event {number}", number % 5 == 0) for number in range(40)),
)

_texts = st.text(max_size=300)
_counts = st.integers(0, 10**7)
_times = st.floats(0, 10**6)

snapshots = st.builds(
    Snapshot,
    headline=_texts,
    elapsed_s=_times,
    cluster=st.none()
    | st.builds(
        ClusterRow,
        name=_texts,
        status=_texts,
        workers=_counts,
        health=st.floats(0, 1),
        load=st.floats(0, 100),
        completed=_counts,
    ),
    queues=st.lists(
        st.builds(QueueRow, _texts, _counts, _counts, _counts, _counts), max_size=6
    ).map(tuple),
    workers=st.lists(
        st.builds(
            WorkerRow,
            _texts,
            st.sampled_from(WorkerState),
            _counts,
            _counts,
            _counts,
            _counts,
            st.none() | _times,
        ),
        max_size=6,
    ).map(tuple),
    agents=st.lists(
        st.builds(AgentRow, _texts, _texts, _texts, _texts, st.none() | _texts), max_size=60
    ).map(tuple),
    missions=st.lists(
        st.builds(
            MissionRow,
            _texts,
            _texts,
            st.sampled_from(MissionState),
            st.none() | _texts,
            st.none() | _times,
            st.none() | _times,
            st.none() | _texts,
        ),
        max_size=60,
    ).map(tuple),
    events=st.lists(st.builds(Event, _times, _texts, st.booleans()), max_size=60).map(tuple),
)
