"""Cells that lie to the host over the channel, or to its budget."""

PROTOCOL = {
    "sends garbage": "send(os.urandom(100000))",
    "ends what it sends and reads on": """
import socket
threads = [threading.Thread(target=echo, args=('x' * 3_000_000,)) for _ in range(4)]
for thread in threads: thread.start()
time.sleep(0.2)
socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_WR)
while os.read(3, 1 << 20): pass
""",
    "sends a frame without end": """
send(frame('', sizes=(1 << 22, 0)))
while True: time.sleep(1)
""",
    "says a frame is huge": "send(struct.pack('<II', 0xFFFFFFFF, 0xFFFFFFFF))",
    "sends huge frames": """
send(frame('{}', sizes=(2, 127 << 20)))
for _ in range(127): send(bytes(1 << 20))
""",
    "sends broken text": r"""
send(frame(b'{"d":{"t":"\xff\xfe"}}'))
""",
    "sends broken long text": r"""
send(frame('{"d":{"t":{"s":4}}}', b'\xff\xff\xff\xff'))
""",
    "sends deep nesting": "send(frame('[' * 1000000))",
    "sends deep closed nesting": "send(frame('[' * 100000 + ']' * 100000))",
    "sends half a million lists": "send(frame('[' + ','.join(['[]'] * 500000) + ']'))",
    "sends a number without end": """
send(frame('{"d":{"t":"done","id":' + '9' * 100000 + '}}'))
""",
    "sends no object": """
for x in ('1', 'null', '[]', '"x"', '{}', 'NaN', ''): send(frame(x))
""",
    "takes more text than there is": """
send(frame('{"d":{"t":{"s":99999999}}}', b'x'))
""",
    "takes text backwards": """
send(frame('{"d":{"t":{"s":-1}}}', b'x'))
""",
    "leaves text over": """
send(frame('{"d":{"t":"ready"}}', b'x' * 9999))
""",
    "says it is ready again": """
send(frame('{"d":{"t":"ready"}}'))
""",
    "answers what nobody asked": """
send(frame('{"d":{"t":"size","id":1,"size":5}}') * 100)
""",
    "answers as the host": """
send(frame('{"d":{"t":"result","id":0,"kind":"value","value":1}}'))
""",
    "ends its cell twice": """
send(done() * 2)
""",
    "ends its cell with nonsense": """
send(done(status=[], stdout=7))
""",
    "claims a huge output": """
send(done(stdout=['', '', 10**20], stderr=['', '', -1]))
""",
    "calls what there is not": """
send(call('__import__', 'os'))
""",
    "calls with strange arguments": """
for a, k in (('7', '{"d":{}}'), ('[]', '7'), ('[1,2,3,4,5]', '{"d":{}}'), ('[]', '{"d":{"self":1}}')):
    send(frame('{"d":{"t":"call","id":1,"name":"llm_query","args":%s,"kwargs":%s}}' % (a, k)))
""",
    "calls under one number": """
send(call('llm_query', 'x') * 500)
""",
    "calls without end": """
f = call('llm_query', 'x') * 1000
while True: send(f)
""",
    "calls with long prompts": """
f = call('llm_query', {'s': 1 << 24}, text=b'x' * (1 << 24))
while True: send(f)
""",
    "never reads its answers": """
f = call('echo', {'s': 100000}, text=b'x' * 100000)
import gc
for t in threading.enumerate():
    if t.name == 'channel': libc.pthread_cancel(ctypes.c_ulong(t.ident))
while True: send(f)
""",
    "reads the channel itself": "while True: print(os.read(3, 1 << 16))",
    "closes the channel": "os.close(3)",
    "shuts the channel": "socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_RDWR)",
    "half shuts the channel": "socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_WR)",
    "puts another file in its place": "os.dup2(os.open('/dev/null', os.O_RDWR), 3)",
    "fills the channel and stops": """
os.set_blocking(3, False)
try_all(lambda: send(frame('{}', sizes=(1 << 20, 0)) + bytes(1 << 19)))
os.kill(os.getpid(), signal.SIGSTOP)
""",
    "replaces llm_query": """
global_query = llm_query
def llm_query(prompt): return 'free'
print(llm_query('x'))
""",
    "calls after its budget": """
while True:
    try: llm_query('x')
    except BaseException: pass
""",
    "calls after its budget from threads": """
def go():
    while True:
        try: llm_query('x')
        except BaseException: pass
ts = [threading.Thread(target=go, daemon=True) for _ in range(8)]
[t.start() for t in ts]
[t.join() for t in ts]
""",
    "leaves threads that call": """
def go():
    while True:
        try: llm_query('x')
        except BaseException: time.sleep(0.01)
for _ in range(4): threading.Thread(target=go, daemon=True).start()
""",
    "finds the channel by its frames": """
f = sys._getframe()
while not hasattr(f.f_locals.get('self'), '_channel'): f = f.f_back
w = f.f_locals['self']
for i in range(500): w._send({'t': 'call', 'id': 10**6 + i, 'name': 'llm_query', 'args': ['x'], 'kwargs': {}})
w._channel.sendall(done())
""",
    "answers its own calls": """
w = next(c.cell_contents for c in llm_query.__closure__ if hasattr(c.cell_contents, '_waiting'))
def forge():
    while True:
        for n, box in list(w._waiting.items()): box.put({'kind': 'value', 'value': 'free'})
for _ in range(4): threading.Thread(target=forge, daemon=True).start()
while True:
    try: llm_query('x')
    except BaseException: pass
""",
    "asks with texts that lie": """
class S(str):
    def __str__(self): return self
    def __len__(self): return 1 << 62
    def isascii(self): return True
    def encode(self, *how): return b'x' * (1 << 28)
    def __getitem__(self, at): return self
    def __format__(self, how): return 'x' * (1 << 28)
for s in (S('x'), S('x' * 1000)): try_all(lambda: llm_query(s), lambda: echo(s))
value = s
FINAL(s)
""",
    "changes the memory for values": """
def go():
    while True:
        try: os.ftruncate(5, 0)
        except OSError: pass
threading.Thread(target=go, daemon=True).start()
FINAL('x' * 5000000)
""",
    "gives a value that is no text": r"""
def go():
    while True:
        try: os.pwrite(5, b'\xff' * 4096, 0)
        except OSError: pass
threading.Thread(target=go, daemon=True).start()
FINAL('x' * 5000000)
""",
    "gives a value that never ends": """
class S:
    def __str__(self):
        time.sleep(60)
value = S()
""",
    "claims strange variables": "send(done(variables={'d': {'x' * 10**6: 'y'}}))",
    "claims many variables": "send(done(variables={'d': {str(i): 'y' for i in range(10**5)}}))",
    "claims a final answer that failed": "send(done(status='error'))",
    "claims output that is none": "send(done(stdout=['x' * 10**6, 'y' * 10**6, 5]))",
    "claims a long error": "send(done(status='error', error={'s': 10**7}, error_type='E' * 10**6)[:8] + b'x' * 10**7)",
    "ends its cell under another's number": "send(done(id=CELL + 1))",
}
