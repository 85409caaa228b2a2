//! A request's body, counted while it is read.

use std::pin::pin;

use clawfront_core::failure::Failure;
use clawfront_core::http::coding::{self, Coding};
use clawfront_core::http::upload::{Room, Upload};
use futures_util::future::{Either, select};
use js_sys::futures::JsFuture;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{ReadableStream, ReadableStreamByobReader, Request};

use crate::hub::slot::Slot;
use crate::runtime::clock::now_ms;
use crate::runtime::inflate::inflate;
use crate::runtime::timer::Delay;

/// Limit for the part of a refused body that is read and dropped, as a multiple of the body limit.
const DRAINED_LIMITS: usize = 4;

/// Bytes that are read at a time, always into the same buffer. The runtime's own pieces of 4 KiB
/// are 3,800 objects for 15 MB, which stay until the garbage is collected.
const PIECE_BYTES: u32 = 64 * 1024;

/// Reads the body of a request that holds `slot`.
pub(crate) async fn read(
    request: &Request,
    slot: &Slot,
    limit_bytes: usize,
) -> Result<Vec<u8>, Failure> {
    // A request without a body has no stream.
    let Some(stream) = request.body() else {
        return Ok(Vec::new());
    };
    let coding = request.headers().get(coding::HEADER).ok().flatten();
    let coding = Coding::of(coding.as_deref());
    let mut body = Body {
        bytes: Vec::new(),
        seen_bytes: 0,
        limit_bytes,
        room: Room::new(announced_bytes(request), limit_bytes),
        refused: coding.as_ref().err().cloned(),
    };
    body.make_room(body.room.first(), slot);
    body.fill(&stream, slot).await?;
    if let Some(failure) = body.refused {
        return Err(failure);
    }
    // Both are held for a short time.
    let own_bytes = body.bytes.capacity();
    let reserve = |bytes: usize| slot.reserve(own_bytes.saturating_add(bytes));
    let decoded = coding?.decode(body.bytes, limit_bytes, reserve, inflate)?;
    slot.reserve(decoded.capacity())?;
    Ok(decoded)
}

struct Body {
    /// Its capacity is the share of this body in the budget of all bodies.
    bytes: Vec<u8>,
    /// Bytes that were received, kept or not.
    seen_bytes: usize,
    limit_bytes: usize,
    room: Room,
    refused: Option<Failure>,
}

impl Body {
    async fn fill(&mut self, stream: &ReadableStream, slot: &Slot) -> Result<(), Failure> {
        let reader = ReadableStreamByobReader::new(stream).map_err(|_| unread())?;
        let mut buffer = Uint8Array::new_with_length(PIECE_BYTES);
        let mut upload = Upload::new(now_ms());
        let mut timer = until(&upload);
        loop {
            if self.refused.is_some() {
                upload.drain(now_ms());
                timer = until(&upload);
            }
            let mut next = pin!(JsFuture::from(reader.read_with_array_buffer_view(&buffer)));
            let next = loop {
                match select(&mut next, &mut timer).await {
                    Either::Left((next, _)) => break next.map_err(|_| unread())?,
                    Either::Right(_) if now_ms() < upload.deadline_ms() => timer = until(&upload),
                    // The response no longer waits for the body.
                    Either::Right(_) if self.refused.is_some() => return Ok(()),
                    Either::Right(_) => return Err(Failure::RequestTimeout),
                }
            };
            let Some(piece) = piece_of(&next) else {
                return Ok(());
            };
            upload.receive(to_usize(piece.length()), now_ms());
            self.add(&piece, slot);
            if self.seen_bytes > self.limit_bytes.saturating_mul(DRAINED_LIMITS) {
                return Ok(());
            }
            buffer = Uint8Array::new(&piece.buffer());
        }
    }

    fn add(&mut self, piece: &Uint8Array, slot: &Slot) {
        let length = to_usize(piece.length());
        self.seen_bytes = self.seen_bytes.saturating_add(length);
        let bytes = self.bytes.len().saturating_add(length);
        self.make_room(self.room.grown(self.bytes.capacity(), bytes), slot);
        if self.refused.is_none() {
            let begin = self.bytes.len();
            self.bytes.resize(begin.saturating_add(length), 0);
            if let Some(part) = self.bytes.get_mut(begin..) {
                piece.copy_to(part);
            }
        }
    }

    /// Grows the buffer to `room_bytes`, or refuses the body and frees the bytes that were kept.
    fn make_room(&mut self, room_bytes: Result<usize, Failure>, slot: &Slot) {
        if self.refused.is_some() {
            return;
        }
        let result = room_bytes.and_then(|room_bytes| {
            if room_bytes <= self.bytes.capacity() {
                return Ok(());
            }
            slot.reserve(room_bytes)?;
            let more = room_bytes.saturating_sub(self.bytes.len());
            self.bytes
                .try_reserve_exact(more)
                .map_err(|_| Failure::TooManyLargeBodies)
        });
        if let Err(failure) = result {
            self.refused = Some(failure);
            self.bytes = Vec::new();
            slot.release_body();
        }
    }
}

fn unread() -> Failure {
    Failure::InvalidRequest {
        param: None,
        message: "The request body could not be read.".into(),
    }
}

/// Returns the next piece; `None` at the end.
fn piece_of(result: &JsValue) -> Option<Uint8Array> {
    let is_last = Reflect::get(result, &"done".into()).ok()?.is_truthy();
    let piece = Reflect::get(result, &"value".into()).ok()?.dyn_into().ok();
    piece.filter(|_| !is_last)
}

fn until(upload: &Upload) -> Delay {
    Delay::of(upload.deadline_ms().saturating_sub(now_ms()))
}

fn to_usize(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

fn announced_bytes(request: &Request) -> Option<usize> {
    let length = request.headers().get("content-length").ok().flatten();
    length.and_then(|length| length.parse().ok())
}
