//! A quick look at an event: finds its kind and its run by their positions in the text, before it
//! is parsed.
//!
//! Nearly all frames of a run are events that repeat the whole text so far, and there may be as
//! many of other runs. Both versions write an event's members in one order (recorded frames of
//! 2026.9.6 and 2026.3.13):
//!
//! ```json
//! {"type":"event","event":"agent","payload":{"runId":"…","stream":"assistant","data":{…},…},"seq":7}
//! {"type":"event","event":"chat","payload":{"runId":"…",…},"seq":8}
//! ```
//!
//! An event that is written differently is not recognised here; the normal parser reads it.

use std::borrow::Cow;

use super::frame::{AgentEvent, Json};
use super::prefix::strip_prefix;

/// The parts of an event that can be read without parsing it.
#[derive(Debug)]
pub(crate) struct Peeked<'a> {
    pub event: Event<'a>,
    pub seq: u64,
}

#[derive(Debug)]
pub(crate) enum Event<'a> {
    Agent(AgentEvent<'a>),
    /// Its payload.
    Chat(Json<'a>),
}

/// The beginning of the event `agent`; its run's id follows.
pub const AGENT: &str = r#"{"type":"event","event":"agent","payload":{"runId":""#;
/// The beginning of the event `chat`; its run's id follows.
pub const CHAT: &str = r#"{"type":"event","event":"chat","payload":{"runId":""#;
/// The part of it before its payload.
const CHAT_EVENT: &str = r#"{"type":"event","event":"chat","payload":"#;
const SEQ: &str = r#","seq":"#;
const STREAM: &str = r#"","stream":""#;
const DATA: &str = r#"","data":"#;

/// Returns the event in `frame`, if it is one of the two most frequent ones of a run.
pub(crate) fn peek(frame: &str) -> Option<Peeked<'_>> {
    let (rest, is_agent) = match strip_prefix(frame, AGENT) {
        Some(rest) => (rest, true),
        None => (strip_prefix(frame, CHAT_EVENT)?, false),
    };
    let (rest, seq) = split_seq(rest)?;
    let event = if is_agent {
        let (run_id, rest) = until(rest, STREAM)?;
        let (stream, data) = until(rest, DATA)?;
        // The only stream of which more than the data is read; its events are few.
        if stream == "lifecycle" {
            return None;
        }
        Event::Agent(AgentEvent {
            run_id: Cow::Borrowed(run_id),
            stream: Cow::Borrowed(stream),
            data: Json::beginning(data),
            session_key: None,
        })
    } else {
        Event::Chat(Json::beginning(rest))
    };
    Some(Peeked { event, seq })
}

/// Splits off the envelope's `seq`, which is its last member: only one brace comes after it.
fn split_seq(frame: &str) -> Option<(&str, u64)> {
    let open = frame.strip_suffix('}')?;
    let rest = open.trim_end_matches(|digit: char| digit.is_ascii_digit());
    let seq = open.get(rest.len()..)?.parse().ok()?;
    Some((rest.strip_suffix(SEQ)?, seq))
}

/// Returns a string's content without an escape, if `next` follows immediately.
fn until<'a>(text: &'a str, next: &str) -> Option<(&'a str, &'a str)> {
    let end = text
        .bytes()
        .position(|byte| byte == b'"' || byte == b'\\')?;
    let (content, rest) = text.split_at_checked(end)?;
    Some((content, rest.strip_prefix(next)?))
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::gateway::frame::{AssistantData, Envelope};
    use crate::parse;

    const FRAME: &str = r#"{"type":"event","event":"agent","payload":{"runId":"r-1","stream":"assistant","data":{"text":"a \"},\"seq\":3}","delta":"3}"},"sessionKey":"agent:main:x","seq":13,"ts":1},"seq":10}"#;

    #[test]
    fn an_event_is_recognised_by_positions() {
        let Some(Peeked {
            event: Event::Agent(event),
            seq,
        }) = peek(FRAME)
        else {
            panic!("no agent event");
        };
        assert_eq!(
            (&*event.run_id, &*event.stream, seq),
            ("r-1", "assistant", 10)
        );
        let data: AssistantData<'_> = event.data.read().unwrap();
        assert_eq!(data.text, r#"a "},"seq":3}"#);
    }

    #[test]
    fn an_event_that_is_written_differently_is_left_to_the_parser() {
        for frame in [
            "",
            "{}",
            r#"{"type":"event","event":"tick","payload":{},"seq":1}"#,
            r#"{"event":"agent","type":"event","payload":{"runId":"r","stream":"s","data":{}},"seq":1}"#,
            r#"{"type":"event","event":"agent","payload":{"stream":"s","runId":"r","data":{}},"seq":1}"#,
            r#"{"type":"event","event":"agent","payload":{"runId":"r\u0041","stream":"s","data":{}},"seq":1}"#,
            r#"{"type":"event","event":"agent","payload":{"runId":"r","stream":"s","data":{}}}"#,
            r#"{"type":"event","event":"agent","payload":{"runId":"r","stream":"s","data":{}},"seq":1.5}"#,
            r#"{"type":"event","event":"agent","payload":{"runId":"r","stream":"s","data":{}},"seq":null}"#,
            r#"{"type":"event","event":"agent","payload":{"runId":"r","stream":"s","data":{}},"seq":99999999999999999999}"#,
            r#"{"type":"event","event":"agent","payload":{"runId":"r","stream":"s","data":{},"seq":1}}"#,
        ] {
            assert!(peek(frame).is_none(), "{frame}");
        }
    }

    fn value(json: Json<'_>) -> serde_json::Value {
        let json: &RawValue = json.read().unwrap();
        serde_json::from_str(json.get()).unwrap()
    }

    #[test]
    fn a_peeked_event_equals_the_parsed_one_in_all_recordings() {
        let mut peeked = 0;
        for path in
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts")).unwrap()
        {
            for line in std::fs::read_to_string(path.unwrap().path())
                .unwrap()
                .lines()
            {
                // The frame is between `"frame":` and the last brace, as the gateway writes it.
                let Some(frame) = line
                    .split_once(r#""frame":"#)
                    .and_then(|(_, rest)| rest.strip_suffix('}'))
                else {
                    continue;
                };
                let Some(seen) = peek(frame) else { continue };
                let parsed: Envelope<'_> = parse::from_str(frame).unwrap();
                assert_eq!(parsed.seq.unwrap().get().parse(), Ok(seen.seq));
                let payload = parsed.payload.unwrap().get();
                match seen.event {
                    Event::Agent(event) => {
                        let slow: AgentEvent<'_> = parse::from_str(payload).unwrap();
                        assert_eq!((&event.run_id, &event.stream), (&slow.run_id, &slow.stream));
                        assert_eq!(value(event.data), value(slow.data));
                    }
                    Event::Chat(chat) => {
                        assert_eq!(
                            value(chat),
                            serde_json::from_str::<serde_json::Value>(payload).unwrap()
                        );
                    }
                }
                peeked += 1;
            }
        }
        assert!(
            peeked > 500,
            "only {peeked} of the recorded events are written in the known order"
        );
    }
}
