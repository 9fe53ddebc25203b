"""What an agent is told of itself, and what it is told of before: from values to messages."""

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

from runtime.brain.memory_entries import Exchange
from runtime.brain.payloads import Turn

PLAIN: Final = "You are a helpful assistant."


@frozen
class Persona:
    """The agent that chats.

    Attributes:
        row_id: Its row's key.
        agent_id: Its public id.
        role: What it does in its cluster.
        name: What people call it.
        cluster: Its cluster's name.
        capabilities: What it can do.
        skills: What it has learned.
    """

    row_id: str
    agent_id: str
    role: str
    name: str
    cluster: str
    capabilities: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()


def system_prompt(persona: Persona | None, recalled: Sequence[Exchange] = ()) -> str:
    """Say who answers, and what it remembers."""
    if persona is None:
        return PLAIN
    lines = [f"You are {persona.name}, a {persona.role} of the cluster {persona.cluster} of BRAiN."]
    if persona.capabilities:
        lines.append(f"Your capabilities: {', '.join(persona.capabilities)}.")
    if persona.skills:
        lines.append(f"Your skills: {', '.join(persona.skills)}.")
    lines.append("Answer as this agent, and say so when something is beyond what you can do.")
    if recalled:
        lines += ["", "You remember these earlier exchanges; use them where they matter:"]
        lines += _told(recalled)
    return "\n".join(lines)


def messages(system: str, history: Iterable[Turn], message: str) -> list[dict[str, str]]:
    """Return the conversation as Ollama takes it."""
    return [
        {"role": "system", "content": system},
        *({"role": turn.role, "content": turn.content} for turn in history),
        {"role": "user", "content": message},
    ]


def _told(recalled: Iterable[Exchange]) -> list[str]:
    return [
        line
        for exchange in recalled
        for line in (
            f"[{exchange.at:%Y-%m-%d %H:%M} UTC] You were told: {exchange.message}",
            f"You replied: {exchange.reply}",
        )
    ]
