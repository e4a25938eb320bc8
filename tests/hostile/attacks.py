"""Cells that attack: the machine's files, network, processes and resources, and the host through the channel.

Each runs after PRELUDE. The arena defines the names in capitals: SECRET (a file with a canary), FOLDER (its folder),
JOURNAL (a file to write to), PORT, UDP_PORT, SOCKET_PATH, ABSTRACT (listening servers), VICTIM (a process of the same
user), HOST (the runner's process), GROUP (its process group), PROJECT (its code), NEIGHBOUR (a file in the scratch
folder of another session), STDLIB, KEY (a key of kernel objects), NR (numbers of system calls). A cell prints BREACH
after a forbidden action, and everything that it could read. The arena checks for both, and for changes outside.
"""

from attacks_files import FILES
from attacks_network import NETWORK
from attacks_processes import PROCESSES
from attacks_protocol import PROTOCOL
from attacks_resources import RESOURCES

PRELUDE = """
import asyncio, ctypes, glob, json, mmap, os, resource, signal, socket, struct, sys, threading, time
CELL = int(sys._getframe().f_code.co_filename[6:-1])
libc = ctypes.CDLL(None, use_errno=True)
def syscall(name, *args):
    done = libc.syscall(ctypes.c_long(NR[name]), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    if done < 0:
        raise OSError(ctypes.get_errno(), name)
    return done
def try_all(*attempts):
    for attempt in attempts:
        try:
            print(attempt())
        except BaseException as error:
            print(type(error).__name__, error)
def frame(head, text=b"", sizes=None):
    head = head if isinstance(head, bytes) else head.encode()
    return struct.pack("<II", *(sizes or (len(head), len(text)))) + head + text
def done(**changes):
    body = {"t": "done", "id": CELL, "status": "ok", "error": None, "error_type": None, "final": True,
            "variables": {"d": {}}, "stdout": ["", "", 0], "stderr": ["", "", 0]} | changes
    return frame(json.dumps({"d": body}))
def call(name, *args, text=b""):
    body = {"t": "call", "id": 1, "name": name, "args": list(args), "kwargs": {"d": {}}}
    return frame(json.dumps({"d": body}), text)
def send(raw):
    view = memoryview(raw)
    while view:
        view = view[os.write(3, view):]
"""

ATTACKS = FILES | NETWORK | PROCESSES | RESOURCES | PROTOCOL
