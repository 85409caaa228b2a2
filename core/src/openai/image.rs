//! Images in a request: `data:` URLs become attachments, within the limits of both gateways.

use percent_encoding::percent_decode_str;

use super::blank::trim;
use crate::failure::Failure;
use crate::turn::Attachment;

/// Largest number of images in one turn. Source: the gateway's own endpoint (both versions).
pub(crate) const MAX_IMAGES: usize = 8;

/// Largest image, decoded, in bytes. OpenClaw 2026.3 takes as much; 2026.9 takes 6 MiB.
pub(crate) const MAX_IMAGE_BYTES: usize = 5_000_000;

/// The characters of base64 that hold three bytes.
const BASE64_GROUP: usize = 4;

/// The characters of base64 that hold 12 bytes, which identify an image of any kind.
const MAGIC_CHARS: usize = 16;

/// The subtypes that the models behind both gateways take. A browser's `image/jpg` is a JPEG.
/// Source: OpenAI's and Anthropic's references for image input.
const KINDS: [&str; 4] = ["png", "jpeg", "gif", "webp"];

/// Reads the image of a `data:` URL. `param` is the field of the URL, for errors.
///
/// The URL is read as the Fetch standard does (`data:` URL processor): percent-decoded, then
/// forgiving base64, so line breaks and missing padding are accepted. The first bytes decide the
/// kind of the image, because clients often declare another kind than they send.
pub(super) fn attachment(url: &str, param: &str) -> Result<Attachment, Failure> {
    let Some((metadata, content)) = split_data_url(trim(url)) else {
        return Err(Failure::invalid(
            param,
            "Only data: URLs of images are accepted; nothing is fetched on a client's behalf.",
        ));
    };
    let mime_type = metadata.split(';').next().unwrap_or_default();
    let mime_type = mime_type.trim().to_ascii_lowercase();
    match mime_type.strip_prefix("image/") {
        Some(kind) if kind == "jpg" || KINDS.contains(&kind) => {}
        Some(_) => return Err(other_kind(param)),
        None => return Err(Failure::invalid(param, "The data: URL is not of an image.")),
    }
    if !is_base64(metadata) {
        return Err(Failure::invalid(param, "The data: URL is not base64."));
    }
    of_content(content, param)
}

/// Reads the image in base64 of any origin. `param` is its field, for errors.
pub(super) fn of_content(content: &str, param: &str) -> Result<Attachment, Failure> {
    let content =
        base64(content).ok_or_else(|| Failure::invalid(param, "The image is not valid base64."))?;
    if decoded_bytes(&content) > MAX_IMAGE_BYTES {
        return Err(Failure::invalid(
            param,
            "The image is larger than 5000000 bytes.",
        ));
    }
    let kind = kind(&content).ok_or_else(|| other_kind(param))?;
    Ok(Attachment { kind, content })
}

fn other_kind(param: &str) -> Failure {
    Failure::invalid(param, "An image is one of png, jpeg, gif and webp.")
}

/// Finds the kind of an image by its first bytes. Source: the MIME Sniffing standard, section 6.1.
pub(super) fn kind(content: &str) -> Option<&'static str> {
    let length = content.len().min(MAGIC_CHARS);
    match *decode(content.get(..length)?)? {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some("png"),
        [0xFF, 0xD8, 0xFF, ..] => Some("jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => Some("webp"),
        _ => None,
    }
}

/// Makes standard base64, padded and on one line, from forgiving base64.
pub(super) fn base64(content: &str) -> Option<String> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let mut text = if content.bytes().all(is_known) {
        content.to_owned()
    } else {
        let is_blank = |byte: u8| matches!(byte, b'\t' | b'\n' | 0xC | b'\r' | b' ');
        let bytes: Vec<u8> = percent_decode_str(content)
            .filter(|byte| !is_blank(*byte))
            .collect();
        String::from_utf8(bytes)
            .ok()
            .filter(|text| text.bytes().all(is_known))?
    };
    if text.len().is_multiple_of(BASE64_GROUP) {
        let data = text
            .strip_suffix("==")
            .or(text.strip_suffix('='))
            .map(str::len);
        text.truncate(data.unwrap_or(text.len()));
    }
    let padding = match text.len() % BASE64_GROUP {
        0 if text.is_empty() => return None,
        0 => "",
        2 => "==",
        3 => "=",
        _ => return None,
    };
    if text.contains('=') {
        return None;
    }
    text.push_str(padding);
    Some(text)
}

/// Decodes standard base64; `None` if it has another character. It is not the library's, because
/// that one takes the same time for any content, which took 1 KiB of the upload.
#[inline(never)]
pub(super) fn decode(content: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(decoded_bytes(content));
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in content.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte.wrapping_sub(b'A'),
            b'a'..=b'z' => byte.wrapping_sub(b'a' - 26),
            b'0'..=b'9' => byte.wrapping_add(52 - b'0'),
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held = held.wrapping_add(6);
        if let Some(rest) = held.checked_sub(8) {
            held = rest;
            let [byte, ..] = (bits >> held).to_le_bytes();
            bytes.push(byte);
        }
    }
    Some(bytes)
}

/// Returns true for a URL that holds its content.
pub(super) fn is_sent(url: &str) -> bool {
    split_data_url(trim(url)).is_some()
}

/// Refuses more images than a turn takes.
pub(super) fn too_many(param: &str) -> Failure {
    Failure::invalid(param, "A turn takes at most 8 images.")
}

/// Splits `data:<metadata>,<content>`.
pub(super) fn split_data_url(url: &str) -> Option<(&str, &str)> {
    let scheme = url.get(..5)?;
    if !scheme.eq_ignore_ascii_case("data:") {
        return None;
    }
    url.get(5..)?.split_once(',')
}

/// Returns true if the metadata of a `data:` URL says that its content is base64.
pub(super) fn is_base64(metadata: &str) -> bool {
    let mut fields = metadata.split(';').skip(1).map(str::trim);
    fields.any(|field| field.eq_ignore_ascii_case("base64"))
}

pub(super) fn decoded_bytes(content: &str) -> usize {
    let padding = content
        .len()
        .saturating_sub(content.trim_end_matches('=').len());
    content
        .len()
        .saturating_div(BASE64_GROUP)
        .saturating_mul(3)
        .saturating_sub(padding)
}

#[cfg(test)]
mod tests;
