//! The content of a session of the gateway: its last rows, whether they end where a client's
//! conversation does, and the fate of a run.
//!
//! A session holds a conversation if its last answer is the last answer that the client shows. So a
//! session does not hold it if it was never used, was reset by the gateway, belongs to another
//! agent, or continued another conversation. Only the last rows are requested: the rows before the
//! last answer are not compared.

use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::gateway::answer::SEPARATOR;
use crate::gateway::frame::{
    Payload, Provenance, SessionParams, SessionRow, SessionRows, TokenUsage,
};
use crate::gateway::link::{Link, RequestId};
use crate::gateway::stored::as_streamed;
use crate::parse;
use crate::session::SessionKey;
use crate::turn::{Finish, RunId, RunSummary, Usage};

/// Rows that are requested. An answer is the last row, unless turns after it failed; each of those
/// leaves two or three rows.
const ROWS: u32 = 8;

/// Rows that are requested if one of them may be the beginning of an earlier run: a call of a tool
/// is two rows.
const RUN_ROWS: u32 = 200;

/// The part of the id of a user's row after the run's.
const USER_ROW: &str = ":user";

/// Marks the row in which the gateway asks the agent to continue after a restart. Source: OpenClaw
/// 2026.9.6, measured.
const RESTART_RECOVERY: &str = "main_session_restart_recovery";

/// The question that the rows answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Does the session hold the conversation?
    Conversation,
    /// Was the run requested before?
    Run,
}

/// Requests the last rows of a session. Both protocols have the method, and return whole texts;
/// `chat.history` cuts them on protocol 3.
pub(crate) fn request(
    session: &SessionKey,
    look: Look,
    link: &mut Link,
    outbox: &mut Vec<String>,
) -> Result<RequestId, Failure> {
    let params = SessionParams {
        key: session.as_str(),
        limit: match look {
            Look::Conversation => ROWS,
            Look::Run => RUN_ROWS,
        },
    };
    link.request("sessions.get", &params, outbox)
}

/// The record of an earlier run in a session's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It ended. `text` is the whole answer, as the gateway would have streamed it.
    Answered { text: String, summary: RunSummary },
    /// It failed.
    Failed,
    /// It was stopped.
    Aborted,
    /// It has no end.
    Unfinished,
    /// A part of it cannot be read, or is masked.
    Unreadable,
}

/// Returns true if the payload is a list of rows.
pub(crate) fn has_rows(payload: Option<&RawValue>) -> bool {
    payload.is_some_and(|payload| parse::from_str::<SessionRows<'_>>(payload.get()).is_ok())
}

/// Finds a run in the rows of its session (protocol 4); `None`: it is not there. The row of the
/// client's message has the run's id.
///
/// A session runs one turn at a time, so the rows after the message are the turn's, up to the next
/// message. A gateway that was restarted during a turn asks the agent to finish it, in a separate
/// row. The rows after that belong to the turn, too. A run that its client named has the same name
/// for every body: the name with another body is an error.
pub(crate) fn recorded(
    payload: Option<&RawValue>,
    run: &RunId,
) -> Result<Option<Recorded>, Failure> {
    let rows: Option<SessionRows<'_>> =
        payload.and_then(|payload| parse::from_str(payload.get()).ok());
    let rows: Vec<SessionRow<'_>> = rows
        .into_iter()
        .flat_map(|rows| rows.messages)
        .map(|row| parse::from_str(row.get()).unwrap_or_default())
        .collect();
    let Some(place) = find_message(&rows, run)? else {
        return Ok(None);
    };
    let later = rows.iter().skip(place.saturating_add(1));
    let turn = later.take_while(|row| row.role != "user" || is_restart_recovery(row));
    Ok(Some(read_turn(turn)))
}

/// Returns the index of the row with the run's message.
fn find_message(rows: &[SessionRow<'_>], run: &RunId) -> Result<Option<usize>, Failure> {
    let run_of = |row: &SessionRow<'_>| {
        let key = row.idempotency_key.as_deref()?;
        key.strip_suffix(USER_ROW).map(str::to_owned)
    };
    let is_named_alike = |id: String| {
        id != run.as_str() && run.name().is_some() && RunId::name_of(&id) == run.name()
    };
    let place = rows
        .iter()
        .position(|row| run_of(row).as_deref() == Some(run.as_str()));
    if place.is_none() && rows.iter().filter_map(run_of).any(is_named_alike) {
        return Err(Failure::IdempotencyKeyReused);
    }
    Ok(place)
}

/// Returns true if the gateway wrote the row because it was restarted during the turn.
fn is_restart_recovery(row: &SessionRow<'_>) -> bool {
    let provenance: Option<Provenance<'_>> = row
        .provenance
        .and_then(|provenance| parse::from_str(provenance.get()).ok());
    provenance
        .and_then(|provenance| provenance.source_tool)
        .as_deref()
        == Some(RESTART_RECOVERY)
}

/// Reads the rows of a turn, without the row of the client's message.
fn read_turn<'a>(rows: impl Iterator<Item = &'a SessionRow<'a>>) -> Recorded {
    let mut texts: Vec<String> = Vec::new();
    let mut has_mask = false;
    let mut usage = Usage::default();
    let mut end = Recorded::Unfinished;
    for row in rows {
        // A row that cannot be read may be a part of the answer.
        if row.role.is_empty() {
            return Recorded::Unreadable;
        }
        if row.role != "assistant" {
            continue;
        }
        usage = usage.plus(usage_of(row));
        if let Some(cut) = cut_of(row) {
            // A later row may have another end, because the gateway may have tried again.
            end = cut;
            continue;
        }
        match row.content.map(read_text) {
            // Each text is filtered separately, as the gateway reads it: code that one text leaves
            // open does not hide a directive of the next one.
            Some(Ok(text)) => {
                has_mask |= is_masked(&text);
                let text = as_streamed(&text);
                if !text.trim().is_empty() {
                    texts.push(text);
                }
            }
            Some(Err(_)) => return Recorded::Unreadable,
            None => {}
        }
        let finish = match row.stop_reason.as_deref() {
            Some("stop") => Finish::Stop,
            Some("length") => Finish::Length,
            _ => continue,
        };
        if has_mask {
            return Recorded::Unreadable;
        }
        return Recorded::Answered {
            text: texts.join(SEPARATOR),
            summary: RunSummary { finish, usage },
        };
    }
    end
}

