"""The process behind EmbeddedModel: llama.cpp's HTTP server on a free loopback port, which ends with its parent.

A program with one argument, a JSON object {weights, name, n_ctx, slots, threads, parent}. It writes one JSON line to
its standard output, {"url": ...} or {"error": ...}, and ends when its standard input ends or its parent is gone.
"""

from __future__ import annotations

import json
import os
import select
import sys
from typing import Any

# Seconds between two checks of the parent, in case another process holds standard input open.
WATCH_S = 2.0
# Memory for the prompts of idle slots, in MiB.
PROMPT_CACHE_MIB = 512


def main() -> None:
    settings = json.loads(sys.argv[1])
    report = os.fdopen(os.dup(1), "w")
    # llama.cpp writes to both standard streams: all of it goes to standard error, the parent's log.
    os.dup2(2, 1)
    try:
        server = start(settings)
        line = {"url": server.listening_address}
    except Exception as error:
        line = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(line), file=report, flush=True)
    report.close()
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    if "url" in line:
        wait_for_parent(settings["parent"])
    # Exit at once: the server's threads may be in the middle of a batch, and nothing needs to be saved.
    os._exit(0)


def start(settings: dict[str, Any]) -> Any:
    """Load the weights and start to listen; returns xllamacpp's server."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["weights"]
    params.model_alias = {settings["name"]}
    params.n_ctx = settings["n_ctx"]
    params.n_parallel = settings["slots"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
    params.n_gpu_layers = 0
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_threads_http = settings["slots"] + 2
    # A prompt that does not fit must fail, and a reply must end at the end of the window.
    params.ctx_shift = False
    params.fit_params = False
    # Flash attention sums in another order for a cached prompt than for a new one. For SmolLM2 only
    # a prompt with all but one token cached then differs, in the last bits. In Q4_K any cached part can matter.
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cache_prompt = True
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.ui = False
    params.endpoint_slots = False
    params.verbosity = 0
    return xllamacpp.Server(params)


def wait_for_parent(parent: int) -> None:
    """Return when standard input ends or the process `parent` is no longer our parent."""
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], WATCH_S)
        if readable and not os.read(0, 1):
            return


if __name__ == "__main__":
    main()
