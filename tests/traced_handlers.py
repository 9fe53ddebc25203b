"""Handlers that log in every way that there is, for the tests of logs and traces."""

import contextlib
import logging
from typing import Any

import httpx
from loguru import logger
from opentelemetry import trace
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from actors import Backoff, Context, Handlers

handlers = Handlers(retry=Backoff(attempts=2, base=0.01))


@handlers.on("speak")
async def speak(payload: dict[str, Any], context: Context) -> None:
    """Fail at first."""
    _say("on the loop")
    if context.attempt == 1 and payload.get("fails"):
        raise ValueError("at first")


@handlers.on("speak.thread")
def speak_in_thread(payload: dict[str, Any]) -> None:
    _say(f"in a thread {payload}")


@handlers.on("speak.process", run_in="process")
def speak_in_process(payload: dict[str, Any]) -> None:
    _say(f"in a process {payload}")


@handlers.on("speak.badly")
async def speak_badly(payload: dict[str, Any]) -> None:
    """Give a line arguments that don't fit, as libraries do."""
    form = "%d of %d"
    logging.getLogger("a.library").warning(form, payload)


@handlers.on("spill")
async def spill(payload: dict[str, Any]) -> None:
    """Let each library that makes spans write the payload's secrets into them."""
    secret, here = payload["password"], trace.get_current_span()
    here.set_attribute("said", f"as {secret}")
    here.add_event(f"event {secret}", {"who": [secret]})
    async with httpx.AsyncClient() as client:
        await client.post(payload["url"] + f"/{secret}?api_key=0pen-sesame")
        with contextlib.suppress(httpx.HTTPError):
            await client.get(payload["nowhere"] + f"/{secret}")
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT '{secret}'")
        with contextlib.suppress(SQLAlchemyError):
            connection.exec_driver_sql(f"SELECT '{secret}' FROM {secret}")  # noqa: S608
    engine.dispose()
    away = create_async_engine(payload["dsn"])
    with contextlib.suppress(OSError):
        await away.connect()
    tracer = trace.get_tracer("a.library")
    with tracer.start_as_current_span(f"by {secret}", attributes={"header.cookie": "c00kie"}):
        raise ValueError(f"no login with {secret} at {payload['url']}")


def _say(where: str) -> None:
    logger.info("loguru {}", where)
    logging.getLogger("a.library").warning("logging %s", where)
