"""The names of attributes: OpenTelemetry's conventions for messaging, and a few of ours."""

from typing import Final

SYSTEM: Final = "messaging.system"
OPERATION_NAME: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
MESSAGE_ID: Final = "messaging.message.id"
BODY_SIZE: Final = "messaging.message.body.size"
BATCH: Final = "messaging.batch.message_count"
CLIENT: Final = "messaging.client.id"
ERROR_TYPE: Final = "error.type"

TASK_TYPE: Final = "brain.task.type"
ATTEMPT: Final = "brain.task.attempt"
OUTCOME: Final = "brain.task.outcome"

REDIS: Final = "redis"
"""The value of `messaging.system`."""


def of_queue(queue: str, operation: str) -> dict[str, str]:
    """Return what each span says of the queue that it is about."""
    return {SYSTEM: REDIS, DESTINATION: queue, OPERATION_NAME: operation}
