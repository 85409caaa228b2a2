"""Runs a command at a terminal: its output comes on standard output, and lines of JSON on standard input are typed.

A line is {"text": ..., "hidden": ...}. A hidden one waits until the terminal shows nothing of what is typed.
"""

import json
import os
import pty
import select
import sys
import termios
import time

POLL_S = 0.01


def is_hidden(terminal):
    return not termios.tcgetattr(terminal)[3] & termios.ECHO


def copy(terminal):
    lines, is_open = b"", True
    while True:
        readable, _, _ = select.select([terminal] + ([0] if is_open else []), [], [])
        if 0 in readable:
            data = os.read(0, 65536)
            is_open = bool(data)
            lines += data
            while b"\n" in lines:
                line, lines = lines.split(b"\n", 1)
                typed = json.loads(line)
                while typed["hidden"] and not is_hidden(terminal):
                    time.sleep(POLL_S)
                os.write(terminal, typed["text"].encode())
        if terminal in readable:
            try:
                data = os.read(terminal, 65536)
            except OSError:
                return
            if not data:
                return
            os.write(1, data)


child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
copy(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256)
