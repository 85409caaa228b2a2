//! The content of messages: their texts and files, and the images that are attached to the turn.
//!
//! A session that remembers gets the images of the message that is answered, and of earlier
//! messages that no answer has followed yet: an image that was sent apart from its question, or
//! before a round of tools. A session that gets the whole conversation gets the images of all of
//! it, the latest ones if there are too many. Every other image leaves a placeholder in the text,
//! so that the agent knows of it.

use super::super::blank::trim;
use super::super::file::{self, File};
use super::super::image;
use super::super::message::{Content, Field, Message, Part};
use crate::failure::Failure;
use crate::turn::{Attachment, IMAGE};

const FILE: &str = "[file]";
const NAMED_FILE: &str = "[file: ";
const AUDIO: &str = "[audio]";
const VIDEO: &str = "[video]";
const OTHER: &str = "[content of another kind]";

/// Reads the contents of a conversation, in order.
pub(crate) struct Contents {
    field: Field,
    /// The message that is answered.
    active: usize,
    /// The first message without an answer after it. A part that cannot be passed on is refused
    /// from here on, and replaced before.
    open_from: usize,
    /// The first message after the last answer that the user has followed. An image that cannot be
    /// attached is refused from here on, and replaced before.
    unanswered_from: usize,
    /// The attachments of messages before it.
    answered_images: usize,
    /// The first message whose images are attached.
    attach_from: usize,
    /// An image is not attached because the session remembers it.
    has_remembered: bool,
    attachments: Vec<Attachment>,
    /// The files so far: of the messages before `open_from`, and of the others.
    files: [usize; 2],
}

impl Contents {
    /// `active` is the message that is answered. `is_whole`: the session gets the whole
    /// conversation.
    pub(crate) fn new(
        field: Field,
        messages: &[Message<'_>],
        active: usize,
        is_whole: bool,
    ) -> Self {
        let before = messages.get(..active).unwrap_or_default();
        let open_from = before
            .iter()
            .rposition(|message| message.role == "assistant")
            .map_or(0, |answer| answer.saturating_add(1));
        let unanswered_from = unanswered_from(messages, active);
        let mut contents = Self {
            field,
            active,
            open_from,
            unanswered_from,
            answered_images: 0,
            attach_from: active,
            has_remembered: false,
            attachments: Vec::new(),
            files: [0; 2],
        };
        let mut count = 0_usize;
        for (index, message) in messages
            .iter()
            .enumerate()
            .take(active.saturating_add(1))
            .skip(if is_whole { 0 } else { unanswered_from })
            .rev()
        {
            if contents.may_attach(message) {
                count = count.saturating_add(
                    message
                        .content
                        .parts()
                        .iter()
                        .filter(|part| is_sent(part))
                        .count(),
                );
            }
            if count > image::MAX_IMAGES {
                break;
            }
            contents.attach_from = index;
        }
        contents
    }

    /// Returns true for a message whose images can be attached. OpenAI's chat completions have no
    /// images in results of tools.
    fn may_attach(&self, message: &Message<'_>) -> bool {
        message.role == "user" || (is_tool(message) && self.field == Field::Input)
    }

    /// Reads the text of a message, trimmed. Its parts are joined by line breaks.
    pub(crate) fn read(&mut self, index: usize, message: &Message<'_>) -> Result<String, Failure> {
        self.read_content(index, message, &message.content)
    }

    /// Reads another content of the message in the same way: the result of a call in it.
    pub(crate) fn read_content(
        &mut self,
        index: usize,
        message: &Message<'_>,
        content: &Content<'_>,
    ) -> Result<String, Failure> {
        let parts = match content {
            Content::None => return Ok(String::new()),
            Content::Text(text) => return Ok(trim(text).to_owned()),
            Content::Parts(parts) => parts,
        };
        let mut texts: Vec<String> = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let field = self.field;
            let place = || {
                let content = if message.is_output() {
                    "output"
                } else {
                    "content"
                };
                format!("{field}[{index}].{content}[{number}]")
            };
            if let Some(text) = part_text(part) {
                texts.push(text.to_owned());
            } else if part.stdout.is_some() || part.stderr.is_some() {
                texts.extend(
                    [&part.stdout, &part.stderr]
                        .into_iter()
                        .flatten()
                        .map(ToString::to_string),
                );
            } else if is_image(part) {
                texts.extend(self.read_image(index, message, part, place)?);
            } else if let Some(file) = File::of(part)
                && (message.role == "user" || is_tool(message))
            {
                texts.push(self.read_file(index, &file, &file_place(part, place()))?);
            } else if message.role == "assistant"
                || (index < self.open_from && !message.is_instruction())
            {
                texts.extend(placeholder(&part.kind).map(str::to_owned));
            } else {
                return Err(Failure::invalid(
                    format!("{}.type", place()),
                    "A content part is a text (text, input_text, output_text, refusal), an image \
                     (image_url, input_image), or a file of the user or a tool (file, input_file).",
                ));
            }
        }
        texts.retain(|text| !text.is_empty());
        Ok(trim(&texts.join("\n")).to_owned())
    }

