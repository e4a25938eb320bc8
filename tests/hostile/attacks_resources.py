"""Cells that use up or break what they have: memory, disk, output, time, themselves."""

RESOURCES = {
    "takes all memory": """
x = []
while True: x.append(bytearray(1 << 24))
""",
    "takes memory at once": "x = b'x' * (1 << 40)",
    "takes shared memory": """
x = []
while True:
    x.append(mmap.mmap(-1, 1 << 26)); x[-1].write(bytes(1 << 26))
""",
    "takes memory files": """
x = []
for i in range(200):
    f = os.memfd_create('x'); x.append(f)
    for _ in range(16): os.write(f, bytes(1 << 20))
""",
    "takes memory and swallows the error": """
x = []
for _ in range(2000):
    try:
        while True: x.append(bytearray(1 << 20))
    except MemoryError: pass
""",
    "fills the disk": """
n = 0
try:
    for i in range(10**6):
        with open(f'f{i}', 'wb') as f: n += f.write(bytes(1 << 20))
finally: print(n)
""",
    "writes one file without end": """
with open('f', 'wb') as f:
    while True: f.write(bytes(1 << 20))
""",
    "makes files without end": "for i in range(10**6): open(f'f{i}', 'w').close()",
    "makes a file of a terabyte": "os.truncate(os.open('f', os.O_RDWR | os.O_CREAT), 1 << 40)",
    "fills the memory for values": "while True: os.write(5, bytes(1 << 20))",
    "grows the memory for values": "os.ftruncate(5, 1 << 40)",
    "prints without end": "while True: print('x' * 10**6)",
    "prints much": "for _ in range(2000): print('x' * 10**6)",
    "prints errors without end": "while True: print('x' * 10**6, file=sys.stderr)",
    "prints small things without end": "while True: print()",
    "writes to its output itself": "for _ in range(10**5): os.write(1, b'x' * 10**6); os.write(2, b'x')",
    "shows a value without end": """
class V:
    def __repr__(self): return 'x' * 10**8
V()
""",
    "raises an error without end": "raise ValueError('x' * 10**8)",
    "raises an error that loops": """
class E(Exception):
    def __str__(self):
        while True: pass
raise E
""",
    "sets names without end": """
for i in range(10**5): globals()[f'n{i}'] = i
globals()['y' * 10**6] = 1
""",
    "sets strange names": r"""
class M(type):
    @property
    def __name__(cls): raise SystemExit
    def __getattribute__(c, n): raise SystemExit
class C(metaclass=M): pass
c = C()
globals()['\ud800'] = 1
globals()[''] = 1
globals()[7] = 1
""",
    "gives each thread a table of descriptors": """
try_all(lambda: 'BREACH' if libc.close_range(200, 210, 2) == 0 else 'refused')
""",
    "opens descriptors in many threads": """
kept, counts = [], []
def fill():
    count = 0
    try:
        libc.close_range(5, 4294967295, 2)
        while True:
            kept.append(os.dup(1)); count += 1
    except OSError:
        counts.append(count)
threads = [threading.Thread(target=fill) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print('BREACH' if sum(counts) > 300 else counts)
for f in kept: os.close(f)
""",
    "keeps descriptors in flight": """
a, b = socket.socketpair()
try_all(lambda: ('BREACH', a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack('i', 0))])))
""",
    "uses up the watches of epoll": """
import select
try_all(lambda: ('BREACH', select.epoll()))
""",
    "answers with control characters": "FINAL(chr(0) * (60 << 20))",
    "opens descriptors without end": """
x = []
while True: x.append(os.dup(4))
""",
    "fills pipes without end": """
x = []
while True:
    r, w = os.pipe(); x.append((r, w)); os.set_blocking(w, False)
    try_all(lambda: os.write(w, bytes(1 << 20)))
""",
    "grows pipes": """
import fcntl
x = []
for _ in range(100):
    r, w = os.pipe(); x.append((r, w))
    try_all(lambda: ('BREACH', fcntl.fcntl(w, 1031, 1 << 20)))
""",
    "locks memory": """
x = mmap.mmap(-1, 1 << 28); print(libc.mlockall(3), libc.mlock(ctypes.addressof(ctypes.c_char.from_buffer(x)), 1 << 28))
""",
    "recurses without end": """
sys.setrecursionlimit(10**9)
def f(): return f()
f()
""",
    "recurses in C": """
sys.setrecursionlimit(10**9)
x = []
for _ in range(10**7): x = [x]
repr(x)
""",
    "never ends": "while True: pass",
    "sleeps without end": "time.sleep(10**6)",
    "swallows the interrupt": """
while True:
    try:
        while True: pass
    except BaseException: pass
""",
    "ignores the interrupt": """
signal.signal(signal.SIGINT, signal.SIG_IGN)
while True: pass
""",
    "blocks the interrupt": """
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True: pass
""",
    "sits in one operation": "10 ** 10 ** 9",
    "waits for a lock in C": "m = threading.Lock(); m.acquire(); m.acquire()",
    "ends itself": "os._exit(0)",
    "kills itself": "os.kill(os.getpid(), 9)",
    "stops itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "crashes": "ctypes.string_at(0)",
    "aborts": "libc.abort()",
    "ends the session politely": "sys.exit(3)",
    "ends all threads": "libc.pthread_exit(None)",
    "closes every descriptor": "os.closerange(0, 256)",
    "puts every descriptor in every place": """
FINAL('x' * 10**6)
for a in range(8):
    for b in range(8): try_all(lambda: os.dup2(a, b))
""",
    "spends the processor's time": """
resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
while True: pass
""",
    "breaks its builtins": """
import builtins
for n in list(vars(builtins)): 
    if n != 'print': delattr(builtins, n)
""",
    "breaks its modules": "for n in list(sys.modules): sys.modules[n] = None",
    "breaks its threads": """
threading._shutdown = threading.Thread.start = threading.Lock = None
sys.stdout = sys.stderr = None
sys.meta_path.clear(); sys.path.clear()
""",
    "waits for input": "print(sys.stdin.read(), input())",
}
