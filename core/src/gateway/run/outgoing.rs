//! Text on its way to the client: the gateway's text without directives, in the order in which the
//! agent emitted it.
//!
//! The `message` tool sends a text that no event carries; the run's final response lists it. So the
//! text after the tool call is held until then, to keep the order.
//!
//! Source: OpenClaw 2026.9.6, recorded (`latest-message_tool`).

use crate::gateway::answer::SEPARATOR;
use crate::gateway::media::{Directives, without_directives};
use crate::turn::{Progress, RunEvent, ToolEnd};

/// The gateway's tool that sends a message of the agent.
const MESSAGE_TOOL: &str = "message";

/// The words of the gateway's own endpoints for an empty answer.
const NO_RESPONSE: &str = "No response from OpenClaw.";

#[derive(Debug, Clone, Default)]
pub(super) struct Outgoing {
    directives: Directives,
    /// The client has received text.
    has_text: bool,
    /// The text after each call of the `message` tool.
    held: Vec<String>,
    /// A call of it is in progress.
    is_sending: bool,
    /// Files that the agent produced.
    files: usize,
    /// A run ended, so the text of the next one is a new paragraph.
    begins_run: bool,
}

impl Outgoing {
    /// Takes the next piece of the streamed answer.
    pub(super) fn push(&mut self, piece: &str, show: &mut impl FnMut(RunEvent<'_>)) {
        let text = self.directives.push(piece);
        self.write(&text, show);
    }

    /// Holds the text after a call of the `message` tool. A call that failed sent nothing.
    pub(super) fn note(&mut self, progress: &Progress<'_>, show: &mut impl FnMut(RunEvent<'_>)) {
        match progress {
            Progress::ToolStarted { name } if name == MESSAGE_TOOL => {
                self.hold(show);
                self.is_sending = true;
            }
            Progress::ToolEnded { name, end } if name == MESSAGE_TOOL => {
                match (
                    std::mem::take(&mut self.is_sending),
                    *end != ToolEnd::Completed,
                ) {
                    (true, true) if self.held.last().is_some_and(String::is_empty) => {
                        self.held.pop();
                    }
                    // The event of its start was lost.
                    (false, false) => self.hold(show),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn hold(&mut self, show: &mut impl FnMut(RunEvent<'_>)) {
        let rest = self.directives.finish();
        self.write(&rest, show);
        self.held.push(String::new());
    }

    /// Shows the rest of a run's text, with the messages that the agent sent.
    pub(super) fn finish_run(
        &mut self,
        messages: &[&str],
        files: usize,
        show: &mut impl FnMut(RunEvent<'_>),
    ) {
        let rest = self.directives.finish();
        self.write(&rest, show);
        let held = std::mem::take(&mut self.held);
        let messages: Vec<_> = messages
            .iter()
            .map(|message| without_directives(message))
            .collect();
        // The gateway lists a message only once if the agent then repeats it as its answer.
        let is_repeated = |message: &str| held.iter().any(|text| text.trim() == message.trim());
        let mut messages = messages.iter().filter(|message| !is_repeated(message));
        let mut segments = held.iter().peekable();
        while let Some(text) = segments.next() {
            let is_last = segments.peek().is_none();
            for message in messages.by_ref().take(if is_last { usize::MAX } else { 1 }) {
                self.paragraph(message, show);
            }
            self.paragraph(text, show);
        }
        for message in messages {
            self.paragraph(message, show);
        }
        self.files = self.files.saturating_add(files);
        self.begins_run = true;
    }

    /// Shows our own text if the agent emitted none.
    pub(super) fn finish(&mut self, show: &mut impl FnMut(RunEvent<'_>)) {
        if self.has_text {
            return;
        }
        match self.files {
            0 => self.paragraph(NO_RESPONSE, show),
            1 => self.paragraph(
                "The agent produced 1 file, which this API cannot deliver.",
                show,
            ),
            files => {
                let notice =
                    format!("The agent produced {files} files, which this API cannot deliver.");
                self.paragraph(&notice, show);
            }
        }
    }

    fn write(&mut self, text: &str, show: &mut impl FnMut(RunEvent<'_>)) {
        if let Some(held) = self.held.last_mut() {
            held.push_str(text);
        } else if !text.is_empty() {
            if std::mem::take(&mut self.begins_run) && self.has_text {
                show(RunEvent::Text(SEPARATOR));
            }
            self.has_text |= !text.trim().is_empty();
            show(RunEvent::Text(text));
        }
    }

    fn paragraph(&mut self, text: &str, show: &mut impl FnMut(RunEvent<'_>)) {
        let text = text.trim_start_matches('\n');
        if text.trim().is_empty() {
            return;
        }
        if self.has_text {
            show(RunEvent::Text(SEPARATOR));
        }
        self.has_text = true;
        self.begins_run = false;
        show(RunEvent::Text(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sent_message_has_no_path_of_the_host() {
        let mut shown = String::new();
        let mut show = |event: RunEvent<'_>| {
            if let RunEvent::Text(text) = event {
                shown.push_str(text);
            }
        };
        let mut outgoing = Outgoing::default();
        outgoing.push("Look:", &mut show);
        outgoing.finish_run(&["Sent.\nMEDIA:/srv/host.png"], 1, &mut show);
        assert_eq!(shown, "Look:\n\nSent.");
    }
}
