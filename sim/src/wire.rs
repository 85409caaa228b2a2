//! A fault of the wire: one act of a network, a proxy or a broken gateway, at one point of a
//! connection.
//!
//! Written as `ACT@POINT`, as in `drop@text5`. The act comes before the frame that the point names;
//! at `end`, after the last one.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;

/// Delay of a frame that is late.
const DELAY: Duration = Duration::from_millis(300);

/// Larger than a frame may be: `policy.maxPayload` of both versions.
const OVERSIZE_BYTES: usize = 26_214_401;

/// The event of a gateway that is about to restart.
const SHUTDOWN: &str = r#"{"type":"event","event":"shutdown","payload":{"reason":"service restart","restartExpectedMs":1500}}"#;

/// A run that no client here requested.
const FOREIGN_RUN: &str = "00000000-0000-4000-8000-000000000000";

/// A fault of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireFault {
    act: Act,
    at: Point,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// No close frame, no more bytes.
    Drop,
    /// A close frame with this code.
    Close(u16),
    /// A close frame, after which the connection is left open.
    HalfClose,
    /// The event `shutdown`, then close 1012.
    Restart,
    Delay,
    /// Text that is not JSON.
    Garbage,
    /// JSON that is not a frame.
    Shape,
    Binary,
    Oversize,
    Duplicate,
    /// The frame comes after the next one.
    Reorder,
    /// Events of another run, its end, and an answer to nothing.
    Foreign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Challenge,
    /// The response to `connect`.
    Hello,
    /// The first response to `agent`.
    Accepted,
    /// The nth event with text, from 1.
    Text(u32),
    /// The last response to `agent`.
    Final,
    End,
}

/// An action on the socket that replaces a frame. Actions are done in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Text(String),
    Binary(Vec<u8>),
    Pause(Duration),
    Close(u16),
    HalfClose(u16),
    Drop,
}

impl WireFault {
    /// Returns `None` for a name that is not an `ACT@POINT`.
    pub(crate) fn parse(name: &str) -> Option<Result<Self, String>> {
        let (act, point) = name.split_once('@')?;
        Some(match (parse_act(act), parse_point(point)) {
            (Some(act), Some(at)) => Ok(Self { act, at }),
            (None, _) => Err(format!("there is no act {act:?} of the wire")),
            (_, None) => Err(format!("there is no point {point:?} of a connection")),
        })
    }
}

fn parse_act(name: &str) -> Option<Act> {
    Some(match name {
        "drop" => Act::Drop,
        "half-close" => Act::HalfClose,
        "restart" => Act::Restart,
        "delay" => Act::Delay,
        "garbage" => Act::Garbage,
        "shape" => Act::Shape,
        "binary" => Act::Binary,
        "oversize" => Act::Oversize,
        "duplicate" => Act::Duplicate,
        "reorder" => Act::Reorder,
        "foreign" => Act::Foreign,
        _ => Act::Close(name.strip_prefix("close-")?.parse().ok()?),
    })
}

fn parse_point(name: &str) -> Option<Point> {
    Some(match name {
        "challenge" => Point::Challenge,
        "hello" => Point::Hello,
        "accepted" => Point::Accepted,
        "final" => Point::Final,
        "end" => Point::End,
        _ => Point::Text(
            name.strip_prefix("text")?
                .parse()
                .ok()
                .filter(|nth| *nth > 0)?,
        ),
    })
}

/// One connection's outgoing frames, with its fault, if any.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    fault: Option<WireFault>,
    greeted: bool,
    texts: u32,
    held: Option<String>,
    struck: bool,
}

impl Wire {
    pub(crate) fn new(fault: Option<WireFault>) -> Self {
        Self {
            fault,
            ..Self::default()
        }
    }

    /// Returns true if the fault reached its point.
    pub(crate) fn has_struck(&self) -> bool {
        self.struck
    }

