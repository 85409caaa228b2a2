//! A request's body, counted while it is read.

use clawfront_core::error::Failure;
use futures_util::StreamExt;
use worker::Request;

pub(crate) async fn read(request: &mut Request, limit_bytes: usize) -> Result<Vec<u8>, Failure> {
    let too_large = Failure::BodyTooLarge { limit_bytes };
    let announced = request
        .headers()
        .get("content-length")
        .ok()
        .flatten()
        .and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit_bytes) {
        return Err(too_large);
    }
    let mut body = Vec::with_capacity(announced.unwrap_or_default());
    // A request without a body has no stream.
    if request.inner().body().is_none() {
        return Ok(body);
    }
    let unread = |_| Failure::Invalid {
        param: None,
        message: "The request body could not be read.".into(),
    };
    let mut chunks = request.stream().map_err(unread)?;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(unread)?;
        if body.len().saturating_add(chunk.len()) > limit_bytes {
            return Err(too_large);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
