//! The script of a run, written in the user's message, so that a test has it in one place.
//!
//! ```text
//! [[fake deltas=30 delay=20]]      README.md lists every word
//! ```

pub(crate) mod over_http;
mod word;

use serde_json::Value;

use self::over_http::OverHttp;
use self::word::{decode_text, flag, number, small};

/// The beginning of a directive.
const DIRECTIVE: &str = "[[fake";

/// Answer without a directive.
const DEMO_ANSWER: &str = "Hello! This answer comes from Clawfront's simulated gateway on your \
                           own machine: no model was asked, and nothing has left this computer. \
                           To front a real OpenClaw, put its address into .dev.vars as \
                           GATEWAY_URL, or run `npm start -- --openclaw`.";
pub(crate) const DEMO_DELAY_MS: u64 = 30;

const DEFAULT_DELTAS: u32 = 5;
const DEFAULT_DELAY_MS: u64 = 5;

/// Deltas before a failure that is retried, unless `cut` sets another number.
const DEFAULT_CUT: u32 = 3;

/// Code points per delta of `text` and of an answer in JSON, and of `echo`.
const TEXT_PIECE_CODE_POINTS: usize = 7;
const ECHO_PIECE_CODE_POINTS: usize = 200;

/// A delta of `bulk`: a character that is six bytes in JSON, so that a short text makes large
/// frames.
const BULK_CHARACTER: &str = "\u{1}";
const BULK_PIECE_BYTES: usize = 65_536;

/// 1 KiB of the delta that `hugeline` adds.
const HUGE_LINE_PART: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const HUGE_LINE_PARTS_PER_KIB: usize = 16;

/// The text that replaces the earlier text at `retract`.
const OTHER_TEXT: &str = "On second thought:";

/// A run's script.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one word of the directive, independent of the others"
)]
pub(crate) struct Script {
    /// The pieces of the answer.
    pub(crate) deltas: Vec<String>,
    pub(crate) delay_ms: u64,
    /// The provider fails with this HTTP status.
    pub(crate) error: Option<u16>,
    /// The failover reason, which overrides that of the status.
    pub(crate) reason: Option<String>,
    /// Attempts that fail and are tried again.
    pub(crate) retry: u32,
    /// Deltas before a failing attempt fails.
    pub(crate) cut: Option<u32>,
    /// Number of deltas after which another text replaces them.
    pub(crate) retract: Option<u32>,
    /// Number of deltas after which the provider sends an error object.
    pub(crate) stream_error: Option<u32>,
    /// Attempts at an answer that stay empty.
    pub(crate) empty: u32,
    pub(crate) length: bool,
    /// The tool that is called before the answer.
    pub(crate) tool: Option<String>,
    pub(crate) reasoning: u32,
    pub(crate) echo: bool,
    /// Number of deltas after which the run is silent until it is aborted.
    pub(crate) stall: Option<u32>,
    pub(crate) timeout: bool,
    /// Events of other runs before each delta.
    pub(crate) foreign: u32,
    pub(crate) unknown: bool,
    /// The close code for the socket that started the run.
    pub(crate) close: Option<u16>,
    /// Deltas before `close`.
    pub(crate) after: u32,
    pub(crate) drop: Option<u32>,
    pub(crate) garbage: Option<u32>,
    pub(crate) no_final: bool,
    pub(crate) draining: bool,
    pub(crate) slow_accept_ms: u64,
    /// The starter's socket is closed before it receives the acceptance of the run.
    pub(crate) lost_accept: bool,
    /// The first request's socket is closed instead of starting the run.
    pub(crate) lost_ask: bool,
    /// From the end of the run until its last response is remembered.
    pub(crate) settle_ms: u64,
    /// Paths of the files that the answer names.
    pub(crate) media: Vec<String>,
    pub(crate) over_http: OverHttp,
}

impl Script {
    /// Returns whether `message` has a directive.
    pub(crate) fn is_in(message: &str) -> bool {
        message.contains(DIRECTIVE)
    }

    /// Returns the place of the directive that counts.
    pub(crate) fn position(message: &str) -> Option<usize> {
        message.rfind(DIRECTIVE)
    }

