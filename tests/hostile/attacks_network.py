"""Cells that reach for the network: every family, every way to a socket."""

NETWORK = {
    "connects over IPv4": "socket.create_connection(('127.0.0.1', PORT), 1).send(b'x')",
    "connects over IPv6": """
s = socket.socket(socket.AF_INET6); s.settimeout(1); s.connect(('::1', PORT)); s.send(b'x')
""",
    "connects through the machine's name": "socket.create_connection(('localhost', PORT), 1).send(b'x')",
    "fetches a page": """
import urllib.request; print(urllib.request.urlopen(f'http://127.0.0.1:{PORT}/', timeout=1).read())
""",
    "connects with asyncio": "await asyncio.open_connection('127.0.0.1', PORT)",
    "sends a datagram": """
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', UDP_PORT))
""",
    "connects to a unix socket": """
s = socket.socket(socket.AF_UNIX); s.connect(SOCKET_PATH); s.send(b'x')
""",
    "connects to an abstract socket": r"""
s = socket.socket(socket.AF_UNIX); s.connect('\0' + ABSTRACT); s.send(b'x')
""",
    "sends from half a pair": """
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); a.sendto(b'x', SOCKET_PATH + '.dgram')
""",
    "sends from half a stream": """
a, b = socket.socketpair()
with a:
    try_all(lambda: a.sendto(b'x', SOCKET_PATH + '.dgram'), lambda: a.sendmsg([b'x'], [], 0, SOCKET_PATH + '.dgram'))
""",
    "sends from half a packet pair": """
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET); a.sendmsg([b'x'], [], 0, SOCKET_PATH + '.dgram')
""",
    "turns half a pair around": r"""
a, b = socket.socketpair(); b.close()
try_all(lambda: a.connect(SOCKET_PATH), lambda: a.connect('\0' + ABSTRACT), lambda: a.send(b'x'))
""",
    "turns the channel around": """
c = socket.socket(fileno=os.dup(3))
try_all(lambda: c.connect(SOCKET_PATH), lambda: c.bind('x'), lambda: c.listen())
""",
    "tries every family": """
for family in range(46):
    for kind in (1, 2, 3, 5):
        try:
            socket.socket(family, kind); print('BREACH', family, kind)
        except OSError: pass
""",
    "opens a socket by number": "s = syscall('socket', 2, 1, 0); print('BREACH')",
    "listens": "s = socket.socket(); s.bind(('0.0.0.0', 0)); s.listen(); print('BREACH')",
    "listens on a path": """
s = socket.socket(socket.AF_UNIX); s.bind('here'); s.listen(); print('BREACH')
""",
    "talks to the kernel": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); print('BREACH')",
    "asks the peer of its channel": """
c = socket.socket(fileno=os.dup(3))
f = c.getsockopt(socket.SOL_SOCKET, 77); signal.pidfd_send_signal(f, 9)
""",
    "sends descriptors to the host": """
c = socket.socket(fileno=os.dup(3)); d = os.open('/dev/null', 0)
for _ in range(200): c.sendmsg([frame('x')[:1]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack('i', d))])
""",
}
