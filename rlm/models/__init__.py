"""Models: the ChatModel protocol, the client, the embedded and the scripted model, cache, prices and token counts."""

from rlm.models.chat import ChatModel

_MEMBERS = ("name", "context_window", "sampling", "complete", "aclose")


def load_model(model: ChatModel | str) -> ChatModel:
    """Return a ChatModel unchanged, or build the model with a name such as `openai/gpt-5` or `local`.

    Raises ValueError for an unknown name, TypeError for any other object, and FatalModelError for a missing API key.
    """
    if not isinstance(model, str):
        missing = [name for name in _MEMBERS if not hasattr(model, name)]
        if missing:
            got = f"{type(model).__name__}, without {', '.join(missing)}"
            raise TypeError(f"model is {got}: expected a name such as 'openai/gpt-5' or a ChatModel")
        return model
    from rlm.models.build import model_of_name

    return model_of_name(model)