    /// Parses the script in `message`: that of its last directive, or the demo answer if it has
    /// none.
    ///
    /// # Errors
    /// Returns the error in the directive: a typo in a test must not look like an answer.
    pub(crate) fn of(message: &str) -> Result<Self, String> {
        let Some((_, rest)) = message.rsplit_once(DIRECTIVE) else {
            return Ok(Self::demo());
        };
        let (words, _) = rest.split_once("]]").ok_or("the directive is not closed")?;
        let mut script = Self::plain();
        let mut deltas = None;
        let mut text = None;
        let mut bulk = None;
        for word in words.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, "1"));
            match name {
                "deltas" => deltas = Some(number(word, value)?),
                "delay" => script.delay_ms = number(word, value)?.into(),
                "text" => text = Some(decode_text(value)?),
                "media" => script.media.push(decode_text(value)?),
                "bulk" => bulk = Some(number(word, value)?),
                "error" => script.error = Some(small(word, value)?),
                "reason" => script.reason = Some(value.to_owned()),
                "retry" => script.retry = number(word, value)?,
                "cut" => script.cut = Some(number(word, value)?),
                "retract" => script.retract = Some(number(word, value)?),
                "streamerror" => script.stream_error = Some(number(word, value)?),
                "empty" => script.empty = number(word, value)?,
                "finish" if matches!(value, "stop" | "length") => script.length = value == "length",
                "tool" => script.tool = Some(if value == "1" { "exec" } else { value }.to_owned()),
                "reasoning" => script.reasoning = number(word, value)?,
                "echo" => script.echo = flag(word, value)?,
                "stall" => script.stall = Some(number(word, value)?),
                "timeoutrun" => script.timeout = flag(word, value)?,
                "foreign" => script.foreign = number(word, value)?,
                "unknown" => script.unknown = flag(word, value)?,
                "close" => script.close = Some(small(word, value)?),
                "after" => script.after = number(word, value)?,
                "drop" => script.drop = Some(number(word, value)?),
                "garbage" => script.garbage = Some(number(word, value)?),
                "nofinal" => script.no_final = flag(word, value)?,
                "draining" => script.draining = flag(word, value)?,
                "lostaccept" => script.lost_accept = flag(word, value)?,
                "lostask" => script.lost_ask = flag(word, value)?,
                "settle" => script.settle_ms = number(word, value)?.into(),
                "slowaccept" => script.slow_accept_ms = number(word, value)?.into(),
                name if script.over_http.take(name, word, value)? => {}
                _ => return Err(format!("unknown word {word:?}")),
            }
        }
        script.deltas = match (text, bulk) {
            (Some(text), _) => pieces(&text, TEXT_PIECE_CODE_POINTS),
            (None, Some(count)) => (0..count)
                .map(|_| BULK_CHARACTER.repeat(BULK_PIECE_BYTES))
                .collect(),
            (None, None) => words_from_zero("w", deltas.unwrap_or(script.default_deltas())),
        };
        if script.over_http.huge_line_kib > 0 {
            script.deltas.push(script.huge_line());
        }
        Ok(script)
    }

    /// Makes the answer a text instead of calls.
    pub(crate) fn answer_without_calls(&mut self) {
        if self.over_http.has_calls() {
            self.over_http.calls.clear();
            self.over_http.call_count = None;
            if self.deltas.is_empty() {
                self.deltas = words_from_zero("w", DEFAULT_DELTAS);
            }
        }
    }

    /// Replaces the answer with `text`.
    pub(crate) fn set_answer(&mut self, text: &str) {
        self.deltas = pieces(text, TEXT_PIECE_CODE_POINTS);
    }

    /// Replaces the answer with `what`, in large pieces.
    pub(crate) fn answer_with(&mut self, what: &Value) {
        self.deltas = pieces(&what.to_string(), ECHO_PIECE_CODE_POINTS);
    }

    /// The deltas of the model's thinking.
    pub(crate) fn thoughts(&self) -> Vec<String> {
        words_from_zero("think", self.reasoning)
    }

    /// Returns the number of deltas before an attempt fails; `None` if it does not fail. `attempt`
    /// counts from 0.
    pub(crate) fn fails_after(&self, attempt: u32) -> Option<u32> {
        if attempt < self.retry {
            return Some(
                self.cut
                    .unwrap_or(if self.error.is_some() { 0 } else { DEFAULT_CUT }),
            );
        }
        if self.error.is_some() {
            return Some(self.cut.unwrap_or(0));
        }
        // A cut without a retry is a failure. With a retry, it sets the point where the retried
        // attempts fail.
        if self.retry == 0 { self.cut } else { None }
    }

    /// The text that contradicts what was streamed before.
    pub(crate) fn other_text() -> &'static str {
        OTHER_TEXT
    }

    /// A model that calls a function says nothing beside it.
    fn default_deltas(&self) -> u32 {
        if self.over_http.has_calls() {
            0
        } else {
            DEFAULT_DELTAS
        }
    }

    fn huge_line(&self) -> String {
        let kib = usize::try_from(self.over_http.huge_line_kib).unwrap_or(usize::MAX);
        HUGE_LINE_PART.repeat(kib.saturating_mul(HUGE_LINE_PARTS_PER_KIB))
    }

    fn demo() -> Self {
        let mut deltas = Vec::new();
        for word in DEMO_ANSWER.split(' ') {
            deltas.push(if deltas.is_empty() {
                word.to_owned()
            } else {
                format!(" {word}")
            });
        }
        Self {
            deltas,
            delay_ms: DEMO_DELAY_MS,
            ..Self::plain()
        }
    }

    fn plain() -> Self {
        Self {
            deltas: Vec::new(),
            delay_ms: DEFAULT_DELAY_MS,
            error: None,
            reason: None,
            retry: 0,
            cut: None,
            retract: None,
            stream_error: None,
            empty: 0,
            length: false,
            tool: None,
            reasoning: 0,
            echo: false,
            stall: None,
            timeout: false,
            foreign: 0,
            unknown: false,
            close: None,
            after: 0,
            drop: None,
            garbage: None,
            no_final: false,
            draining: false,
            slow_accept_ms: 0,
            lost_accept: false,
            lost_ask: false,
            settle_ms: 0,
            media: Vec::new(),
            over_http: OverHttp::default(),
        }
    }
}

