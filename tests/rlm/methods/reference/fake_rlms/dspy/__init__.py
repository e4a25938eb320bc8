"""Takes the place of the package dspy: a root call, as many sub-calls as its reply says, and a final root call."""

import contextlib

import rlm


class LM:
    def __init__(self, model, api_base, api_key, **options):
        self.client = {"model_name": model.removeprefix("openai/"), "base_url": api_base, "api_key": api_key}


class RLM:
    def __init__(self, signature, max_llm_calls, sub_lm, interpreter_factory):
        self.sub = sub_lm

    def __call__(self, context, query):
        theirs = rlm.RLM(_root[-1].client, [self.sub.client], max_depth=1)
        return Prediction(theirs.completion(context, root_prompt=query).response)


class Prediction:
    def __init__(self, answer):
        self.answer = answer


_root = []


@contextlib.contextmanager
def context(lm):
    _root.append(lm)
    yield
