//! A chat completion, written for the client: as server-sent chunks, or as one object.
//!
//! Source of the shapes: OpenAI's API reference (`chat.completion`, `chat.completion.chunk`) and what the official SDKs decode.

use serde::Serialize;

use crate::error::ErrorBody;
use crate::sse;
use crate::turn::{Answer, Finish, Usage};

/// How the client wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Server-sent events.
    Chunks { include_usage: bool },
    /// One JSON object.
    Whole,
}

/// What all parts of one answer have in common, and its text so far where the client waits for the whole.
#[derive(Debug, Clone)]
pub struct Completion {
    form: Form,
    id: String,
    model: String,
    created_s: u64,
    /// All that stands before the text in a chunk that carries some.
    chunk_head: Vec<u8>,
    /// Of [`Form::Whole`].
    text: String,
    /// The same.
    thoughts: String,
}

const CHUNK_TAIL: &[u8] = b"},\"finish_reason\":null}]}";

impl Completion {
    /// `created_s` is in seconds since the Unix epoch; `model` is echoed.
    pub fn new(form: Form, id: String, model: String, created_s: u64) -> Self {
        let mut completion = Self {
            form,
            id,
            model,
            created_s,
            chunk_head: Vec::new(),
            text: String::new(),
            thoughts: String::new(),
        };
        if form != Form::Whole {
            let mut head = Vec::new();
            completion.write_chunk_fields(&mut head);
            head.extend_from_slice(br#""choices":[{"index":0,"delta":{"content":"#);
            completion.chunk_head = head;
        }
        completion
    }

    pub(super) fn is_stream(&self) -> bool {
        self.form != Form::Whole
    }

    /// The first chunk.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        if self.form == Form::Whole {
            return;
        }
        sse::data(out, |out| {
            self.write_chunk_fields(out);
            out.extend_from_slice(
                br#""choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            );
        });
    }

