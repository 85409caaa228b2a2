//! A response of the Responses API, written for the client: as server-sent events, or as one object.
//!
//! Source of the shapes: OpenAI's API reference (`response`, its streaming events) and what the official SDKs, Codex and the Agents SDK
//! decode. Events have an `event:` line, as OpenAI's have: `data` says the same in its `type`, which is what all of those read.

use serde::Serialize;

use super::completion::write_json;
use crate::error::ErrorBody;
use crate::sse;
use crate::turn::{Answer, Finish, Usage};

/// One response, and what was said so far.
#[derive(Debug, Clone)]
pub struct Response {
    is_stream: bool,
    id: String,
    /// What the ids of its items end in.
    unique: String,
    previous: Option<String>,
    model: String,
    created_s: u64,
    /// Of the next event.
    sequence: u64,
    items: Vec<Item>,
}

/// One of `output`: a stretch of the answer, or of what the model thinks.
#[derive(Debug, Clone)]
struct Item {
    kind: Kind,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message,
    Reasoning,
}

impl Kind {
    /// What its events are called after, and its part's type.
    fn part(self) -> &'static str {
        match self {
            Self::Message => "output_text",
            Self::Reasoning => "reasoning_text",
        }
    }
}

/// How far a response or an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// How a response ended.
#[derive(Debug, Clone, Copy)]
enum End<'a> {
    Answer(&'a Answer),
    Error(&'a ErrorBody),
}

impl Response {
    /// `created_s` is in seconds since the Unix epoch; `model` is echoed; `unique` is of no other response.
    pub fn new(
        is_stream: bool,
        id: String,
        unique: String,
        previous: Option<String>,
        model: String,
        created_s: u64,
    ) -> Self {
        Self {
            is_stream,
            id,
            unique,
            previous,
            model,
            created_s,
            sequence: 0,
            items: Vec::new(),
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// The first events.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>) {
        if self.is_stream {
            self.event("response.created", out, &|this, out| this.write_response(None, out));
            self.event("response.in_progress", out, &|this, out| this.write_response(None, out));
        }
    }

    /// The next piece of the answer.
    pub(super) fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        self.say(Kind::Message, text, out);
    }

    /// The next piece of what the model thinks.
    pub(super) fn thought(&mut self, thought: &str, out: &mut Vec<u8>) {
        self.say(Kind::Reasoning, thought, out);
    }

    /// The end of an answer that is complete, or as long as the model may make it.
    pub(super) fn finish(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        // An answer without a word is a message all the same.
        if !self.items.iter().any(|item| item.kind == Kind::Message) {
            self.open(Kind::Message, out);
        }
        let status = match answer.finish {
            Finish::Stop => Status::Completed,
            Finish::Length => Status::Incomplete,
        };
        self.close(status, out);
        self.end(End::Answer(answer), out);
    }

    /// The end of an answer whose head was sent, and that broke off. In a stream that is two events, as OpenAI sends them: `error`, on
    /// which the official SDKs throw, and `response.failed`, which Codex reads.
    pub(super) fn fail(&mut self, error: &ErrorBody, out: &mut Vec<u8>) {
        if self.is_stream {
            self.event("error", out, &|_, out| {
                out.extend_from_slice(br#""code":"#);
                write_json(out, error.code);
                out.extend_from_slice(br#","message":"#);
                write_json(out, &error.message);
                out.extend_from_slice(br#","param":"#);
                write_json(out, &error.param);
                out.extend_from_slice(br#","error":"#);
                write_json(out, error);
            });
        }
        self.end(End::Error(error), out);
    }

    fn end(&mut self, end: End<'_>, out: &mut Vec<u8>) {
        if self.is_stream {
            let name = match status(Some(end)) {
                Status::Failed => "response.failed",
                Status::Incomplete => "response.incomplete",
                _ => "response.completed",
            };
            self.event(name, out, &|this, out| this.write_response(Some(end), out));
        } else {
            self.write_object(Some(end), out);
        }
    }

    fn say(&mut self, kind: Kind, text: &str, out: &mut Vec<u8>) {
        if self.items.last().is_none_or(|item| item.kind != kind) {
            self.close(Status::Completed, out);
            self.open(kind, out);
        }
        if let Some(item) = self.items.last_mut() {
            item.text.push_str(text);
        }
        self.part_event(kind, "delta", out, &|out| {
            out.extend_from_slice(br#""delta":"#);
            write_json(out, text);
        });
    }

    fn open(&mut self, kind: Kind, out: &mut Vec<u8>) {
        self.items.push(Item {
            kind,
            text: String::new(),
        });
        self.item_event("response.output_item.added", Status::InProgress, out);
        self.content_event("response.content_part.added", "", out);
    }

    /// Says that the last item is complete.
    fn close(&mut self, status: Status, out: &mut Vec<u8>) {
        let Some(Item { kind, text }) = self.items.last().cloned().filter(|_| self.is_stream) else {
            return;
        };
        self.part_event(kind, "done", out, &|out| {
            out.extend_from_slice(br#""text":"#);
            write_json(out, &text);
        });
        self.content_event("response.content_part.done", &text, out);
        self.item_event("response.output_item.done", status, out);
    }

    /// An event about the last item.
    fn item_event(&mut self, name: &str, status: Status, out: &mut Vec<u8>) {
        self.event(name, out, &|this, out| {
            out.extend_from_slice(br#""output_index":"#);
            write_json(out, &this.last_index());
            out.extend_from_slice(br#","item":"#);
            if let Some(item) = this.items.last() {
                this.write_item(this.last_index(), item, status, out);
            }
        });
    }

    /// An event about the content of the last item.
    fn content_event(&mut self, name: &str, text: &str, out: &mut Vec<u8>) {
        self.event(name, out, &|this, out| {
            this.write_place(out);
            out.extend_from_slice(br#","part":"#);
            if let Some(item) = this.items.last() {
                write_part(item.kind, text, out);
            }
        });
    }

    /// An event about the text of the last item.
    fn part_event(&mut self, kind: Kind, what: &str, out: &mut Vec<u8>, write: &dyn Fn(&mut Vec<u8>)) {
        let name = ["response.", kind.part(), ".", what].concat();
        self.event(&name, out, &|this, out| {
            this.write_place(out);
            out.push(b',');
            write(out);
            if kind == Kind::Message {
                out.extend_from_slice(br#","logprobs":[]"#);
            }
        });
    }

    /// Writes one event, if somebody hears it.
    fn event(&mut self, name: &str, out: &mut Vec<u8>, write: &dyn Fn(&Self, &mut Vec<u8>)) {
        if !self.is_stream {
            return;
        }
        let sequence = self.sequence;
        self.sequence = sequence.saturating_add(1);
        sse::named(out, name, |out| {
            out.extend_from_slice(br#"{"type":"#);
            write_json(out, name);
            out.extend_from_slice(br#","sequence_number":"#);
            write_json(out, &sequence);
            out.push(b',');
            write(self, out);
            out.push(b'}');
        });
    }

    fn last_index(&self) -> usize {
        self.items.len().saturating_sub(1)
    }

    fn item_id(&self, index: usize, kind: Kind) -> String {
        let prefix = match kind {
            Kind::Message => "msg",
            Kind::Reasoning => "rs",
        };
        format!("{prefix}_{}_{index}", self.unique)
    }

    /// Where the last item's text is.
    fn write_place(&self, out: &mut Vec<u8>) {
        let index = self.last_index();
        let kind = self.items.last().map_or(Kind::Message, |item| item.kind);
        out.extend_from_slice(br#""item_id":"#);
        write_json(out, &self.item_id(index, kind));
        out.extend_from_slice(br#","output_index":"#);
        write_json(out, &index);
        out.extend_from_slice(br#","content_index":0"#);
    }

    fn write_item(&self, index: usize, item: &Item, status: Status, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"id":"#);
        write_json(out, &self.item_id(index, item.kind));
        out.extend_from_slice(match item.kind {
            Kind::Message => br#","type":"message","role":"assistant","status":"#,
            Kind::Reasoning => br#","type":"reasoning","summary":[],"status":"#,
        });
        write_json(out, status.name());
        out.extend_from_slice(br#","content":["#);
        if status != Status::InProgress {
            write_part(item.kind, &item.text, out);
        }
        out.extend_from_slice(b"]}");
    }

    fn write_response(&self, end: Option<End<'_>>, out: &mut Vec<u8>) {
        out.extend_from_slice(br#""response":"#);
        self.write_object(end, out);
    }

    fn write_object(&self, end: Option<End<'_>>, out: &mut Vec<u8>) {
        let status = status(end);
        out.extend_from_slice(br#"{"id":"#);
        write_json(out, &self.id);
        out.extend_from_slice(br#","object":"response","created_at":"#);
        write_json(out, &self.created_s);
        out.extend_from_slice(br#","status":"#);
        write_json(out, status.name());
        out.extend_from_slice(br#","error":"#);
        match end {
            Some(End::Error(error)) => {
                out.extend_from_slice(br#"{"code":"#);
                write_json(out, error.code);
                out.extend_from_slice(br#","message":"#);
                write_json(out, &error.message);
                out.push(b'}');
            }
            _ => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(match status {
            Status::Incomplete => br#","incomplete_details":{"reason":"max_output_tokens"},"model":"#.as_slice(),
            _ => br#","incomplete_details":null,"model":"#,
        });
        write_json(out, &self.model);
        out.extend_from_slice(br#","previous_response_id":"#);
        write_json(out, &self.previous);
        out.extend_from_slice(br#","output":["#);
        if end.is_some() {
            self.write_items(status, out);
        }
        out.extend_from_slice(br#"],"usage":"#);
        match end {
            Some(End::Answer(answer)) => write_json(out, &UsageObject::from(&answer.usage)),
            _ => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(ALWAYS);
    }

    /// All items; all but the last are complete.
    fn write_items(&self, status: Status, out: &mut Vec<u8>) {
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let is_cut = index == self.last_index() && status != Status::Completed;
            let status = if is_cut { Status::Incomplete } else { Status::Completed };
            self.write_item(index, item, status, out);
        }
    }
}

/// What is the same in every response: nothing of it can be chosen. `instructions` are not echoed.
const ALWAYS: &[u8] = br#","background":false,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"metadata":{},"parallel_tool_calls":true,"reasoning":{"effort":null,"summary":null},"store":false,"temperature":null,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":null,"truncation":"disabled"}"#;

fn status(end: Option<End<'_>>) -> Status {
    match end {
        None => Status::InProgress,
        Some(End::Error(_)) => Status::Failed,
        Some(End::Answer(answer)) => match answer.finish {
            Finish::Stop => Status::Completed,
            Finish::Length => Status::Incomplete,
        },
    }
}

fn write_part(kind: Kind, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"type":"#);
    write_json(out, kind.part());
    out.extend_from_slice(br#","text":"#);
    write_json(out, text);
    if kind == Kind::Message {
        out.extend_from_slice(br#","annotations":[],"logprobs":[]"#);
    }
    out.push(b'}');
}

#[derive(Serialize)]
struct UsageObject {
    input_tokens: u64,
    input_tokens_details: InputTokensDetails,
    output_tokens: u64,
    output_tokens_details: OutputTokensDetails,
    total_tokens: u64,
}

#[derive(Serialize)]
struct InputTokensDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

/// The gateway does not tell them apart.
#[derive(Serialize)]
struct OutputTokensDetails {
    reasoning_tokens: u64,
}

impl From<&Usage> for UsageObject {
    fn from(usage: &Usage) -> Self {
        Self {
            input_tokens: usage.prompt,
            input_tokens_details: InputTokensDetails {
                cached_tokens: usage.cached,
                cache_write_tokens: usage.cache_written,
            },
            output_tokens: usage.completion,
            output_tokens_details: OutputTokensDetails { reasoning_tokens: 0 },
            total_tokens: usage.prompt.saturating_add(usage.completion),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Failure;

    const ANSWER: Answer = Answer {
        finish: Finish::Stop,
        usage: Usage {
            prompt: 1001,
            cached: 100,
            cache_written: 7,
            completion: 2,
        },
    };

    const IN_PROGRESS: &str = r#"{"id":"resp_1","object":"response","created_at":1795374174,"status":"in_progress","error":null,"incomplete_details":null,"model":"main","previous_response_id":"resp_0","output":[],"usage":null,"#;
    const REST: &str = r#""background":false,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"metadata":{},"parallel_tool_calls":true,"reasoning":{"effort":null,"summary":null},"store":false,"temperature":null,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":null,"truncation":"disabled"}"#;
    const USAGE: &str = r#""usage":{"input_tokens":1001,"input_tokens_details":{"cached_tokens":100,"cache_write_tokens":7},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":1003},"#;

    fn response(is_stream: bool) -> Response {
        Response::new(
            is_stream,
            "resp_1".into(),
            "1".into(),
            Some("resp_0".into()),
            "main".into(),
            1_795_374_174,
        )
    }

    fn written(is_stream: bool, write: impl FnOnce(&mut Response, &mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut response(is_stream), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn begun() -> String {
        format!(
            "event: response.created\ndata: {{\"type\":\"response.created\",\"sequence_number\":0,\"response\":{IN_PROGRESS}{REST}}}\n\n\
             event: response.in_progress\ndata: {{\"type\":\"response.in_progress\",\"sequence_number\":1,\"response\":{IN_PROGRESS}{REST}}}\n\n"
        )
    }

    #[test]
    fn events_are_written_as_openai_writes_them() {
        let stream = written(true, |response, out| {
            response.begin(out);
            response.text("w0 \"ü\"\n", out);
            sse::ping(out);
            response.text("w1", out);
            response.finish(&ANSWER, out);
        });
        let events = concat!(
            "event: response.output_item.added\n",
            r#"data: {"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"msg_1_0","type":"message","role":"assistant","status":"in_progress","content":[]}}"#,
            "\n\nevent: response.content_part.added\n",
            r#"data: {"type":"response.content_part.added","sequence_number":3,"item_id":"msg_1_0","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}"#,
            "\n\nevent: response.output_text.delta\n",
            r#"data: {"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1_0","output_index":0,"content_index":0,"delta":"w0 \"ü\"\n","logprobs":[]}"#,
            "\n\n: ping\nevent: response.output_text.delta\n",
            r#"data: {"type":"response.output_text.delta","sequence_number":5,"item_id":"msg_1_0","output_index":0,"content_index":0,"delta":"w1","logprobs":[]}"#,
            "\n\nevent: response.output_text.done\n",
            r#"data: {"type":"response.output_text.done","sequence_number":6,"item_id":"msg_1_0","output_index":0,"content_index":0,"text":"w0 \"ü\"\nw1","logprobs":[]}"#,
            "\n\nevent: response.content_part.done\n",
            r#"data: {"type":"response.content_part.done","sequence_number":7,"item_id":"msg_1_0","output_index":0,"content_index":0,"part":{"type":"output_text","text":"w0 \"ü\"\nw1","annotations":[],"logprobs":[]}}"#,
            "\n\nevent: response.output_item.done\n",
            r#"data: {"type":"response.output_item.done","sequence_number":8,"output_index":0,"item":{"id":"msg_1_0","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"w0 \"ü\"\nw1","annotations":[],"logprobs":[]}]}}"#,
            "\n\nevent: response.completed\n",
            r#"data: {"type":"response.completed","sequence_number":9,"response":{"id":"resp_1","object":"response","created_at":1795374174,"status":"completed","error":null,"incomplete_details":null,"model":"main","previous_response_id":"resp_0","output":[{"id":"msg_1_0","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"w0 \"ü\"\nw1","annotations":[],"logprobs":[]}]}],"#,
        );
        assert_eq!(stream, format!("{}{events}{USAGE}{REST}}}\n\n", begun()));
    }

    #[test]
    fn a_whole_response_is_one_object() {
        let whole = written(false, |response, out| {
            response.begin(out);
            response.thought("hm", out);
            response.text("w0", out);
            response.text(" w1", out);
            assert!(out.is_empty());
            response.finish(
                &Answer {
                    finish: Finish::Length,
                    ..ANSWER
                },
                out,
            );
        });
        let before = concat!(
            r#"{"id":"resp_1","object":"response","created_at":1795374174,"status":"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"},"model":"main","previous_response_id":"resp_0","#,
            r#""output":[{"id":"rs_1_0","type":"reasoning","summary":[],"status":"completed","content":[{"type":"reasoning_text","text":"hm"}]},"#,
            r#"{"id":"msg_1_1","type":"message","role":"assistant","status":"incomplete","content":[{"type":"output_text","text":"w0 w1","annotations":[],"logprobs":[]}]}],"#,
        );
        assert_eq!(whole, format!("{before}{USAGE}{REST}"));
    }

    #[test]
    fn thoughts_are_items_of_their_own() {
        let stream = written(true, |response, out| {
            response.thought("hm", out);
            response.text("yes", out);
        });
        assert_eq!(
            stream,
            concat!(
                "event: response.output_item.added\n",
                r#"data: {"type":"response.output_item.added","sequence_number":0,"output_index":0,"item":{"id":"rs_1_0","type":"reasoning","summary":[],"status":"in_progress","content":[]}}"#,
                "\n\nevent: response.content_part.added\n",
                r#"data: {"type":"response.content_part.added","sequence_number":1,"item_id":"rs_1_0","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":""}}"#,
                "\n\nevent: response.reasoning_text.delta\n",
                r#"data: {"type":"response.reasoning_text.delta","sequence_number":2,"item_id":"rs_1_0","output_index":0,"content_index":0,"delta":"hm"}"#,
                "\n\nevent: response.reasoning_text.done\n",
                r#"data: {"type":"response.reasoning_text.done","sequence_number":3,"item_id":"rs_1_0","output_index":0,"content_index":0,"text":"hm"}"#,
                "\n\nevent: response.content_part.done\n",
                r#"data: {"type":"response.content_part.done","sequence_number":4,"item_id":"rs_1_0","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":"hm"}}"#,
                "\n\nevent: response.output_item.done\n",
                r#"data: {"type":"response.output_item.done","sequence_number":5,"output_index":0,"item":{"id":"rs_1_0","type":"reasoning","summary":[],"status":"completed","content":[{"type":"reasoning_text","text":"hm"}]}}"#,
                "\n\nevent: response.output_item.added\n",
                r#"data: {"type":"response.output_item.added","sequence_number":6,"output_index":1,"item":{"id":"msg_1_1","type":"message","role":"assistant","status":"in_progress","content":[]}}"#,
                "\n\nevent: response.content_part.added\n",
                r#"data: {"type":"response.content_part.added","sequence_number":7,"item_id":"msg_1_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}"#,
                "\n\nevent: response.output_text.delta\n",
                r#"data: {"type":"response.output_text.delta","sequence_number":8,"item_id":"msg_1_1","output_index":1,"content_index":0,"delta":"yes","logprobs":[]}"#,
                "\n\n",
            )
        );
    }

    #[test]
    fn a_broken_response_ends_with_an_error_and_as_failed() {
        let error = Failure::Aborted.reply().body;
        let stream = written(true, |response, out| response.fail(&error, out));
        let failed = r#"{"id":"resp_1","object":"response","created_at":1795374174,"status":"failed","error":{"code":"run_aborted","message":"The agent's run was stopped before it finished."},"incomplete_details":null,"model":"main","previous_response_id":"resp_0","#;
        let events = concat!(
            "event: error\n",
            r#"data: {"type":"error","sequence_number":0,"code":"run_aborted","message":"The agent's run was stopped before it finished.","param":null,"error":{"message":"The agent's run was stopped before it finished.","type":"api_error","param":null,"code":"run_aborted"}}"#,
            "\n\nevent: response.failed\ndata: ",
            r#"{"type":"response.failed","sequence_number":1,"response":"#,
        );
        assert_eq!(
            stream,
            format!("{events}{failed}\"output\":[],\"usage\":null,{REST}}}\n\n")
        );
        let whole = written(false, |response, out| {
            response.text("w0", out);
            response.fail(&error, out);
        });
        let output = r#""output":[{"id":"msg_1_0","type":"message","role":"assistant","status":"incomplete","content":[{"type":"output_text","text":"w0","annotations":[],"logprobs":[]}]}],"usage":null,"#;
        assert_eq!(whole, format!("{failed}{output}{REST}"));
    }

    #[test]
    fn an_answer_without_a_word_is_a_message_all_the_same() {
        let whole = written(false, |response, out| response.finish(&ANSWER, out));
        assert!(
            whole.contains(r#""output":[{"id":"msg_1_0","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"","annotations":[],"logprobs":[]}]}]"#),
            "{whole}"
        );
    }
}
