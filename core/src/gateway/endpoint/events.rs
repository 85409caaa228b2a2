//! Reads server-sent events from bytes that arrive in any pieces.
//!
//! Source: WHATWG HTML, "Server-sent events", without `id:`, `retry:` and lines that end in a lone
//! carriage return, which the endpoint does not send.

use crate::failure::Failure;
use crate::gateway::link::MAX_FRAME_BYTES;

/// The bytes of the event that has not ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
}

impl Events {
    /// Takes the next bytes, and gives the data of each event that is complete to `take`, until that
    /// returns an end.
    pub(super) fn receive<T>(
        &mut self,
        bytes: &[u8],
        take: &mut impl FnMut(&str) -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.len().saturating_add(self.data.len()) > MAX_FRAME_BYTES {
                return Err(Failure::GatewayProtocolError(
                    "an event of its endpoint is larger than 26214400 bytes",
                ));
            }
            let Some(line) = self.line.strip_suffix(b"\n") else {
                continue;
            };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let end = if line.is_empty() && !self.data.is_empty() {
                let data = std::str::from_utf8(&self.data).map_err(|_| {
                    Failure::GatewayProtocolError("an event of its endpoint is not UTF-8")
                })?;
                take(data)?
            } else {
                None
            };
            if line.is_empty() {
                self.data.clear();
            } else if let Some(data) = line.strip_prefix(b"data:") {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data
                    .extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            }
            self.line.clear();
            if end.is_some() {
                return Ok(end);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
