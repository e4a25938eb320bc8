"""The configuration: composition by Hydra, checks, plug-ins and the objects it describes."""
