//! Text on its way to the client: the gateway's text without directives, in the order in which the
//! agent emitted it.
//!
//! The `message` tool sends a text that no event carries; the run's final response lists it. So the
//! text after the tool call is held until then, to keep the order.
//!
//! Source: OpenClaw 2026.9.6, recorded (`latest-message_tool`).

use crate::agent::AgentId;
use crate::gateway::answer::SEPARATOR;
use crate::gateway::media::{Directives, without_directives};
use crate::gateway::memory::NOTICE;
use crate::session::SessionKey;
use crate::turn::{File, Progress, RunEvent, ToolEnd};

/// The gateway's tool that sends a message of the agent.
const MESSAGE_TOOL: &str = "message";

/// The words of the gateway's own endpoints for an empty answer.
const NO_RESPONSE: &str = "No response from OpenClaw.";

/// Most files of an answer that the client gets links to.
pub(crate) const MAX_FILES: usize = 16;

#[derive(Debug, Clone, Default)]
pub(super) struct Outgoing {
    directives: Directives,
    /// The client has received text.
    has_text: bool,
    /// The text after each call of the `message` tool.
    held: Vec<String>,
    /// A call of it is in progress.
    is_sending: bool,
    /// Files that the agent sends, each once.
    files: Vec<String>,
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

    /// Shows a question after the text so far.
    pub(super) fn ask(&mut self, question: &str, show: &mut impl FnMut(RunEvent<'_>)) {
        let rest = self.directives.finish();
        self.write(&rest, show);
        let held = std::mem::take(&mut self.held);
        for text in held.iter().map(String::as_str).chain([question]) {
            self.paragraph(text, show);
        }
        self.begins_run = true;
    }

    /// Shows the rest of a run's text, with the messages that the agent sent.
    pub(super) fn finish_run(
        &mut self,
        messages: &[&str],
        files: Vec<String>,
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
        for file in files {
            if !self.files.contains(&file) {
                self.files.push(file);
            }
        }
        self.begins_run = true;
    }

    /// Shows the files, if there is a `link` for them. Otherwise shows our own text if the agent
    /// emitted none.
    pub(super) fn finish<S: FnMut(RunEvent<'_>)>(
        &mut self,
        link: Option<(&AgentId, &SessionKey)>,
        show: &mut S,
    ) {
        let files = std::mem::take(&mut self.files);
        if let Some((agent, session)) = link {
            for source in files.iter().take(MAX_FILES) {
                if self.has_text {
                    show(RunEvent::Text(SEPARATOR));
                }
                self.has_text = true;
                show(RunEvent::File(File {
                    source,
                    agent,
                    session,
                }));
            }
        }
        let linked = if link.is_some() { MAX_FILES } else { 0 };
        let notice = match files.len().saturating_sub(linked) {
            0 if self.has_text => return,
            0 => NO_RESPONSE.to_owned(),
            _ if self.has_text && linked == 0 => return,
            _ if linked > 0 => format!("{NOTICE}{} files.", files.len()),
            1 => [NOTICE, "1 file, which this API cannot deliver."].concat(),
            files => format!("{NOTICE}{files} files, which this API cannot deliver."),
        };
        self.paragraph(&notice, show);
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
        outgoing.finish_run(&["Sent.\nMEDIA:/srv/host.png"], Vec::new(), &mut show);
        assert_eq!(shown, "Look:\n\nSent.");
    }
}