/// `w0`, ` w1`, ` w2`, …
fn words_from_zero(word: &str, count: u32) -> Vec<String> {
    (0..count)
        .map(|index| {
            if index == 0 {
                format!("{word}0")
            } else {
                format!(" {word}{index}")
            }
        })
        .collect()
}

/// Cuts between code points, never inside one.
fn pieces(text: &str, code_points: usize) -> Vec<String> {
    let points: Vec<char> = text.chars().collect();
    points
        .chunks(code_points)
        .map(|piece| piece.iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_directive_counts() {
        let script =
            Script::of("[[fake deltas=9]] and then [[fake deltas=2 delay=7]] bye").unwrap();
        assert_eq!(script.deltas, ["w0", " w1"]);
        assert_eq!(script.delay_ms, 7);
    }

    #[test]
    fn a_text_is_given_exactly_and_cut_between_code_points() {
        // "Grüße, 🦀🦀 Welt" as base64url of its UTF-8.
        let script = Script::of("[[fake text=R3LDvMOfZSwg8J-mgPCfpoAgV2VsdA]]").unwrap();
        assert_eq!(script.deltas.concat(), "Grüße, 🦀🦀 Welt");
        assert!(
            script
                .deltas
                .iter()
                .all(|piece| piece.chars().count() <= TEXT_PIECE_CODE_POINTS)
        );
    }

    #[test]
    fn a_typo_is_refused() {
        assert_eq!(
            Script::of("[[fake detlas=3]]"),
            Err("unknown word \"detlas=3\"".to_owned())
        );
        assert_eq!(
            Script::of("[[fake deltas=3"),
            Err("the directive is not closed".to_owned())
        );
        assert_eq!(
            Script::of("[[fake deltas=-1]]"),
            Err("bad number in \"deltas=-1\"; at most 100000".to_owned())
        );
    }

    #[test]
    fn a_message_without_a_directive_gets_the_demo_answer() {
        let script = Script::of("Hi there").unwrap();
        assert_eq!(script.deltas.concat(), DEMO_ANSWER);
        assert!((30..60).contains(&script.deltas.len()));
    }

    #[test]
    fn retried_attempts_fail_and_the_last_one_does_not() {
        let script = Script::of("[[fake retry=2 cut=1]]").unwrap();
        assert_eq!(
            [0, 1, 2].map(|attempt| script.fails_after(attempt)),
            [Some(1), Some(1), None]
        );
        let script = Script::of("[[fake retry=1 error=500]]").unwrap();
        assert_eq!(
            [0, 1].map(|attempt| script.fails_after(attempt)),
            [Some(0), Some(0)]
        );
        assert_eq!(
            Script::of("[[fake cut=2]]").unwrap().fails_after(0),
            Some(2)
        );
    }
}
