"""Cells that reach for files: the secret, the journal, the project, other processes, Python itself."""

FILES = {
    "opens the secret": "print(open(SECRET).read())",
    "opens it by descriptor": "print(os.read(os.open(SECRET, os.O_RDONLY), 999))",
    "opens it relative to a folder": """
d = os.open(FOLDER, os.O_PATH); print(os.read(os.open('secret', 0, dir_fd=d), 999))
""",
    "opens it for its path only": """
f = os.open(SECRET, os.O_PATH); print(open(f'/proc/self/fd/{f}').read())
""",
    "opens it by the C library": """
libc.fopen.restype = ctypes.c_void_p
f = libc.fopen(SECRET.encode(), b'r')
b = ctypes.create_string_buffer(99)
if f: libc.fread(b, 1, 99, ctypes.c_void_p(f))
print(b.value)
""",
    "opens it by openat2": """
how = struct.pack('<QQQ', 0, 0, 0)
print(os.read(syscall('openat2', -100, SECRET.encode(), how, 24), 99))
""",
    "opens it by handle": """
h = ctypes.create_string_buffer(struct.pack('<Ii', 128, 0), 200); m = ctypes.c_int()
syscall('name_to_handle_at', -100, SECRET.encode(), h, ctypes.byref(m), 0)
print(os.read(syscall('open_by_handle_at', os.open('/', 0), h, 0), 99))
""",
    "maps it": "print(mmap.mmap(os.open(SECRET, os.O_RDONLY), 0, prot=mmap.PROT_READ)[:])",
    "follows a link to it": "os.symlink(SECRET, 'link'); print(open('link').read())",
    "makes a hard link to it": "os.link(SECRET, 'hard'); print(open('hard').read())",
    "moves it here": "os.rename(SECRET, 'mine'); print(open('mine').read())",
    "climbs out of the scratch": "print(open('../' * 40 + SECRET).read())",
    "climbs by a kept folder": """
d = os.open('/', 0)
os.mkdir('in')
try_all(lambda: os.chroot('in'))
os.fchdir(d)
for _ in range(40): os.chdir('..')
print(open(SECRET.lstrip('/')).read())
""",
    "goes by its own root in proc": "print(open('/proc/self/root' + SECRET).read())",
    "goes by the host's root in proc": "print(open(f'/proc/{HOST}/root' + SECRET).read())",
    "goes by the host's folder in proc": """
print(os.readlink(f'/proc/{HOST}/cwd'), os.listdir(f'/proc/{HOST}/cwd/'))
""",
    "goes by the descriptors of all": """
for p in glob.glob('/proc/[0-9]*/fd/*'):
    try_all(lambda: os.pread(os.open(p, os.O_RDONLY | os.O_NONBLOCK), 99, 0))
""",
    "reads the host's environment": "print(open(f'/proc/{HOST}/environ').read())",
    "reads every environment": """
for p in glob.glob('/proc/[0-9]*/environ') + ['/proc/self/environ', '/proc/1/environ']:
    try_all(lambda: open(p).read())
""",
    "reads every command line": """
for p in range(1, 40000): 
    try:
        print(open(f'/proc/{p}/cmdline').read())
    except OSError: pass
""",
    "reads the command line that started it": """
print([p for p in (*sys.argv, *sys.orig_argv) if '/' in p and print('BREACH', p)])
""",
    "renews the times of a device": """
os.utime('/dev/null', (1, 1)); print('BREACH')
""",
    "renews the times of an open device": """
f = os.open('/dev/null', os.O_RDWR); os.write(f, b'x'); os.utime(f, (1, 1)); print('BREACH')
""",
    "changes the mode of a device": """
os.chmod('/dev/null', 0o777); print('BREACH')
""",
    "reads its own environment": """
print(os.environ, os.popen)
libc.getenv.restype = ctypes.c_char_p
print(libc.getenv(b'CANARY_KEY'))
e = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ')
i = 0
while e and e[i]:
    print(e[i]); i += 1
""",
    "reads inherited descriptors": """
for f in range(256):
    if f != 3: try_all(lambda: os.pread(f, 999, 0))
""",
    "takes descriptors from the host": """
import array
for f in range(64):
    try_all(lambda: os.pread(syscall('pidfd_getfd', syscall('pidfd_open', HOST, 0), f, 0), 99, 0))
""",
    "reads the host's memory file": """
m = open(f'/proc/{HOST}/maps').read()
print(m)
""",
    "reads the host's memory": """
b = ctypes.create_string_buffer(64)
l = struct.pack('<QQ', ctypes.addressof(b), 64); r = struct.pack('<QQ', 0x400000, 64)
print(syscall('process_vm_readv', HOST, l, 1, r, 1, 0))
""",
    "traces the host": "print(syscall('ptrace', 16, HOST, 0, 0))",
    "traces the victim": "print(syscall('ptrace', 0x4206, VICTIM, 0, 0))",
    "looks through every file": """
end = time.time() + 1
for where, _, names in os.walk('/'):
    for name in names:
        if time.time() > end: break
        try:
            text = open(os.path.join(where, name), 'rb').read(1 << 16)
            if b'canary' in text and b'CANARY' in text: print(where, name, text)
        except OSError: pass
""",
    "lists the folder": "print(os.listdir(FOLDER), list(os.scandir(FOLDER)))",
    "reads the project": "print('BREACH', open(PROJECT + '/rlm/repl/session.py').read()[:20])",
    "imports the project": """
sys.path.insert(0, PROJECT)
import rlm.repl.session
print('BREACH')
""",
    "runs the project's file": """
import runpy
runpy.run_path(PROJECT + '/rlm/limits.py')
print('BREACH')
""",
    "reads passwords": "print('BREACH', open('/etc/passwd').read()[:20])",
    "opens it as a database": """
import sqlite3
c = sqlite3.connect(':memory:')
try_all(lambda: c.execute('attach ? as a', (JOURNAL,)), lambda: c.execute('create table a.t(x)'))
""",
    "reads a neighbour's scratch": "print(open(NEIGHBOUR).read())",
    "looks for a neighbour's scratch": """
for p in glob.glob('/tmp/*') + glob.glob('/proc/*/cwd/*') + glob.glob('/proc/*/root/tmp/*'):
    try_all(lambda: open(p).read())
""",
    "looks for shared memory": """
for p in glob.glob('/dev/shm/*'): try_all(lambda: open(p).read())
for i in range(9): try_all(lambda: syscall('shmget', i, 1, 0o600))
""",
    "looks in the memory it shares": """
import gc
for o in gc.get_objects():
    try:
        s = repr(o)
        if 'canary-' in s and 'gc.get_objects' not in s: print(s)
    except Exception: pass
""",
    "reads the kernel's keys": "print(syscall('keyctl', 0, -3, 1))",
    "reads the kernel's log": """
b = ctypes.create_string_buffer(9999); print(syscall('syslog', 3, b, 9999), b.value)
""",
    "writes to the journal": "open(JOURNAL, 'a').write('forged')",
    "writes by descriptor": "os.write(os.open(JOURNAL, os.O_WRONLY | os.O_APPEND), b'forged')",
    "truncates the journal": "os.truncate(JOURNAL, 0)",
    "truncates it by opening": "os.open(JOURNAL, os.O_RDONLY | os.O_TRUNC)",
    "truncates it by opening it for nothing": "os.open(JOURNAL, 3 | os.O_TRUNC)",
    "deletes the journal": "os.unlink(JOURNAL)",
    "changes its mode": "os.chmod(JOURNAL, 0o777)",
    "changes its times": "os.utime(JOURNAL, (1, 1))",
    "changes its owner": "os.chown(JOURNAL, 1, 1)",
    "changes its attributes": "os.setxattr(JOURNAL, 'user.x', b'1')",
    "renames the folder": "os.rename(FOLDER, FOLDER + '2')",
    "makes a file beside it": "open(FOLDER + '/planted', 'w').write('x')",
    "makes a folder beside it": "os.mkdir(FOLDER + '/planted')",
    "makes a link beside it": "os.symlink('/', FOLDER + '/planted')",
    "makes a pipe beside it": "os.mkfifo(FOLDER + '/planted')",
    "plants a file in Python's own": "open(STDLIB + '/planted.py', 'w').write('x')",
    "changes Python's own": "open(STDLIB + '/os.py', 'a').write('#')",
    "moves Python's own": "os.rename(STDLIB + '/this.py', STDLIB + '/planted.py')",
    "makes a device": """
os.mknod('disk', 0o60600, os.makedev(254, 0)); print('BREACH', os.open('disk', 0))
""",
    "mounts": """
print(libc.mount(b'tmpfs', b'/', b'tmpfs', 0, None), libc.umount2(b'/tmp', 2), libc.umount2(b'/', 2))
print(libc.mount(FOLDER.encode(), b'/tmp', None, 4096, None)); print(open('/tmp/secret').read())
""",
    "mounts by the new calls": """
t = syscall('open_tree', -100, FOLDER.encode(), 1)
syscall('move_mount', t, b'', -100, b'/tmp', 4)
print(open('/tmp/secret').read())
""",
    "pivots its root": "print(syscall('pivot_root', b'/tmp', b'/tmp'))",
    "takes new namespaces": """
print(libc.unshare(0x10000000 | 0x20000))
os.chroot(FOLDER); print(open('/secret').read())
""",
    "joins the host's namespaces": """
n = syscall('pidfd_open', HOST, 0); print(libc.setns(n, 0x7E020000)); print(open(SECRET).read())
""",
    "becomes root": """
try_all(lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgroups([0]))
try_all(lambda: libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)))
print(open(SECRET).read())
""",
    "reads by io_uring": """
p = ctypes.create_string_buffer(120); print('BREACH', syscall('io_uring_setup', 4, p))
""",
    "watches the folder": """
def watch():
    f = syscall('inotify_init1', 0)
    return 'BREACH', libc.inotify_add_watch(f, FOLDER.encode(), 0xFFF)
try_all(watch, lambda: ('BREACH', syscall('fanotify_init', 0, 0)))
""",
    "reaches for memory files": """
try_all(lambda: libc.prctl(4, 1, 0, 0, 0), lambda: libc.prctl(4, 2, 0, 0, 0))
for p in ('self', 'thread-self', HOST, VICTIM, os.getppid(), *range(1, 9)):
    for m in (os.O_RDONLY, os.O_RDWR): try_all(lambda: ('BREACH', os.open(f'/proc/{p}/mem', m)))
""",
    "reads by aio": "c = ctypes.c_ulong(); print('BREACH', syscall('io_setup', 4, ctypes.byref(c)))",
    "uses 32-bit system calls": r"""
code = b'\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3'  # getpid by int 0x80
m = mmap.mmap(-1, 4096, prot=7); m.write(code)
f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))
if os.uname().machine == 'x86_64': print('BREACH', f())
""",
    "uses x32 system calls": """
if os.uname().machine == 'x86_64': print('BREACH', libc.syscall(ctypes.c_long(0x40000000 + 39)))
""",
}