    /// Returns the bytes and acts that replace a frame.
    pub(crate) fn pass(&mut self, frame: String) -> VecDeque<Put> {
        let Some(fault) = self.fault else {
            return VecDeque::from([Put::Text(frame)]);
        };
        if let Some(held) = self.held.take() {
            self.fault = None;
            self.struck = true;
            return VecDeque::from([Put::Text(frame), Put::Text(held)]);
        }
        let point = self.point(&frame);
        if fault.at == Point::End && point == Some(Point::Final) {
            self.fault = None;
            self.struck = true;
            // Some acts repeat the frame itself, which is sent first here.
            let mut puts = fault.act.puts(frame.clone());
            puts.retain(|put| *put != Put::Text(frame.clone()));
            puts.push_front(Put::Text(frame));
            return puts;
        }
        if point != Some(fault.at) {
            return VecDeque::from([Put::Text(frame)]);
        }
        if fault.act == Act::Reorder {
            self.held = Some(frame);
            return VecDeque::new();
        }
        self.fault = None;
        self.struck = true;
        fault.act.puts(frame)
    }

    /// Returns the point of a frame, if the frame has a point with a name.
    fn point(&mut self, frame: &str) -> Option<Point> {
        let frame: Frame<'_> = serde_json::from_str(frame).ok()?;
        match (frame.kind, frame.event) {
            ("event", "connect.challenge") => Some(Point::Challenge),
            ("event", "agent") if frame.payload.stream == "assistant" => {
                self.texts = self.texts.saturating_add(1);
                Some(Point::Text(self.texts))
            }
            ("res", _) if !self.greeted => {
                self.greeted = true;
                Some(Point::Hello)
            }
            ("res", _) if frame.payload.run_id.is_some() => Some(match frame.payload.status {
                "accepted" | "in_flight" => Point::Accepted,
                _ => Point::Final,
            }),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(default)]
    event: &'a str,
    #[serde(borrow, default)]
    payload: Payload<'a>,
}

/// The fields of a payload that show its point; the others may be anything.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Payload<'a> {
    stream: &'a str,
    status: &'a str,
    run_id: Option<&'a str>,
}

