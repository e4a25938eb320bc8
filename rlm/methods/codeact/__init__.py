"""CodeAct and ReAct."""

from rlm.methods.codeact.loop import CodeAct

__all__ = ["CodeAct"]
