"""A handler whose payload has to fit."""

from attrs import frozen

from actors import Handlers

handlers = Handlers(queue="brain:cluster_tasks")


@frozen
class Number:
    number: int


@handlers.on("double")
async def double(payload: Number) -> int:
    return payload.number * 2