    /// Reads an image of the message: attaches it, if images of this message are attached. Returns
    /// the text that stands for the image, if it needs one.
    fn read_image(
        &mut self,
        index: usize,
        message: &Message<'_>,
        part: &Part<'_>,
        place: impl Fn() -> String,
    ) -> Result<Option<String>, Failure> {
        if self.may_attach(message) && (self.attach_from..=self.active).contains(&index) {
            let is_named = index != self.active || is_tool(message);
            let is_answered = index < self.unanswered_from;
            match self.attach(part, place) {
                Err(_) if is_answered => Ok(Some(IMAGE.to_owned())),
                Err(failure) => Err(failure),
                Ok(name) => {
                    if is_answered {
                        self.answered_images = self.attachments.len();
                    }
                    Ok(is_named.then(|| format!("[{name}]")))
                }
            }
        } else if is_tool(message) && self.field == Field::Messages && index >= self.open_from {
            Err(Failure::invalid(
                format!("{}.type", place()),
                "The result of a tool is text. Send an image in a message of the user.",
            ))
        } else {
            self.has_remembered |= self.may_attach(message) && index < self.unanswered_from;
            Ok(Some(IMAGE.to_owned()))
        }
    }

    /// Reads a file of the message. An earlier one that cannot be passed on leaves its name.
    fn read_file(&mut self, index: usize, file: &File<'_>, param: &str) -> Result<String, Failure> {
        let is_open = index >= self.open_from;
        let [earlier, open] = &mut self.files;
        let count = if is_open { open } else { earlier };
        *count = count.saturating_add(1);
        let text = if *count > file::MAX_FILES {
            Err(file::too_many(param))
        } else {
            file.text(param)
        };
        if is_open {
            return text;
        }
        Ok(text.unwrap_or_else(|_| match file.name("") {
            Ok(name) if !name.is_empty() => [NAMED_FILE, name, "]"].concat(),
            _ => FILE.to_owned(),
        }))
    }

    /// Attaches an image and returns its name.
    fn attach(&mut self, part: &Part<'_>, place: impl Fn() -> String) -> Result<String, Failure> {
        let file = File::of(part).and_then(|file| file.image());
        let param = match file {
            Some(_) => file_place(part, place()) + ".file_data",
            None => place() + ".image_url",
        };
        let number = self.attachments.len().saturating_add(1);
        if number > image::MAX_IMAGES {
            return Err(image::too_many(&param));
        }
        let url = part.image_url.as_ref().map_or("", |image| image.url());
        let attachment = match file {
            Some(content) => image::of_content(content, &param)?,
            None => image::attachment(url, &param)?,
        };
        let name = attachment.file_name(number);
        self.attachments.push(attachment);
        Ok(name)
    }

    /// Returns true if the session has an image that the whole conversation would attach.
    pub(crate) fn has_remembered(&self) -> bool {
        self.has_remembered
    }

    /// Returns true if an image is attached that no answer has followed yet.
    pub(crate) fn has_unanswered(&self) -> bool {
        self.attachments.len() > self.answered_images
    }

    /// Returns the attachments, and the number of those, the first ones, that an answer followed.
    pub(crate) fn into_attachments(self) -> (Vec<Attachment>, usize) {
        (self.attachments, self.answered_images)
    }
}

/// Returns the first message after the last closed turn. An assistant's message closes a turn if
/// the user follows it, and no tool.
fn unanswered_from(messages: &[Message<'_>], active: usize) -> usize {
    let mut is_user_next = false;
    for (index, message) in messages
        .iter()
        .enumerate()
        .take(active.saturating_add(1))
        .rev()
    {
        match &*message.role {
            "assistant" if is_user_next => return index.saturating_add(1),
            "user" => is_user_next = true,
            "tool" | "function" => is_user_next = false,
            _ => {}
        }
    }
    0
}

fn is_tool(message: &Message<'_>) -> bool {
    matches!(&*message.role, "tool" | "function")
}

fn part_text<'p>(part: &'p Part<'_>) -> Option<&'p str> {
    match &*part.kind {
        "text" | "input_text" | "output_text" => Some(part.text.as_deref().unwrap_or_default()),
        "refusal" => Some(part.refusal.as_deref().unwrap_or_default()),
        _ => None,
    }
}

fn is_image(part: &Part<'_>) -> bool {
    matches!(
        &*part.kind,
        "image_url" | "input_image" | "computer_screenshot"
    ) || File::of(part).is_some_and(|file| file.image().is_some())
}

/// Returns true for an image that the request has, and not only its address.
fn is_sent(part: &Part<'_>) -> bool {
    let url = part.image_url.as_ref().map_or("", |image| image.url());
    image::is_sent(url) || File::of(part).is_some_and(|file| file.image().is_some())
}

/// Returns the place of a file's members.
fn file_place(part: &Part<'_>, place: String) -> String {
    place + if part.file.is_some() { ".file" } else { "" }
}

/// Returns true if a text has the placeholder of a file that an agent may have got.
pub(super) fn is_replaced(text: &str) -> bool {
    text.contains(NAMED_FILE)
}

/// Returns the text that replaces a part which cannot be passed on; `None` for the model's
/// thoughts.
fn placeholder(kind: &str) -> Option<&'static str> {
    match kind {
        "thinking" | "redacted_thinking" | "reasoning" | "reasoning_text" | "summary_text" => None,
        "file" | "input_file" | "document" => Some(FILE),
        "input_audio" | "output_audio" | "audio" | "audio_url" => Some(AUDIO),
        "video" | "video_url" | "input_video" => Some(VIDEO),
        "image" | "output_image" => Some(IMAGE),
        _ => Some(OTHER),
    }
}
