"""ConfigError: an unusable configuration or other input."""


class ConfigError(ValueError):
    """An unusable input. The message is one line that names it. Commands print it and exit with code 2."""
