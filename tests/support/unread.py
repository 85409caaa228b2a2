"""A client that does not read: the head of a streamed response, then nothing until a line comes on stdin, then all of the rest.

It says how much the kernel may take in for it (SO_RCVBUF), which neither Node.js nor curl can: left to itself, Linux
takes up to `net.ipv4.tcp_rmem`, tens of MiB on some machines, and a client that does not read looks like one that does.
"""

import socket
import sys
from http.client import HTTPConnection
from urllib.parse import urlsplit

RECEIVE_BUFFER_BYTES = 4096
READ_BYTES = 64 * 1024
TIMEOUT_SECONDS = 90

url, key, body = urlsplit(sys.argv[1]), sys.argv[2], sys.argv[3]
with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
    client.settimeout(TIMEOUT_SECONDS)
    # Before it connects: the window's scale is agreed on in the handshake.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    client.connect((url.hostname, url.port))
    connection = HTTPConnection(url.hostname, url.port)
    connection.sock = client
    connection.request("POST", url.path, body, {"authorization": f"Bearer {key}", "content-type": "application/json"})
    response = connection.getresponse()
    print(response.status, flush=True)
    sys.stdin.readline()
    while part := response.read(READ_BYTES):
        sys.stdout.buffer.write(part)
