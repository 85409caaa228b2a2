//! The words of a directive that only a completion over HTTP has: functions and faults of HTTP.

use crate::script::word::{decode_text, flag, number, size, small};

/// The words that only a completion over HTTP has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one word of the directive, independent of the others"
)]
pub(crate) struct OverHttp {
    /// The status of the response, instead of a run.
    pub(crate) status: Option<u16>,
    /// The `retry-after` of that response.
    pub(crate) retry_after: Option<u32>,
    /// The calls by name.
    pub(crate) calls: Vec<NamedCall>,
    /// The number of calls, if it differs from that of `calls`.
    pub(crate) call_count: Option<u32>,
    /// The arguments of the calls that have none of their own.
    pub(crate) arguments: Option<Arguments>,
    /// UTF-16 units of a piece of arguments.
    pub(crate) slice: Option<usize>,
    /// Chunks of calls after which the connection is cut.
    pub(crate) drop_call: Option<u32>,
    pub(crate) no_finish: bool,
    pub(crate) no_usage: bool,
    pub(crate) no_done: bool,
    pub(crate) crlf: bool,
    /// Comments before each event.
    pub(crate) comments: u32,
    /// Bytes of each write.
    pub(crate) split: Option<usize>,
    /// KiB of a further delta.
    pub(crate) huge_line_kib: u32,
}

/// A call by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedCall {
    /// The name that the client gave the function, or its end.
    pub(crate) name: String,
    pub(crate) arguments: Option<Arguments>,
}

/// The arguments of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// They are cut as the gateway does it.
    Whole(String),
    /// Each text is the arguments of one chunk.
    Pieces(Vec<String>),
}

impl OverHttp {
    /// Takes a word, and returns false if it is none of these.
    pub(super) fn take(&mut self, name: &str, word: &str, value: &str) -> Result<bool, String> {
        match name {
            "http" => self.status = Some(status(word, value)?),
            "retryafter" => self.retry_after = Some(number(word, value)?),
            "call" => self.calls.push(NamedCall {
                name: value.to_owned(),
                arguments: None,
            }),
            "calls" => self.call_count = Some(number(word, value)?),
            "args" => {
                let arguments = Some(Arguments::parse(value)?);
                match self.calls.last_mut() {
                    Some(call) => call.arguments = arguments,
                    None => self.arguments = arguments,
                }
            }
            "slice" => self.slice = Some(size(word, value)?),
            "dropcall" => self.drop_call = Some(number(word, value)?),
            "nofinish" => self.no_finish = flag(word, value)?,
            "nousage" => self.no_usage = flag(word, value)?,
            "nodone" => self.no_done = flag(word, value)?,
            "crlf" => self.crlf = flag(word, value)?,
            "comment" => self.comments = number(word, value)?,
            "split" => self.split = Some(size(word, value)?),
            "hugeline" => self.huge_line_kib = number(word, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Returns whether the script calls functions.
    pub(crate) fn has_calls(&self) -> bool {
        self.call_count
            .map_or(!self.calls.is_empty(), |count| count > 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Arguments {
    /// Parses a JSON object without blanks, or base64url texts with commas between them.
    fn parse(value: &str) -> Result<Self, String> {
        if value.starts_with('{') {
            return Ok(Self::Whole(value.to_owned()));
        }
        let pieces: Vec<_> = value
            .split(',')
            .map(decode_text)
            .collect::<Result<_, _>>()?;
        match <[String; 1]>::try_from(pieces) {
            Ok([whole]) => Ok(Self::Whole(whole)),
            Err(pieces) => Ok(Self::Pieces(pieces)),
        }
    }
}

fn status(word: &str, value: &str) -> Result<u16, String> {
    let status = small(word, value)?;
    if (200..600).contains(&status) {
        Ok(status)
    } else {
        Err(format!("{word:?} is not a status"))
    }
}

#[cfg(test)]
mod tests {
    use crate::script::Script;

    use super::*;

    #[test]
    fn arguments_belong_to_the_call_before_them() {
        let script =
            Script::of(r#"[[fake call=a args={"n":1} call=b args=eyI,biI6Mn0 call=c]]"#).unwrap();
        let arguments: Vec<_> = script
            .over_http
            .calls
            .into_iter()
            .map(|call| (call.name, call.arguments))
            .collect();
        let pieces = Arguments::Pieces(vec!["{\"".to_owned(), "n\":2}".to_owned()]);
        assert_eq!(
            arguments,
            [
                (
                    "a".to_owned(),
                    Some(Arguments::Whole(r#"{"n":1}"#.to_owned()))
                ),
                ("b".to_owned(), Some(pieces)),
                ("c".to_owned(), None),
            ]
        );
    }

    #[test]
    fn a_call_has_no_text_beside_it_unless_the_script_has_some() {
        assert!(Script::of("[[fake call=a]]").unwrap().deltas.is_empty());
        assert!(Script::of("[[fake calls=2]]").unwrap().deltas.is_empty());
        assert_eq!(
            Script::of("[[fake call=a deltas=2]]").unwrap().deltas.len(),
            2
        );
        assert_eq!(Script::of("[[fake calls=0]]").unwrap().deltas.len(), 5);
    }
}
