//! A request's body, counted while it is read.

use clawfront_core::error::Failure;
use futures_util::StreamExt;
use worker::Request;

/// How much of a body over the limit is read and thrown away, as a multiple of the limit: a client that is still sending when the
/// connection closes sees a broken connection instead of the answer, and sends everything again.
const DRAINED_LIMITS: usize = 4;

/// What is reserved for a body that is only announced.
const MAX_RESERVED_BYTES: usize = 64 * 1024;

pub(crate) async fn read(request: &mut Request, limit_bytes: usize) -> Result<Vec<u8>, Failure> {
    // A request without a body has no stream.
    if request.inner().body().is_none() {
        return Ok(Vec::new());
    }
    let unread = |_| Failure::Invalid {
        param: None,
        message: "The request body could not be read.".into(),
    };
    let mut body = Vec::with_capacity(announced_bytes(request).min(MAX_RESERVED_BYTES));
    let mut seen_bytes = 0_usize;
    let mut chunks = request.stream().map_err(unread)?;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(unread)?;
        seen_bytes = seen_bytes.saturating_add(chunk.len());
        if seen_bytes <= limit_bytes {
            body.extend_from_slice(&chunk);
        } else {
            body = Vec::new();
        }
        if seen_bytes > limit_bytes.saturating_mul(DRAINED_LIMITS) {
            break;
        }
    }
    if seen_bytes > limit_bytes {
        return Err(Failure::BodyTooLarge { limit_bytes });
    }
    Ok(body)
}

fn announced_bytes(request: &Request) -> usize {
    request
        .headers()
        .get("content-length")
        .ok()
        .flatten()
        .and_then(|length| length.parse().ok())
        .unwrap_or_default()
}