fn usage_of(row: &SessionRow<'_>) -> Usage {
    let tokens: TokenUsage = row
        .usage
        .and_then(|usage| parse::from_str(usage.get()).ok())
        .unwrap_or_default();
    Usage::from(&tokens)
}

/// Returns `Aborted` or `Failed` for a row whose text was cut by that.
fn cut_of(row: &SessionRow<'_>) -> Option<Recorded> {
    let reason = row.stop_reason.as_deref();
    if row.openclaw_abort.is_some() || reason == Some("aborted") {
        Some(Recorded::Aborted)
    } else {
        (reason == Some("error")).then_some(Recorded::Failed)
    }
}

/// Returns whether the session holds a conversation with this last answer, or with any answer if
/// there is none to compare. `None`: the response cannot be read.
pub(crate) fn holds(payload: Option<&RawValue>, answer: Option<&str>) -> Option<bool> {
    let rows: SessionRows<'_> = parse::from_str(payload?.get()).ok()?;
    let rows = rows
        .messages
        .iter()
        .rev()
        .map(|row| parse::from_str::<SessionRow<'_>>(row.get()).unwrap_or_default());
    // The texts of the last turn that has an answer, the last text first.
    let mut texts: Vec<String> = Vec::new();
    for row in rows {
        // Source: OpenClaw 2026.9.6, measured: a reset keeps the session's id and leaves this row.
        if row.meta.as_ref().and_then(|meta| meta.kind.as_deref()) == Some("reset") {
            break;
        }
        if answer.is_none() {
            return Some(true);
        }
        if row.role == "user" && !texts.is_empty() {
            break;
        }
        texts.extend(answer_of(&row));
    }
    let (Some(answer), Some(last)) = (answer, texts.first()) else {
        return Some(false);
    };
    Some(is_same(answer, last) || is_turn(answer, &texts))
}

/// Returns the text of a row, if it is an answer that the model receives later.
fn answer_of(row: &SessionRow<'_>) -> Option<String> {
    if row.role != "assistant" || cut_of(row).is_some() {
        return None;
    }
    text_of(row)
}

fn text_of(row: &SessionRow<'_>) -> Option<String> {
    let text = read_text(row.content?).ok()?;
    Some(text).filter(|text| !text.trim().is_empty())
}

fn read_text(content: &RawValue) -> serde_json::Result<String> {
    let content = content.get();
    if content.starts_with('"') {
        parse::from_str(content)
    } else {
        parse::from_str::<Vec<Payload<'_>>>(content).map(|parts| {
            parts
                .iter()
                .filter_map(|part| part.text.as_deref())
                .collect()
        })
    }
}

