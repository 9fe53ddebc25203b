import anyio
import pytest

from runtime.brain.ollama_errors import ModelMissingError, OllamaError
from runtime.demo.ollama import chats
from runtime.errors import ConfigurationError
from tests.ollama import ollama_stand_in


async def asked(**variables: str) -> bool:
    """Ask with an Ollama that is there, and these variables beside its address."""
    async with ollama_stand_in() as ollama:
        return await chats({"OLLAMA_HOST": ollama.url, **variables})


@pytest.mark.parametrize("variables", [{}, {"OLLAMA_HOST": ""}, {"OLLAMA_HOST": " "}])
def test_missions_dont_chat(variables: dict[str, str]) -> None:
    """Without OLLAMA_HOST missions aren't chats, and no Ollama is asked."""
    assert anyio.run(chats, variables) is False


@pytest.mark.parametrize("model", ["", "qwen2.5:0.5b", "nomic-embed-text"])
def test_missions_chat(model: str) -> None:
    """With an Ollama that has the model they are, whether or not the model's name has a tag."""
    assert anyio.run(lambda: asked(OLLAMA_MODEL=model)) is True


def test_a_model_that_isnt_there() -> None:
    """A model that the server lacks is said before anything starts."""
    with pytest.raises(ModelMissingError, match="ollama pull other"):
        anyio.run(lambda: asked(OLLAMA_MODEL="other"))


def test_no_ollama() -> None:
    """An Ollama that isn't there, or an address that is none, is said before anything starts."""
    with pytest.raises(OllamaError, match="check OLLAMA_HOST"):
        anyio.run(chats, {"OLLAMA_HOST": "127.0.0.1:1"})
    with pytest.raises(ConfigurationError, match="OLLAMA_HOST"):
        anyio.run(chats, {"OLLAMA_HOST": "http://a:b:c"})
