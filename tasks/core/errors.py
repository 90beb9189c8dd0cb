"""Errors of the numeric core that a user can mend."""


class ConfigurationError(ValueError):
    """A setting out of its range; the message names it, its value and what it may be."""
