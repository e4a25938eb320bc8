"""Who answers a list of messages: the ChatModel protocol, clients, the embedded model, cache, prices and tokens."""

from rlm.models.chat import ChatModel

_MEMBERS = ("name", "context_window", "sampling", "complete", "aclose")


def load_model(model: ChatModel | str) -> ChatModel:
    """A ChatModel as it is, or one for a name such as `openai/gpt-5` or `local`.

    Raises ValueError for a name that is not known, TypeError for what is neither, and FatalModelError for an API key
    that is not set.
    """
    if not isinstance(model, str):
        missing = [name for name in _MEMBERS if not hasattr(model, name)]
        if missing:
            got = f"{type(model).__name__}, without {', '.join(missing)}"
            raise TypeError(f"a model is a name such as 'openai/gpt-5' or a ChatModel, not {got}")
        return model
    from rlm.models.build import model_of_name

    return model_of_name(model)
