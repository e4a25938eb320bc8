class LocalInterpreter:
    pass
