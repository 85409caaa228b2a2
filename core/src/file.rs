//! Files of an answer, as links that the client can open.
//!
//! The gateway names a file by a path of its host, which no client may see. The link has an id
//! instead, and a row of the hub's storage has the path. The id is an HMAC of the key, the session,
//! the run and the path, and ends with a proof ([`KeysSecret`]), so that the edge refuses an id that
//! nobody was given. A link works without a key, because an image of a page is requested without
//! one; it ends with its row or its key.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::access::grant::Grant;
use crate::access::key::KeyId;
use crate::access::proof::{KeysSecret, is_file_id};
use crate::agent::AgentId;
use crate::http::head::{Head, ResponseMeta};
use crate::turn::File;

/// Most bytes of a file that one response has.
pub const MAX_FILE_BYTES: u32 = 104_857_600;

/// Longest name that is shown, in characters.
const MAX_NAME_CHARS: usize = 100;

/// Longest URL of a file elsewhere, in bytes.
const MAX_URL_BYTES: usize = 2048;

/// Precedes the id in the path of a link, and follows it.
const BEFORE_ID: &str = "/v1/files/";
const AFTER_ID: &str = "/content";

/// Endings of names whose files chat UIs show in place.
const IMAGES: [&str; 6] = ["png", "jpg", "jpeg", "gif", "webp", "avif"];

/// Types, beside images, audio and video, that a response may have. None is a page.
const TYPES: [&str; 6] = [
    "application/json",
    "application/pdf",
    "application/zip",
    "text/csv",
    "text/markdown",
    "text/plain",
];

/// Characters that could end a link, or a URL in it.
const IN_LINK: AsciiSet = CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'*')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'`');

/// Characters that a parameter of a header cannot have as they are (RFC 8187).
const IN_HEADER: AsciiSet = IN_LINK.add(b'%').add(b',').add(b';').add(b'/').add(b'@');

/// The row of a file, without the time until which it is kept. It is written and read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The time until which it is kept; 0 if that is not known yet.
    pub until_ms: u64,
    pub key: &'a str,
    pub created_s: u64,
    pub agent: &'a str,
    pub session: &'a str,
    pub source: &'a str,
}

/// A file whose link is in an answer: its id and its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    pub id: String,
    pub row: String,
}

/// Makes the links of one request.
#[derive(Clone, Debug)]
pub struct Links {
    pub secret: KeysSecret,
    /// The scheme and the host that the client uses.
    pub origin: String,
    pub key: KeyId,
    pub run: String,
}

impl Links {
    /// Returns the link of a file, in Markdown, and the file unless it is elsewhere.
    pub(crate) fn link(&self, file: &File<'_>, now_s: u64) -> (String, Option<Linked>) {
        let name = name(file.source);
        let mark = if is_image(&name) { "!" } else { "" };
        if is_elsewhere(file.source) {
            let url = utf8_percent_encode(file.source, &IN_LINK).to_string();
            return ([mark, "[", &name, "](", &url, ")"].concat(), None);
        }
        let (key, session) = (self.key.as_str(), file.session.as_str());
        let id = self
            .secret
            .file_id(&[key, session, &self.run, file.source].join("\0"), key);
        let url = [&self.origin, BEFORE_ID, &id, AFTER_ID].concat();
        let row = Row {
            until_ms: 0,
            key,
            created_s: now_s,
            agent: file.agent.as_str(),
            session,
            source: file.source,
        };
        let row = row.write();
        let linked = Linked { id, row };
        ([mark, "[", &name, "](", &url, ")"].concat(), Some(linked))
    }
}

impl<'a> Row<'a> {
    fn write(&self) -> String {
        let created_s = self.created_s.to_string();
        [self.key, &created_s, self.agent, self.session, self.source].join("\t")
    }

    /// Reads what is written above, with the time until which it is kept before it.
    pub fn read(row: &'a str) -> Option<Self> {
        let mut fields = row.splitn(6, '\t');
        Some(Self {
            until_ms: fields.next()?.parse().ok()?,
            key: fields.next()?,
            created_s: fields.next()?.parse().ok()?,
            agent: fields.next()?,
            session: fields.next()?,
            source: fields.next()?,
        })
    }

    /// Returns true if the client may have the file now.
    pub fn is_of(&self, client: &Grant, now_ms: u64) -> bool {
        let agent = AgentId::parse(self.agent);
        self.key == client.id.as_str()
            && client.files
            && now_ms < self.until_ms
            && agent.is_some_and(|agent| client.agents.allows(&agent))
    }