impl Act {
    fn puts(self, frame: String) -> VecDeque<Put> {
        let garbage =
            |text: &str, frame| VecDeque::from([Put::Text(text.to_owned()), Put::Text(frame)]);
        match self {
            Self::Drop => VecDeque::from([Put::Drop]),
            Self::Close(code) => VecDeque::from([Put::Close(code)]),
            Self::HalfClose => VecDeque::from([Put::HalfClose(1000)]),
            Self::Restart => VecDeque::from([Put::Text(SHUTDOWN.to_owned()), Put::Close(1012)]),
            Self::Delay => VecDeque::from([Put::Pause(DELAY), Put::Text(frame)]),
            Self::Garbage => garbage("{\"type\":\"event\",\"event\":\"agent\",\"payl", frame),
            Self::Shape => garbage(r#"[{"type":7},{"payload":[[]]}]"#, frame),
            Self::Binary => {
                VecDeque::from([Put::Binary(frame.clone().into_bytes()), Put::Text(frame)])
            }
            Self::Oversize => {
                VecDeque::from([Put::Text("x".repeat(OVERSIZE_BYTES)), Put::Text(frame)])
            }
            Self::Duplicate => VecDeque::from([Put::Text(frame.clone()), Put::Text(frame)]),
            Self::Foreign => foreign()
                .into_iter()
                .map(Put::Text)
                .chain([Put::Text(frame)])
                .collect(),
            // The frame is held back instead.
            Self::Reorder => VecDeque::from([Put::Text(frame)]),
        }
    }
}

/// Returns the events of another run's connection, and a response that no client waits for.
fn foreign() -> [String; 4] {
    [
        format!(
            r#"{{"type":"event","event":"agent","payload":{{"runId":"{FOREIGN_RUN}","stream":"assistant","data":{{"text":"FOREIGN-TEXT","delta":"FOREIGN-TEXT","itemId":"m"}},"seq":1,"ts":1}}}}"#
        ),
        format!(
            r#"{{"type":"event","event":"agent","payload":{{"runId":"{FOREIGN_RUN}","stream":"lifecycle","data":{{"phase":"end"}},"seq":2,"ts":2}}}}"#
        ),
        format!(
            r#"{{"type":"event","event":"chat","payload":{{"runId":"{FOREIGN_RUN}","state":"final","message":{{"role":"assistant","content":[{{"type":"text","text":"FOREIGN-TEXT"}}]}}}}}}"#
        ),
        format!(
            r#"{{"type":"res","id":"no-such-request","ok":true,"payload":{{"runId":"{FOREIGN_RUN}","status":"ok","result":{{"payloads":[{{"text":"FOREIGN-TEXT"}}]}}}}}}"#
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &str = r#"{"type":"event","event":"connect.challenge","payload":{}}"#;
    const HELLO: &str = r#"{"type":"res","id":"1","ok":true,"payload":{"type":"hello-ok"}}"#;
    const SUBSCRIBED: &str = r#"{"type":"res","id":"2","ok":true,"payload":{"subscribed":true}}"#;
    const ACCEPTED: &str =
        r#"{"type":"res","id":"3","ok":true,"payload":{"runId":"r","status":"accepted"}}"#;
    const TEXT: &str = r#"{"type":"event","event":"agent","payload":{"runId":"r","stream":"assistant","data":{}}}"#;
    const FINAL: &str =
        r#"{"type":"res","id":"3","ok":true,"payload":{"runId":"r","status":"ok"}}"#;
    const ALL: [&str; 7] = [CHALLENGE, HELLO, SUBSCRIBED, ACCEPTED, TEXT, TEXT, FINAL];

    /// All frames through a wire with this fault.
    fn passed(fault: &str) -> Vec<Put> {
        let mut wire = Wire::new(Some(WireFault::parse(fault).unwrap().unwrap()));
        ALL.iter()
            .flat_map(|frame| wire.pass((*frame).to_owned()))
            .collect()
    }

    fn texts(puts: &[Put]) -> Vec<&str> {
        fn text(put: &Put) -> &str {
            match put {
                Put::Text(text) => text,
                _ => "",
            }
        }
        puts.iter().map(text).collect()
    }

    #[test]
    fn an_act_comes_in_front_of_its_point_and_once() {
        for (point, index) in [
            ("challenge", 0),
            ("hello", 1),
            ("accepted", 3),
            ("text1", 4),
            ("text2", 5),
            ("final", 6),
            ("end", 7),
        ] {
            let puts = passed(&format!("close-1012@{point}"));
            assert_eq!(
                puts.iter().position(|put| *put == Put::Close(1012)),
                Some(index),
                "{point}"
            );
            let puts = passed(&format!("delay@{point}"));
            assert_eq!(
                puts.iter().position(|put| *put == Put::Pause(DELAY)),
                Some(index),
                "{point}"
            );
            assert_eq!(puts.len(), ALL.len() + 1, "{point}");
        }
    }

    #[test]
    fn a_frame_comes_twice_or_behind_the_next() {
        assert_eq!(
            texts(&passed("duplicate@hello"))[..3],
            [CHALLENGE, HELLO, HELLO]
        );
        assert_eq!(
            texts(&passed("reorder@accepted"))[3..],
            [TEXT, ACCEPTED, TEXT, FINAL]
        );
    }

    #[test]
    fn an_unknown_fault_of_the_wire_is_an_error() {
        assert!(WireFault::parse("startup").is_none());
        assert!(WireFault::parse("vanish@hello").unwrap().is_err());
        assert!(WireFault::parse("drop@text0").unwrap().is_err());
        assert!(WireFault::parse("close-x@hello").unwrap().is_err());
    }
}
