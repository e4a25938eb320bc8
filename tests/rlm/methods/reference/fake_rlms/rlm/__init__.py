"""Takes the place of the package rlms: one root call, the calls that its reply asks for, and a final root call."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor


class RLM:
    def __init__(self, backend_kwargs, other_backend_kwargs, max_depth, max_iterations=30, **options):
        self.root, self.sub = backend_kwargs, other_backend_kwargs[0]
        self.told = {"max_depth": max_depth, "max_iterations": max_iterations, "env": sorted(os.environ)}

    def completion(self, context, root_prompt=None):
        print("noise on standard output", flush=True)
        kind = "documents" if isinstance(context, list) else "text"
        asked = self.call(self.root, f"{kind} of {len(context)}: {root_prompt}")
        if asked == "hang":
            time.sleep(600)
        if asked == "crash":
            os._exit(7)
        if asked == "told":
            return Response(json.dumps(self.told))
        if asked.endswith("at once"):
            with ThreadPoolExecutor(int(asked.split()[0])) as pool:
                list(pool.map(lambda number: self.call(self.sub, f"sub call {number}"), range(int(asked.split()[0]))))
            asked = "0"
        for number in range(int(asked)):
            self.call(self.sub, f"sub call {number}")
        return Response(self.call(self.root, "and now?"))

    def call(self, client, content):
        body = json.dumps({"model": client["model_name"], "messages": [{"role": "user", "content": content}]})
        request = urllib.request.Request(
            client["base_url"] + "/chat/completions",
            body.encode(),
            {"Authorization": f"Bearer {client['api_key']}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as response:
                return json.load(response)["choices"][0]["message"]["content"]
        except urllib.error.HTTPError as error:
            print(error.read().decode(), file=sys.stderr)
            raise RuntimeError(f"HTTP {error.code}") from error


class Response:
    def __init__(self, response):
        self.response = response
