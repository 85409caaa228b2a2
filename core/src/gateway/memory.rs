//! The content of a session of the gateway: its last rows, whether they end where a client's
//! conversation does, and the fate of a run.
//!
//! A session holds a conversation if its last turns are those that the client shows. So a session
//! does not hold it if it was never used, was reset by the gateway, belongs to another agent, or
//! continued another conversation, and if a message of it was edited, is answered again, or failed.
//! Only the last rows are requested: the turns before them are not compared.

use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::gateway::answer::SEPARATOR;
use crate::gateway::frame::{
    ANNOUNCE, Payload, Provenance, SessionParams, SessionRow, SessionRows, TokenUsage, is_media_run,
};
use crate::gateway::link::{Link, RequestId};
use crate::gateway::stored::as_streamed;
use crate::gateway::user_question;
use crate::parse;
use crate::session::SessionKey;
use crate::turn::{Finish, IMAGE, RunId, RunSummary, ShownTurn, Usage, without_images};

/// Rows that are requested: ten turns, or fewer with tools.
const ROWS: u32 = 20;

/// Rows that are requested if one of them may be the beginning of an earlier run: a call of a tool
/// is two rows.
const RUN_ROWS: u32 = 200;

/// Rows that are requested for a question, its run's message among them.
const QUESTION_ROWS: u32 = 60;

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
    /// Does the run end with a question to its user?
    Question,
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
            Look::Question => QUESTION_ROWS,
        },
    };
    link.request("sessions.get", &params, outbox)
}

/// Returns true if the payload has no rows.
pub(crate) fn is_empty(payload: Option<&RawValue>) -> bool {
    let rows: Option<SessionRows<'_>> =
        payload.and_then(|payload| parse::from_str(payload.get()).ok());
    rows.is_none_or(|rows| rows.messages.is_empty())
}

/// The record of an earlier run in a session's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It ended. `text` is the whole answer, as the gateway would have streamed it. `question`: it
    /// ended with a question to the user.
    Answered {
        text: String,
        question: Option<String>,
        summary: RunSummary,
    },
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

/// The turn that follows a run in its session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The run's turn is the last one.
    Nothing,
    /// The id of the row with the next turn's message.
    Message(String),
    /// The rows do not show it.
    Unknown,
}

/// Finds the turn that follows a run in the rows of its session (protocol 4). `run` are its
/// [digits](RunId::digits).
pub(crate) fn turn_after(payload: Option<&RawValue>, run: &str) -> After {
    let rows: Option<SessionRows<'_>> =
        payload.and_then(|payload| parse::from_str(payload.get()).ok());
    let rows = rows.map(|rows| rows.messages).unwrap_or_default();
    let mut messages = rows.iter().filter_map(|row| {
        let row: SessionRow<'_> = parse::from_str(row.get()).unwrap_or_default();
        (row.role == "user" && !is_restart_recovery(&row)).then_some(row)
    });
    let own = messages.find(|row| {
        let key = row.idempotency_key.as_deref();
        let id = key.and_then(|key| key.strip_suffix(USER_ROW));
        id.is_some_and(|id| RunId::digits_of(id) == run)
    });
    match (own, messages.next()) {
        (None, _) => After::Unknown,
        (Some(_), None) => After::Nothing,
        (Some(_), Some(next)) => next
            .meta
            .map_or(After::Unknown, |meta| After::Message(meta.id.into_owned())),
    }
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
    let mut question = None;
    for row in rows {
        // A row that cannot be read may be a part of the answer.
        if row.role.is_empty() {
            return Recorded::Unreadable;
        }
        if question.is_some() && is_aborted(row) {
            // The run was stopped at its question.
            end = Recorded::Aborted;
            continue;
        }
        question = None;
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
                has_mask |= may_be_masked(&text);
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
            _ => {
                question = row.content.and_then(user_question::read);
                continue;
            }
        };
        if has_mask {
            return Recorded::Unreadable;
        }
        let answered = Recorded::Answered {
            text: texts.join(SEPARATOR),
            question: None,
            summary: RunSummary { finish, usage },
        };
        if finish == Finish::Length || !texts.is_empty() {
            return answered;
        }
        // The model answered nothing: the gateway may have asked it again.
        end = answered;
    }
    if question.is_some() && !has_mask {
        return Recorded::Answered {
            text: texts.join(SEPARATOR),
            question,
            summary: RunSummary {
                finish: Finish::Stop,
                usage,
            },
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

/// Returns true for the agent's row of a run that was stopped. The gateway may write one when it is
/// asked to stop the run, with the text up to there, which other rows may have, too. Source:
/// OpenClaw 2026.9.6, measured.
fn is_aborted(row: &SessionRow<'_>) -> bool {
    row.role == "assistant" && matches!(cut_of(row), Some(Recorded::Aborted))
}

/// The content of a session, compared with a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    pub held: Held,
    /// The time of the last row, if its turn has no end: milliseconds, by the gateway's clock.
    pub open_at_ms: Option<u64>,
}

/// The content of a session, compared with the turns that a client shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// It is empty.
    Nothing,
    /// The turns that both have.
    Same,
    /// The turns, and something that the client did not get: a message that a sub-agent sent after
    /// the run's end, or a summary instead of the older rows.
    Ahead,
    /// The last answer, and other messages before it or after it.
    Changed,
    /// Another conversation.
    Other,
}

