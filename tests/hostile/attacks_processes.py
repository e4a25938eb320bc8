"""Cells that reach for other processes: signals, programs, forks, the kernel."""

PROCESSES = {
    "kills the victim": "os.kill(VICTIM, 9)",
    "kills the host": "os.kill(HOST, 9)",
    "kills its parent": "os.kill(os.getppid(), 9)",
    "kills everybody": "os.kill(-1, 9)",
    "kills the host's group": "os.killpg(GROUP, 9)",
    "kills its own group": "os.killpg(0, 9)",
    "kills by number": """
for p in range(1, 200):
    if p != os.getpid(): try_all(lambda: os.kill(p, 9))
""",
    "kills by thread": """
try_all(lambda: syscall('tgkill', VICTIM, VICTIM, 9), lambda: syscall('tkill', VICTIM, 9))
""",
    "kills by descriptor": "signal.pidfd_send_signal(os.pidfd_open(VICTIM), 9)",
    "kills by a queued signal": """
i = struct.pack('<iii', 9, 0, -1) + bytes(116); print(syscall('rt_sigqueueinfo', VICTIM, 9, i))
""",
    "kills by an owner's signal": """
import fcntl
a, b = socket.socketpair()
try_all(lambda: fcntl.fcntl(a, fcntl.F_SETOWN, VICTIM), lambda: fcntl.fcntl(a, fcntl.F_SETSIG, 9),
    lambda: fcntl.fcntl(a, 15, struct.pack('ii', 1, VICTIM)), lambda: fcntl.ioctl(a, 0x8901, struct.pack('i', VICTIM)),
    lambda: fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC), lambda: b.send(b'x'))
""",
    "limits the victim": "resource.prlimit(VICTIM, resource.RLIMIT_CPU, (1, 1))",
    "slows the victim": """
try_all(lambda: os.setpriority(os.PRIO_PROCESS, VICTIM, 19), lambda: os.sched_setaffinity(VICTIM, {0}))
""",
    "schedules the victim": """
try_all(lambda: os.sched_setscheduler(VICTIM, os.SCHED_BATCH, os.sched_param(0)),
    lambda: os.sched_setscheduler(VICTIM, os.SCHED_IDLE, os.sched_param(0)),
    lambda: syscall('sched_setattr', VICTIM, struct.pack('<IIQiIQQQ', 48, 3, 0, 0, 0, 0, 0, 0), 0),
    lambda: syscall('ioprio_set', 1, VICTIM, 3 << 13))
""",
    "slows everybody": """
try_all(lambda: os.setpriority(os.PRIO_USER, 0, 19), lambda: os.setpriority(os.PRIO_PGRP, GROUP, 19))
""",
    "schedules itself before all others": """
try_all(lambda: ('BREACH', os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))),
    lambda: ('BREACH', os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))), lambda: ('BREACH', os.nice(-10)))
""",
    "makes things of the kernel that others can open": """
try_all(*[lambda n=n, a=a: ('BREACH', syscall(n, *a)) for n, a in (
    ('shmget', (KEY, 4096, 0o1666)), ('semget', (KEY, 1, 0o1666)), ('msgget', (KEY, 0o1666)),
    ('mq_open', (b'rlm-hostile', os.O_CREAT | os.O_RDWR, 0o666, 0)))])
""",
    "changes its personality": "print('BREACH', syscall('personality', 0x400000))",
    "leaves handlers for its end": """
import atexit
def late(*_):
    try_all(lambda: open(JOURNAL, 'a').write('late'), lambda: os.kill(VICTIM, 9), os.fork,
        lambda: socket.create_connection(('127.0.0.1', PORT), 1))
    while True:
        try: llm_query('x')
        except BaseException: pass
class Late:
    def __del__(self): late()
atexit.register(late)
signal.signal(signal.SIGTERM, late); signal.signal(signal.SIGHUP, late)
late_too = Late()
ctypes.pythonapi.Py_Exit(0)
""",
    "leaves handlers and has itself ended": """
import atexit
def late(*_): open(JOURNAL, 'a').write('late'); os.kill(VICTIM, 9); llm_query('x')
class Late:
    def __del__(self): late()
atexit.register(late)
for s in range(1, 65):
    try: signal.signal(s, late)
    except (OSError, ValueError): pass
late_too = Late()
send(frame('nonsense'))
""",
    "forks": """
p = os.fork()
if p == 0:
    time.sleep(60)
""",
    "forks by number": "print(syscall('clone', 17, 0, 0, 0, 0))",
    "forks by clone3": """
a = struct.pack('<11Q', 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)
p = syscall('clone3', a, 88)
if p == 0: time.sleep(60)
""",
    "forks without end": """
while True:
    try: os.fork()
    except OSError as e: print(e); break
""",
    "leaves a daemon": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(99)
    os._exit(0)
""",
    "starts a program": """
import subprocess; print(subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True))
""",
    "starts a shell": "os.system(f'sleep 30.{HOST} &')",
    "spawns": "os.posix_spawn('/bin/sleep', ['sleep', f'30.{HOST}'], {})",
    "becomes a program": """
os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)'])
""",
    "runs a program from memory": r"""
f = os.memfd_create('x'); os.write(f, f'#!/bin/sh\nsleep 30.{HOST}\n'.encode()); os.execve(f, ['x'], {})
""",
    "starts a pool of processes": """
import multiprocessing
with multiprocessing.Pool(4) as p: print(p.map(abs, [1]))
""",
    "starts threads without end": """
threading.stack_size(65536)
e = threading.Event()
try:
    for i in range(10**6): threading.Thread(target=e.wait, daemon=True).start()
except BaseException as error: print(i, error)
e.set()
""",
    "leaves threads that spin": """
def spin():
    while True: pass
[threading.Thread(target=spin, daemon=True).start() for _ in range(8)]
""",
    "leaves a thread that prints": """
def talk():
    while True: print('x' * 1000)
threading.Thread(target=talk, daemon=True).start()
""",
    "detaches from its parent": """
try_all(lambda: libc.prctl(1, 0), lambda: libc.prctl(36, 1), os.setsid, lambda: os.setpgid(0, 0))
""",
    "loads a module": """
try_all(lambda: syscall('init_module', b'x', 1, b''), lambda: syscall('finit_module', 0, b'', 0))
""",
    "restarts the machine": """
try_all(lambda: syscall('reboot', 0xFEE1DEAD, 672274793, 0, 0), lambda: syscall('kexec_load', 0, 0, 0, 0))
""",
    "loads a program into the kernel": """
try_all(lambda: syscall('bpf', 5, bytes(128), 128), lambda: syscall('perf_event_open', bytes(128), 0, -1, -1, 0),
    lambda: syscall('userfaultfd', 0))
""",
    "sets the clock": """
try_all(lambda: time.clock_settime(time.CLOCK_REALTIME, 0), lambda: socket.sethostname('evil'))
""",
    "lifts its limits": """
for r in range(16):
    try_all(lambda: resource.setrlimit(r, (-1, -1)))
x = bytearray(4 << 30)
print('BREACH')
""",
    "lifts its filter": """
try_all(lambda: libc.prctl(22, 0, 0), lambda: libc.prctl(38, 0), lambda: syscall('seccomp', 1, 0, 0))
os.fork()
""",
}