    /// Returns OpenAI's object of a file.
    pub fn object(&self, id: &str, bytes: u32) -> Vec<u8> {
        let name = name(self.source);
        let (created_s, until_s) = (self.created_s, self.until_ms / 1000);
        format!(
            r#"{{"id":"{id}","object":"file","bytes":{bytes},"created_at":{created_s},"expires_at":{until_s},"filename":"{name}","purpose":"assistants_output","status":"processed"}}"#
        )
        .into_bytes()
    }

    /// Returns the head of a response with the file's bytes. No type in it makes a browser run
    /// something.
    pub fn head(&self, meta: &ResponseMeta, content_type: &str) -> Head {
        let essence = content_type
            .split([';', ','])
            .next()
            .unwrap_or_default()
            .trim();
        let is_media = ["image/", "audio/", "video/"]
            .iter()
            .any(|kind| essence.starts_with(kind))
            && !essence.starts_with("image/svg");
        let (disposition, kind) = match essence {
            _ if is_media => ("inline", essence),
            known if TYPES.contains(&known) => ("attachment", known),
            _ => ("attachment", "application/octet-stream"),
        };
        let name = name(self.source);
        let name = utf8_percent_encode(&name, &IN_HEADER);
        let mut head = meta.file(kind);
        head.headers.push((
            "content-disposition",
            format!("{disposition}; filename*=UTF-8''{name}"),
        ));
        head
    }
}

/// Returns the value of a header `Range` with one range of bytes, written again.
pub fn range(header: &str) -> Option<String> {
    let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
    let is_number = |text: &str| text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit());
    let is_range = is_number(first) && is_number(last) && !(first.is_empty() && last.is_empty());
    is_range.then(|| ["bytes=", first, "-", last].concat())
}

/// Returns a text of an assistant without the lines that are links to our files, if it has any: an
/// agent that sees them imitates them.
pub(crate) fn without_links(text: &str) -> Option<String> {
    // Most texts end here, at the cost of one look at each byte.
    if !text.contains('[') {
        return None;
    }
    let (links, rest): (Vec<&str>, Vec<&str>) = text.split('\n').partition(|line| is_link(line));
    (!links.is_empty()).then(|| rest.join("\n").trim_end().to_owned())
}

fn is_link(line: &str) -> bool {
    let words = line.trim().trim_start_matches('!');
    let url = words
        .strip_prefix('[')
        .and_then(|link| link.split_once("]("));
    let url = url.and_then(|(_, url)| url.strip_suffix(")"));
    let url = url.and_then(|url| url.strip_suffix(AFTER_ID));
    let id = url.and_then(|url| url.split_once(BEFORE_ID));
    id.is_some_and(|(_, id)| is_file_id(id))
}

/// Returns the scheme and the host that a client used, by the URL of its request and the header
/// `X-Forwarded-Proto`, which a proxy that ends TLS sets.
pub fn origin(url: &str, forwarded: Option<&str>) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let forwarded = forwarded.and_then(|list| list.split(',').next());
    let is_https = forwarded.is_some_and(|first| first.trim().eq_ignore_ascii_case("https"));
    let scheme = if is_https { "https" } else { scheme };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    [scheme, "://", host].concat()
}

fn is_elsewhere(source: &str) -> bool {
    let begins = |scheme: &str| {
        let start = source.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    (begins("https://") || begins("http://")) && source.len() <= MAX_URL_BYTES
}

fn is_image(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    ending.is_some_and(|ending| {
        IMAGES
            .iter()
            .any(|known| ending.eq_ignore_ascii_case(known))
    })
}

/// Returns true for a mark of direction, a blank of no width, and an end of a line.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}')
}

/// Returns the last part of a path or a URL, as it can stand in a link, in JSON and in a page.
fn name(source: &str) -> String {
    let is_end = |c: char| is_elsewhere(source) && matches!(c, '?' | '#');
    let path = source.split(is_end).next().unwrap_or_default();
    let last = path.rsplit(['/', '\\']).find(|part| !part.is_empty());
    let shown = |c: char| match c {
        '[' | ']' | '(' | ')' | '<' | '>' | '`' | '"' | '&' | '*' | '!' => '_',
        c if c.is_control() || is_unseen(c) => '_',
        c => c,
    };
    last.unwrap_or("file")
        .chars()
        .take(MAX_NAME_CHARS)
        .map(shown)
        .collect()
}

#[cfg(test)]
mod tests;
