//! Server-sent events: the only file that writes `data:`.
//!
//! Source: WHATWG HTML, "Server-sent events". No `id:` and no `retry:` line is ever written: the official Python SDK fails on a comment
//! between events that carry ids, and on any `retry:`.

use std::fmt::Display;
use std::io::Write;

/// One event, whose data `write` writes on one line (JSON has no raw line breaks).
pub fn data(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"data: ");
    write(out);
    out.extend_from_slice(b"\n\n");
}

/// The same, with the event's name before it.
pub fn named(out: &mut Vec<u8>, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    data(out, write);
}

/// The event that ends every stream of chat completions.
pub fn done(out: &mut Vec<u8>) {
    data(out, |out| out.extend_from_slice(b"[DONE]"));
}

/// A comment of one line, which every decoder skips. One line break, not two: two would dispatch an empty event in some of them.
pub fn comment(out: &mut Vec<u8>, line: &impl Display) {
    // Into memory.
    let written = writeln!(out, ": {line}");
    debug_assert!(written.is_ok());
}

/// What keeps a silent stream alive.
pub fn ping(out: &mut Vec<u8>) {
    comment(out, &"ping");
}