impl Held {
    /// Returns true if it is not the conversation of the client.
    pub(crate) fn is_other(self) -> bool {
        matches!(self, Self::Changed | Self::Other)
    }
}

/// A turn of a session.
#[derive(Default)]
struct HeldTurn {
    message: Option<String>,
    /// The texts of the answer, the last one first.
    texts: Vec<String>,
    /// The texts among the first ones that came after the run's end.
    announced: usize,
    /// The first text is a question to the user, which a client that left did not get.
    has_question: bool,
    /// The time of its last row, unless it has ended.
    open_at_ms: Option<u64>,
    /// A row of the agent was read, so that an earlier one is not the turn's last.
    is_later: bool,
}

impl HeldTurn {
    /// Returns true if the client shows the answer.
    fn is_answered_by(&self, shown: &str) -> bool {
        self.is_whole(shown)
            || is_answer(shown, self.texts.get(self.announced..).unwrap_or_default())
            || (self.has_question && is_answer(shown, self.texts.get(1..).unwrap_or_default()))
    }

    /// Returns true if the client shows the answer with what came after the run's end.
    fn is_whole(&self, shown: &str) -> bool {
        is_answer(shown, &self.texts)
    }
}

/// Compares the session with the turns that the client shows, the last one first. `new` is the
/// message that the agent would get. `None`: the response cannot be read.
///
/// A session without an answer that is asked its only message again has `Changed`: the answer is
/// generated again.
pub(crate) fn compare(
    payload: Option<&RawValue>,
    shown: &[ShownTurn],
    new: &str,
) -> Option<Content> {
    let rows: SessionRows<'_> = parse::from_str(payload?.get()).ok()?;
    let mut is_whole = rows.messages.len() < ROWS as usize;
    let mut is_empty = true;
    let mut is_ahead = false;
    let mut is_over = false;
    let mut turns: Vec<HeldTurn> = Vec::new();
    let mut turn = HeldTurn::default();
    for row in rows.messages.iter().rev() {
        let row: SessionRow<'_> = parse::from_str(row.get()).unwrap_or_default();
        let meta = row.meta.as_ref();
        // Source: OpenClaw 2026.9.6, measured: a reset keeps the session's id and leaves this row.
        match meta.and_then(|meta| meta.kind.as_deref()) {
            Some("reset") => {
                is_whole = true;
                break;
            }
            Some("compaction") => is_ahead = true,
            _ => {}
        }
        is_empty = false;
        let question = question_of(&row).filter(|_| !turn.is_later);
        turn.is_later |= row.role == "assistant" && !is_aborted(&row);
        let ends = question.is_some()
            || cut_of(&row).is_some()
            || matches!(row.stop_reason.as_deref(), Some("stop" | "length"));
        is_over |= ends;
        if turns.is_empty() && turn.open_at_ms.is_none() {
            let at_ms = row.timestamp.and_then(|at| at.get().parse().ok());
            turn.open_at_ms = Some(at_ms.unwrap_or(u64::MAX));
        }
        if row.role == "user" && row.provenance.is_none() {
            turn.message = text_of(&row);
            turn.open_at_ms = turn.open_at_ms.filter(|_| !is_over);
            turns.push(std::mem::take(&mut turn));
            continue;
        }
        turn.has_question |= question.is_some();
        turn.texts.extend(question);
        if let Some(text) = answer_of(&row) {
            let is_announced = meta.is_some_and(|meta| {
                meta.run_id.starts_with(ANNOUNCE) || is_media_run(&meta.run_id)
            });
            turn.announced = turn
                .announced
                .saturating_add((is_announced && turn.announced == turn.texts.len()).into());
            turn.texts.push(text);
        }
    }
    if !turn.texts.is_empty() {
        turn.open_at_ms = turn.open_at_ms.filter(|_| !is_over);
        turns.push(turn);
    }
    let answered = turns.iter().position(|turn| !turn.texts.is_empty());
    let held = turns
        .get(answered.unwrap_or_default()..)
        .unwrap_or_default();
    let held = match (shown.first(), held.first()) {
        _ if is_empty => Held::Nothing,
        (None, Some(only)) if is_whole && turns.len() == 1 && only.has_message(new) => {
            Held::Changed
        }
        (None, _) => Held::Same,
        (Some(last), Some(turn)) if turn.is_answered_by(&last.answer) => {
            is_ahead |= turn.announced > 0 && !turn.is_whole(&last.answer);
            match answered == Some(0) && is_alike(shown, held) {
                true if is_ahead => Held::Ahead,
                true => Held::Same,
                false => Held::Changed,
            }
        }
        _ => Held::Other,
    };
    Some(Content {
        held,
        open_at_ms: turns.first().and_then(|turn| turn.open_at_ms),
    })
}

