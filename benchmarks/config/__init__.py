"""The configuration: composition by Hydra, validation, plug-ins, and construction of objects."""
