"""`python -m runtime`: see `runtime.cli`."""

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        from runtime.cli.app import run  # noqa: PLC0415 - a missing extra is said in a sentence
    except ModuleNotFoundError as error:
        if error.name not in ("cyclopts", "rich"):
            raise
        sentence = (
            f"The command line needs the package {error.name}: "
            'run `pip install "brain-worker-pool[cli]"`.'
        )
        print(sentence, file=sys.stderr)  # noqa: T201 - what else could show it
        return 2
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