/// Returns true if the last turns that both have are the same. A message may hold a whole
/// conversation: then it must have the texts of the turns before it, in this order.
fn is_alike(shown: &[ShownTurn], held: &[HeldTurn]) -> bool {
    let mut pairs = shown.iter().zip(held).enumerate();
    pairs.all(|(index, (shown_turn, turn))| {
        let earlier = shown.get(index.saturating_add(1)..).unwrap_or_default();
        turn.is_answered_by(&shown_turn.answer) && turn.begins_with(&shown_turn.message, earlier)
    })
}

impl HeldTurn {
    /// Returns true if the turn's message is this one.
    fn has_message(&self, message: &str) -> bool {
        let held = self.message.as_deref().map(letters);
        held == Some(letters(message))
    }

    /// Returns true if the turn's message ends with the one that the client shows (the time stands
    /// before it on protocol 3), and has the
    /// earlier turns before it if it holds a whole conversation.
    fn begins_with(&self, shown: &str, earlier: &[ShownTurn]) -> bool {
        let Some(message) = &self.message else {
            return true;
        };
        let has_images = shown.contains(IMAGE)
            || earlier
                .iter()
                .any(|turn| turn.message.contains(IMAGE) || turn.answer.contains(IMAGE));
        let compact = |text: &str| {
            let letters = letters(text);
            if has_images {
                without_images(&letters)
            } else {
                letters
            }
        };
        let shown = compact(shown);
        if shown.is_empty() || is_masked(message) {
            return true;
        }
        let held = compact(message);
        let Some(before) = held.strip_suffix(&*shown) else {
            return false;
        };
        let before = match before.strip_suffix(DOCUMENTS_END) {
            Some(documents) => documents
                .rsplit_once(DOCUMENTS)
                .map_or(before, |(before, _)| before),
            None => before,
        };
        let is_border =
            before.is_empty() || before.ends_with([':', ']']) || before.contains(FRAME_END);
        let mut rest = before;
        let mut has = |text: &str| {
            let place = rest.rfind(&*compact(text));
            rest = place
                .and_then(|place| rest.get(..place))
                .unwrap_or_default();
            place.is_some()
        };
        is_border
            && (!before.contains(ASSISTANT)
                || earlier
                    .iter()
                    .all(|turn| has(&turn.answer) && has(&turn.message)))
    }
}

