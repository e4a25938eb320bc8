"""The error of a configuration, or of another input, that cannot be used."""


class ConfigError(ValueError):
    """An input that cannot be used; the message is one line that names it. Commands print it and exit with code 2."""