    /// The next piece of the text.
    pub(super) fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if self.form == Form::Whole {
            self.text.push_str(text);
            return;
        }
        sse::data(out, |out| {
            out.extend_from_slice(&self.chunk_head);
            write_json(out, text);
            out.extend_from_slice(CHUNK_TAIL);
        });
    }

    /// The next piece of what the model thinks, in the field that DeepSeek's API introduced and most clients read.
    pub(super) fn thought(&mut self, thought: &str, out: &mut Vec<u8>) {
        if self.form == Form::Whole {
            self.thoughts.push_str(thought);
            return;
        }
        sse::data(out, |out| {
            self.write_chunk_fields(out);
            out.extend_from_slice(br#""choices":[{"index":0,"delta":{"reasoning_content":"#);
            write_json(out, thought);
            out.extend_from_slice(CHUNK_TAIL);
        });
    }

    /// The end of an answer that is complete.
    pub(super) fn finish(&self, answer: &Answer, out: &mut Vec<u8>) {
        let finish_reason = match answer.finish {
            Finish::Stop => "stop",
            Finish::Length => "length",
        };
        let Form::Chunks { include_usage } = self.form else {
            write_json(
                out,
                &Whole {
                    id: &self.id,
                    object: "chat.completion",
                    created: self.created_s,
                    model: &self.model,
                    choices: [Choice {
                        index: 0,
                        message: Message {
                            role: "assistant",
                            content: &self.text,
                            reasoning_content: (!self.thoughts.is_empty()).then_some(&self.thoughts),
                            refusal: None,
                        },
                        logprobs: None,
                        finish_reason,
                    }],
                    usage: UsageObject::from(&answer.usage),
                },
            );
            return;
        };
        sse::data(out, |out| {
            self.write_chunk_fields(out);
            out.extend_from_slice(br#""choices":[{"index":0,"delta":{},"finish_reason":"#);
            write_json(out, finish_reason);
            out.extend_from_slice(b"}]}");
        });
        if include_usage {
            sse::data(out, |out| {
                self.write_chunk_fields(out);
                out.extend_from_slice(br#""choices":[],"usage":"#);
                write_json(out, &UsageObject::from(&answer.usage));
                out.push(b'}');
            });
        }
        sse::done(out);
    }

    /// The end of an answer whose head was sent, and that broke off. Under the status 200 it is the error object all the same: a
    /// body that just breaks off makes the official Python SDK send the request again, and that would run the agent again.
    pub(super) fn fail(&self, error: &ErrorBody, out: &mut Vec<u8>) {
        if self.form == Form::Whole {
            write_error(error, out);
            return;
        }
        sse::data(out, |out| write_error(error, out));
        sse::done(out);
    }

    /// `{"id":…,"object":…,"created":…,"model":…,`
    fn write_chunk_fields(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"id":"#);
        write_json(out, &self.id);
        out.extend_from_slice(br#","object":"chat.completion.chunk","created":"#);
        write_json(out, &self.created_s);
        out.extend_from_slice(br#","model":"#);
        write_json(out, &self.model);
        out.push(b',');
    }
}

/// `{"error":{…}}`, the body of every error.
pub(crate) fn write_error(error: &ErrorBody, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"error":"#);
    write_json(out, error);
    out.push(b'}');
}

pub(super) fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Into memory, of types whose serialisation cannot fail.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

#[derive(Serialize)]
struct Whole<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: UsageObject,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a String>,
    refusal: Option<()>,
}

#[derive(Serialize)]
struct UsageObject {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptTokensDetails,
}

#[derive(Serialize)]
struct PromptTokensDetails {
    cached_tokens: u64,
}

impl From<&Usage> for UsageObject {
    fn from(usage: &Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt,
            completion_tokens: usage.completion,
            total_tokens: usage.prompt.saturating_add(usage.completion),
            prompt_tokens_details: PromptTokensDetails {
                cached_tokens: usage.cached,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: Answer = Answer {
        finish: Finish::Stop,
        usage: Usage {
            prompt: 1001,
            cached: 100,
            cache_written: 0,
            completion: 2,
        },
    };

    fn completion(form: Form) -> Completion {
        Completion::new(form, "chatcmpl-1".into(), "openclaw/\"x\"".into(), 1_795_374_174)
    }

    #[test]
    fn chunks_are_written_as_openai_writes_them() {
        let mut completion = completion(Form::Chunks { include_usage: true });
        let mut out = Vec::new();
        completion.begin(&mut out);
        completion.text("w0 \"ü\"\n", &mut out);
        completion.finish(&ANSWER, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795374174,"model":"openclaw/\"x\"","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
                "\n\n",
                r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795374174,"model":"openclaw/\"x\"","choices":[{"index":0,"delta":{"content":"w0 \"ü\"\n"},"finish_reason":null}]}"#,
                "\n\n",
                r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795374174,"model":"openclaw/\"x\"","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
                "\n\n",
                r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795374174,"model":"openclaw/\"x\"","choices":[],"usage":{"prompt_tokens":1001,"completion_tokens":2,"total_tokens":1003,"prompt_tokens_details":{"cached_tokens":100}}}"#,
                "\n\ndata: [DONE]\n\n",
            )
        );
    }

    #[test]
    fn a_whole_completion_is_one_object() {
        let mut completion = completion(Form::Whole);
        let mut out = Vec::new();
        completion.begin(&mut out);
        completion.text("w0", &mut out);
        completion.text(" w1", &mut out);
        assert!(out.is_empty());
        completion.finish(
            &Answer {
                finish: Finish::Length,
                ..ANSWER
            },
            &mut out,
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"id":"chatcmpl-1","object":"chat.completion","created":1795374174,"model":"openclaw/\"x\"","choices":[{"index":0,"message":{"role":"assistant","content":"w0 w1","refusal":null},"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":1001,"completion_tokens":2,"total_tokens":1003,"prompt_tokens_details":{"cached_tokens":100}}}"#
        );
    }

    #[test]
    fn thoughts_are_apart_from_the_answer() {
        let mut completion = completion(Form::Chunks { include_usage: false });
        let mut out = Vec::new();
        completion.thought("hm", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795374174,"model":"openclaw/\"x\"","choices":[{"index":0,"delta":{"reasoning_content":"hm"},"finish_reason":null}]}"#,
                "\n\n"
            )
        );
        let mut completion = self::completion(Form::Whole);
        let mut out = Vec::new();
        completion.thought("h", &mut out);
        completion.thought("m", &mut out);
        completion.text("yes", &mut out);
        completion.finish(&ANSWER, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains(r#""message":{"role":"assistant","content":"yes","reasoning_content":"hm","refusal":null}"#),
            "{text}"
        );
    }

    #[test]
    fn a_broken_answer_ends_with_an_error_event_and_done() {
        let mut out = Vec::new();
        completion(Form::Chunks { include_usage: true }).fail(&crate::error::Failure::Aborted.reply().body, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"data: {"error":{"message":"The agent's run was stopped before it finished.","type":"api_error","param":null,"code":"run_aborted"}}"#,
                "\n\ndata: [DONE]\n\n",
            )
        );
    }
}
