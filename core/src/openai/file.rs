//! Files in a request: a text stands in the message, in the frame that the gateway gives to files.
//!
//! Source: OpenClaw 2026.9.6, read: `renderFileContextBlock`, `wrapExternalContent`.

use super::blank::trim;
use super::image;
use super::message::Part;
use super::prompt::marker;
use crate::failure::Failure;
use crate::turn::RunId;

/// Most files of the messages that are answered, and of the earlier ones: the frame of an empty
/// file is longer than its part of the body.
pub(crate) const MAX_FILES: usize = 32;

/// Largest file, decoded, in bytes: it is more than most models take.
pub(crate) const MAX_FILE_BYTES: usize = 1_048_576;

/// Longest name of a file, in bytes, because file systems have this limit.
pub(crate) const MAX_NAME_BYTES: usize = 255;

/// The digits in the marks of a frame. Source: `createExternalContentMarkerId`.
const ID_DIGITS: usize = 16;

/// The beginnings of the marks of a frame, without the last `<` and a `/`.
const MARKS: [&str; 3] = [
    "file",
    "external_untrusted_content",
    "end_external_untrusted_content",
];

/// The beginning of a PDF. Source: ISO 32000, 7.5.2.
const PDF: &str = "%PDF-";

/// A file of a message.
pub(super) struct File<'p>(&'p Part<'p>);

impl<'p> File<'p> {
    /// Returns the file of a part.
    pub(super) fn of(part: &'p Part<'_>) -> Option<Self> {
        matches!(&*part.kind, "file" | "input_file")
            .then(|| Self(part.file.as_deref().unwrap_or(part)))
    }

    /// Returns the base64 of the file, if it begins like an image.
    pub(super) fn image(&self) -> Option<&'p str> {
        self.content()
            .filter(|content| image::kind(content).is_some())
    }

    fn content(&self) -> Option<&'p str> {
        let data = trim(self.0.file_data.as_deref()?);
        match image::split_data_url(data) {
            Some((metadata, content)) => image::is_base64(metadata).then_some(content),
            None => Some(data),
        }
    }

    /// Returns the name of the file. `param` is the part, for errors.
    pub(super) fn name(&self, param: &str) -> Result<&'p str, Failure> {
        let param = || [param, ".filename"].concat();
        let name = marker::one_line(self.0.filename.as_deref(), param)?;
        if name.len() > MAX_NAME_BYTES {
            return Err(Failure::invalid(
                param(),
                "A file's name has at most 255 bytes.",
            ));
        }
        Ok(name)
    }

    /// Returns the text of the file in its frame.
    ///
    /// The id in the marks is derived from the text, because a random one, as the gateway's, would
    /// make another message of a request that is repeated, and of a turn that is compared with the
    /// rows of its session. It need not be secret: no text has a mark.
    pub(super) fn text(&self, param: &str) -> Result<String, Failure> {
        let name = self.name(param)?;
        let text = self.read();
        let text =
            text.map_err(|problem| Failure::invalid([param, ".file_data"].concat(), problem))?;
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
        let id = RunId::digits_of(text);
        let id = id.get(..ID_DIGITS).unwrap_or_default();
        let mark = ["EXTERNAL_UNTRUSTED_CONTENT id=\"", id, "\">>>\n"].concat();
        Ok([
            "<file name=\"",
            &if name.is_empty() { "file" } else { name }.replace(['"', '<', '>'], "_"),
            "\">\n<<<",
            &mark,
            "Source: External\n---\n",
            &without_marks(text),
            "\n<<<END_",
            &mark,
            "</file>",
        ]
        .concat())
    }

    /// Reads the text of the file, or returns the reason why there is none.
    fn read(&self) -> Result<String, &'static str> {
        if self.0.file_data.is_none() {
            return Err(
                "A file is sent whole, in `file_data`; nothing is fetched on a client's behalf.",
            );
        }
        let content = self.content().and_then(image::base64);
        let content = content.ok_or("The file is empty, or not valid base64.")?;
        if image::decoded_bytes(&content) > MAX_FILE_BYTES {
            return Err("The file is larger than 1048576 bytes.");
        }
        let bytes = image::decode(&content).unwrap_or_default();
        let text = String::from_utf8(bytes).ok().filter(|text| is_text(text));
        text.ok_or(
            "The file is neither a text (UTF-8) nor an image (png, jpeg, gif, webp): the gateway's \
             agent API takes no others. Fix: send its text.",
        )
    }
}

/// Refuses more files than are read.
pub(super) fn too_many(param: &str) -> Failure {
    Failure::invalid(param, "There are at most 32 files.")
}

/// Returns true for a text without control characters, apart from those of its lines and pages.
fn is_text(text: &str) -> bool {
    let is_shown =
        |byte: u8| !byte.is_ascii_control() || matches!(byte, b'\t' | b'\n' | 0xC | b'\r');
    // A document of letters alone is no text that a model can read.
    !text.is_empty() && !text.starts_with(PDF) && text.bytes().all(is_shown)
}

/// Returns a text in which nothing looks like a mark of a frame. Source: `escapeFileBlockContent`,
/// which writes such a `<` in the same way.
fn without_marks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        let word = after.trim_start();
        let word = word.strip_prefix('/').unwrap_or(word).trim_start();
        let is_mark = |mark: &&str| {
            let start = word.get(..mark.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(mark))
        };
        out.push_str(before);
        out.push_str(if MARKS.iter().any(is_mark) {
            "&lt;"
        } else {
            "<"
        });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests;
