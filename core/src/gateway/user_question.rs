//! The question that an agent asks its user (`ask_user`), as the rows of its session show it.
//!
//! The tool waits for an answer for a quarter of an hour or longer, and only a client with
//! `operator.questions` may give one. So the question becomes the end of the answer, the run is
//! stopped, and the client's next message is the answer: the agent sees it after its own question.
//!
//! Source: OpenClaw 2026.9.6, `ask-user-tool-normalization`, read; rows measured. 2026.3.13 does not
//! have the tool.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::gateway::answer::SEPARATOR;
use crate::gateway::media::without_directives;
use crate::parse::{self, object};

/// The gateway's tool that asks its user a question.
pub(crate) const TOOL: &str = "ask_user";

/// The gateway's tool that calls another one, which the model does not see.
const CALLER: &str = "tool_call";

/// Longest text of a question in bytes: the gateway takes 3 questions of a sentence, with 4 short
/// choices each.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// A part of a row's content.
#[derive(Default)]
struct Part<'a> {
    name: Cow<'a, str>,
    arguments: Option<&'a RawValue>,
}

object!(Part<'_>, [], [name, arguments]);

/// The arguments of either tool.
#[derive(Default)]
struct Arguments<'a> {
    questions: Vec<Asked<'a>>,
    /// The name of the tool that is called.
    id: Cow<'a, str>,
    args: Option<&'a RawValue>,
}

object!(Arguments<'_>, [], [questions, id, args]);

#[derive(Default)]
struct Asked<'a> {
    question: Cow<'a, str>,
    options: Vec<Choice<'a>>,
}

object!(Asked<'_>, [question], [options]);

#[derive(Default)]
struct Choice<'a> {
    label: Cow<'a, str>,
    description: Cow<'a, str>,
}

object!(Choice<'_>, [label], [description]);

/// Returns the text for the question in the content of an agent's row, if it is the row's only call
/// of a tool: another one may still be at work.
pub(crate) fn read(content: &RawValue) -> Option<String> {
    let parts: Vec<Part<'_>> = parse::from_str(content.get()).ok()?;
    let mut calls = parts.iter().filter(|part| part.arguments.is_some());
    let (Some(part), None) = (calls.next(), calls.next()) else {
        return None;
    };
    let mut arguments: Arguments<'_> = parse::from_str(part.arguments?.get()).ok()?;
    if part.name == CALLER && arguments.id == TOOL {
        arguments = parse::from_str(arguments.args?.get()).ok()?;
    } else if part.name != TOOL {
        return None;
    }
    let text = without_directives(&write(&arguments.questions));
    (!text.trim().is_empty() && text.len() <= MAX_TEXT_BYTES).then_some(text)
}

/// Writes the questions, each with its choices as a numbered list.
fn write(questions: &[Asked<'_>]) -> String {
    let mut text = String::new();
    for asked in questions {
        if !text.is_empty() {
            text.push_str(SEPARATOR);
        }
        text.push_str(asked.question.trim());
        let mut before = SEPARATOR;
        for (choice, number) in asked.options.iter().zip(1_u32..) {
            text.push_str(before);
            text.push_str(&number.to_string());
            text.push_str(". ");
            text.push_str(choice.label.trim());
            if !choice.description.trim().is_empty() {
                text.push_str(": ");
                text.push_str(choice.description.trim());
            }
            before = "\n";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(content: &str) -> Option<String> {
        read(parse::from_str(content).unwrap())
    }

    const QUESTIONS: &str = r#"{"questions":[{"id":"a","header":"A","question":" Where to? ","options":[{"label":"Here","description":"it is safe"},{"label":"There"}]},{"id":"b","header":"B","question":"When?","options":[]}]}"#;

    #[test]
    fn a_question_is_a_text_with_its_choices() {
        let expected = "Where to?\n\n1. Here: it is safe\n2. There\n\nWhen?";
        let direct = format!(
            r#"[{{"type":"text","text":"Hm."}},{{"type":"toolCall","name":"ask_user","arguments":{QUESTIONS}}}]"#
        );
        assert_eq!(text(&direct).as_deref(), Some(expected));
        let called = format!(
            r#"[{{"type":"toolCall","name":"tool_call","arguments":{{"id":"ask_user","args":{QUESTIONS}}}}}]"#
        );
        assert_eq!(text(&called).as_deref(), Some(expected));
    }

    #[test]
    fn other_rows_ask_nothing() {
        for content in [
            r#""ask_user""#,
            "[]",
            r#"[{"type":"text","text":"Where to?"}]"#,
            r#"[{"name":"exec","arguments":{"command":"ls"}}]"#,
            r#"[{"name":"tool_call","arguments":{"id":"exec","args":{"questions":[{"question":"?"}]}}}]"#,
            r#"[{"name":"ask_user","arguments":"Where to?"}]"#,
            r#"[{"name":"ask_user","arguments":{"questions":[]}}]"#,
            r#"[{"name":"ask_user","arguments":{"questions":[{"question":" "}]}}]"#,
            r#"[{"name":"ask_user"}]"#,
            r#"[{"name":"ask_user","arguments":{"questions":[{"question":"?"}]}},{"name":"exec","arguments":{}}]"#,
        ] {
            assert_eq!(text(content), None, "{content}");
        }
        let long = "x".repeat(MAX_TEXT_BYTES);
        for (question, is_read) in [(&*long, true), (&format!("{long}x"), false)] {
            let content = format!(
                r#"[{{"name":"ask_user","arguments":{{"questions":[{{"question":"{question}"}}]}}}}]"#
            );
            assert_eq!(text(&content).is_some(), is_read);
        }
    }

    #[test]
    fn a_question_names_no_path_of_the_host() {
        let content = r#"[{"name":"ask_user","arguments":{"questions":[{"question":"This one?\nMEDIA:/srv/host.png"}]}}]"#;
        assert_eq!(text(content).as_deref(), Some("This one?"));
    }
}