/// Returns true if the client's answer is the one that the session holds, apart from blanks. Either
/// may have further paragraphs at one end: the client's text also has thoughts and the texts before
/// a tool was used. A short text proves nothing then, because "Yes." ends many answers. In doubt
/// the answers differ: a part that is sent twice costs tokens and a part that is missing is lost.
fn is_same(shown: &str, held: &str) -> bool {
    let masked = is_masked(held);
    let [shown, held] = [shown, &as_streamed(held)].map(Compact::of);
    !held.letters.is_empty()
        && (shown.letters == held.letters
            || shown.has_part(&held)
            || held.has_part(&shown)
            || (masked && is_masked_version(&shown, &held.letters)))
}

/// Returns true if the client shows all texts of a turn; `texts` begins with the last one.
fn is_turn(shown: &str, texts: &[String]) -> bool {
    let turn: String = texts.iter().rev().map(|text| as_streamed(text)).collect();
    let [shown, turn] = [shown, &turn].map(Compact::of);
    texts.len() > 1 && !turn.letters.is_empty() && shown.letters == turn.letters
}

/// A text without its blanks.
struct Compact {
    letters: String,
    /// Places in `letters` between two paragraphs, in ascending order.
    borders: Vec<usize>,
}

impl Compact {
    fn of(text: &str) -> Self {
        let mut letters = String::with_capacity(text.len());
        let mut borders = Vec::new();
        for line in text.lines() {
            let from = letters.len();
            letters.extend(line.split_whitespace());
            if letters.len() == from && borders.last() != Some(&from) {
                borders.push(from);
            }
        }
        Self { letters, borders }
    }

    /// Returns true if `part` consists of the first or the last paragraphs of this text. It must be
    /// long enough to prove that both are one answer.
    fn has_part(&self, part: &Self) -> bool {
        let len = part.letters.len();
        len >= MIN_PROOF_BYTES
            && ((self.letters.starts_with(&part.letters) && self.is_border(len))
                || (self.letters.ends_with(&part.letters)
                    && self.is_border(self.letters.len().saturating_sub(len))))
    }

    /// Returns true if a paragraph begins or ends at the place.
    fn is_border(&self, place: usize) -> bool {
        place == 0 || place == self.letters.len() || self.borders.binary_search(&place).is_ok()
    }
}

/// The shortest part of an answer that proves the answer to be the same, in bytes without blanks.
const MIN_PROOF_BYTES: usize = 16;

/// Replaces the middle of a secret in a session. The gateway keeps the first and the last few
/// characters of any text that looks like a secret. Source: OpenClaw 2026.9.6, measured:
/// `sk-abc…ABCD`.
const MASK: char = '…';

/// Returns true if a part of the text may be masked. A model may write such a text itself.
fn is_masked(text: &str) -> bool {
    let mut pieces = text.split(MASK).peekable();
    while let Some(piece) = pieces.next() {
        let is_before = piece.ends_with(|c: char| !c.is_whitespace());
        if is_before
            && pieces
                .peek()
                .is_some_and(|next| next.starts_with(|c: char| !c.is_whitespace()))
        {
            return true;
        }
    }
    false
}

/// Returns true if `held` is the text that the gateway keeps for `shown`, or for its first or last
/// paragraphs.
fn is_masked_version(shown: &Compact, held: &str) -> bool {
    let unmasked = held
        .len()
        .saturating_sub(held.matches(MASK).count().saturating_mul(MASK.len_utf8()));
    if unmasked < MIN_PROOF_BYTES {
        return false;
    }
    let letters = shown.letters.as_str();
    let from_start = || {
        let mut pieces = held.split(MASK);
        let mut rest = pieces.next().and_then(|first| letters.strip_prefix(first));
        for piece in pieces {
            rest = rest
                .and_then(|rest| rest.split_once(piece))
                .map(|(_, rest)| rest);
        }
        rest.is_some_and(|rest| shown.is_border(letters.len().saturating_sub(rest.len())))
    };
    let from_end = || {
        let mut pieces = held.rsplit(MASK);
        let mut rest = pieces.next().and_then(|last| letters.strip_suffix(last));
        for piece in pieces {
            rest = rest
                .and_then(|rest| rest.rsplit_once(piece))
                .map(|(rest, _)| rest);
        }
        rest.is_some_and(|rest| shown.is_border(rest.len()))
    };
    from_start() || from_end()
}

#[cfg(test)]
mod tests;
