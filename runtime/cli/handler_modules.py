"""Finds the handlers that `--handlers` names."""

import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from actors import Handlers
from runtime.errors import ConfigurationError

BRAIN: Final = "brain"
_SETTING: Final = "--handlers"


def load(name: str) -> Handlers:
    """Import a module, from the current directory too, and return the handlers that it defines.

    Args:
        name: `module:attribute`.

    Raises:
        ConfigurationError: there is no such module or attribute, it is no `Handlers`, or the
            module fails when it is imported.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigurationError(
            _SETTING, repr(name), "brain, or module:attribute such as my_service.tasks:handlers"
        )
    found: object = _import(name, module_name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(
                _SETTING, repr(name), f"an attribute that {module_name} has; it has no {part!r}"
            )
        found = getattr(found, part)
    if not isinstance(found, Handlers):
        raise ConfigurationError(
            _SETTING,
            f"{name!r}, of type {type(found).__name__}",
            "an attribute that is an actors.Handlers",
        )
    return found


def merge(registries: Sequence[Handlers]) -> Handlers:
    """Put several registries into one.

    Raises:
        HandlerError: two handle the same type, or name a recurring task alike.
    """
    if len(registries) == 1:
        return registries[0]
    merged = Handlers()
    for registry in registries:
        merged.include(registry)
    return merged


def _import(name: str, module_name: str) -> object:
    # As `python -m` does; a console script has its own directory there instead.
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            expected = f"a module that can be imported; there is no {error.name!r} here"
            raise ConfigurationError(_SETTING, repr(name), expected) from None
        raise _broken(name, module_name, error) from error
    except (Exception, SystemExit) as error:
        # Whatever a module of the user's raises is the user's to read.
        raise _broken(name, module_name, error) from error


def _broken(name: str, module_name: str, error: BaseException) -> ConfigurationError:
    text = " ".join(str(error).split())
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__
    ]
    if isinstance(error, SyntaxError):
        where = ""  # its text says where
    else:
        where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return ConfigurationError(
        _SETTING, repr(name), f"a module that can be imported; {module_name} raised {what}{where}"
    )