/// The beginning of an answer in a message that holds a whole conversation, without blanks.
const ASSISTANT: &str = "Assistant:";

/// The end of a client's instructions in a message, without blanks.
const FRAME_END: &str = "</client-instructions";

/// The begin and the end of the documents that Open WebUI (0.12) writes before its user's latest
/// message, and only before that. Without blanks.
const DOCUMENTS: &str = "###Task:";
const DOCUMENTS_END: &str = "</context";

/// Returns a message without blanks and the marks of quoted lines.
fn letters(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && *c != '>')
        .collect()
}

/// Returns the text of a row, if it is an answer that the model receives later.
fn answer_of(row: &SessionRow<'_>) -> Option<String> {
    if row.role != "assistant" || cut_of(row).is_some() {
        return None;
    }
    text_of(row)
}

/// Returns the question to the user that a row ends with.
fn question_of(row: &SessionRow<'_>) -> Option<String> {
    row.content
        .filter(|_| row.role == "assistant" && cut_of(row).is_none())
        .and_then(user_question::read)
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
    is_text_same(shown, held) || without_files(shown).is_some_and(|rest| is_text_same(rest, held))
}

/// Begins our own text about files.
pub(crate) const NOTICE: &str = "The agent produced ";

/// Returns the text before the lines at its end that stand for files, if there are any: the row has
/// directives there.
fn without_files(shown: &str) -> Option<&str> {
    let mut rest = shown.trim_end();
    while let Some(line) = rest.rsplit('\n').next() {
        let is_link = line.trim_start_matches('!').starts_with('[') && line.ends_with([')', ']']);
        if !is_link && !line.starts_with(NOTICE) {
            break;
        }
        rest = rest.strip_suffix(line)?.trim_end();
    }
    (rest.len() < shown.trim_end().len()).then_some(rest)
}

fn is_text_same(shown: &str, held: &str) -> bool {
    let masked = is_masked(held);
    let [shown, held] = [shown, &as_streamed(held)].map(Compact::of);
    if held.letters.is_empty() {
        return shown.letters.is_empty();
    }
    shown.letters == held.letters
        || shown.has_part(&held)
        || held.has_part(&shown)
        || (masked && is_masked_version(&shown, &held.letters))
}

/// Returns true if the client's answer has these texts, or the last of them, which is the first.
fn is_answer(shown: &str, texts: &[String]) -> bool {
    texts.first().is_some_and(|last| is_same(shown, last))
        || is_turn(shown, texts)
        || without_files(shown).is_some_and(|rest| is_turn(rest, texts))
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

/// Replaces a secret of less than 18 characters. Source: OpenClaw 2026.9.6, `logging/redact`, read.
const SHORT_MASK: &str = "***";

/// Replaces the lines of a private key.
const KEY_MASK: &str = "\n…redacted…\n";

/// Returns true if the text may not be the model's own: no answer is taken from it.
fn may_be_masked(text: &str) -> bool {
    text.contains(SHORT_MASK) || text.contains(KEY_MASK) || is_masked(text)
}

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
