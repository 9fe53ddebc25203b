"""What can go wrong in a demonstration."""


class DemoError(Exception):
    """A part of the demonstration has failed; the sentence says which."""
