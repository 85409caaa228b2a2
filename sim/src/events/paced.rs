//! Text that is gathered for a while before it is sent.

use std::time::Duration;

use tokio::time::Instant;

/// Text that is gathered for a while before it is sent.
#[derive(Debug)]
pub(super) struct Paced {
    pub(super) pacing: Duration,
    pub(super) text: String,
    sent_bytes: usize,
    last: Option<Instant>,
}

/// A piece of text to send.
pub(super) struct Chunk {
    /// The whole text so far.
    pub(super) text: String,
    pub(super) delta: String,
}

impl Chunk {
    /// Returns a text that is its own delta.
    pub(super) fn whole(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            delta: text.to_owned(),
        }
    }
}

impl Paced {
    pub(super) fn new(pacing: Duration) -> Self {
        Self {
            pacing,
            text: String::new(),
            sent_bytes: 0,
            last: None,
        }
    }

    pub(super) fn push(&mut self, delta: &str) {
        self.text.push_str(delta);
    }

    /// Replaces the earlier text with another one, which counts as sent.
    pub(super) fn replace(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        self.sent_bytes = self.text.len();
        self.last = Some(Instant::now());
    }

    /// Returns the time at which text is due, if there is any. A text that ends in white space
    /// waits for the text after it.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.text.trim_end().len() <= self.sent_bytes {
            return None;
        }
        match self.last {
            Some(last) => last.checked_add(self.pacing),
            None => Some(Instant::now()),
        }
    }

    pub(super) fn take_due(&mut self) -> Option<Chunk> {
        let due = self.due()?;
        if due > Instant::now() {
            return None;
        }
        let end = self.text.trim_end().len();
        self.take_to(end)
    }

    /// Takes all text that is left, also before it is due.
    pub(super) fn take_all(&mut self) -> Option<Chunk> {
        self.take_to(self.text.len())
    }

    fn take_to(&mut self, end: usize) -> Option<Chunk> {
        let delta = self
            .text
            .get(self.sent_bytes..end)
            .filter(|delta| !delta.is_empty())?
            .to_owned();
        let text = self.text.get(..end)?.to_owned();
        self.sent_bytes = end;
        self.last = Some(Instant::now());
        Some(Chunk { text, delta })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_at_the_end_waits_for_what_follows() {
        let mut paced = Paced::new(Duration::ZERO);
        paced.push("w0 ");
        assert_eq!(
            paced.take_due().map(|chunk| chunk.delta).as_deref(),
            Some("w0")
        );
        assert!(paced.due().is_none());
        paced.push("w1\n");
        assert_eq!(
            paced.take_due().map(|chunk| (chunk.text, chunk.delta)),
            Some(("w0 w1".into(), " w1".into()))
        );
        assert_eq!(
            paced.take_all().map(|chunk| chunk.delta).as_deref(),
            Some("\n")
        );
    }

    #[test]
    fn the_first_text_is_sent_at_once_and_the_next_gathered() {
        let mut paced = Paced::new(Duration::from_mins(1));
        paced.push("a");
        assert!(paced.take_due().is_some());
        paced.push("b");
        assert!(paced.take_due().is_none());
        assert!(paced.due().is_some());
    }
}
