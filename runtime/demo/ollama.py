"""Whether missions are chats, and whether the Ollama that they need is there."""

import asyncio
from collections.abc import Mapping
from typing import Final

from runtime.brain.ollama import Ollama
from runtime.brain.ollama_errors import ModelMissingError, OllamaError
from runtime.brain.ollama_settings import DEFAULT_MODEL

_ANSWERS_WITHIN: Final = 5.0


async def chats(environ: Mapping[str, str]) -> bool:
    """Return whether an Ollama is set for the missions to chat with, having asked it for its model.

    Otherwise all missions would be tried again and again until the time is up.

    Raises:
        ConfigurationError: OLLAMA_HOST or OLLAMA_MODEL can't be read.
        BrainError: it isn't there, or lacks the model.
    """
    host = environ.get("OLLAMA_HOST", "").strip()
    if not host:
        return False
    ollama = Ollama(host, model=environ.get("OLLAMA_MODEL", "").strip() or DEFAULT_MODEL)
    try:
        async with asyncio.timeout(_ANSWERS_WITHIN):
            models = await ollama.models()
    except TimeoutError as error:
        problem = f"hasn't answered within {_ANSWERS_WITHIN:g} s"
        raise OllamaError(ollama.address, problem) from error
    finally:
        await ollama.aclose()
    if not {ollama.model, f"{ollama.model}:latest"} & set(models):
        raise ModelMissingError(ollama.model, ollama.address)
    return True
