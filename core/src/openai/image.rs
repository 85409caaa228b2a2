//! Images in a request: `data:` URLs become attachments, within the limits of both gateways.

use std::borrow::Cow;

use crate::error::Failure;
use crate::turn::Attachment;

/// Most images of one turn. Source: the gateway's own endpoint (both versions).
pub(super) const MAX_IMAGES: usize = 8;

/// Largest image, decoded, in bytes: what OpenClaw 2026.3 takes (2026.9 takes 6 MiB).
pub(super) const MAX_IMAGE_BYTES: usize = 5_000_000;

/// Characters of base64 for three bytes.
const BASE64_GROUP: usize = 4;

/// The image of a `data:` URL; `param` names where it stood.
pub(super) fn attachment(url: &str, number: usize, param: &str) -> Result<Attachment, Failure> {
    let url = url.trim();
    let Some((metadata, content)) = split_data_url(url) else {
        return Err(Failure::invalid(
            param,
            "Only data: URLs of images are accepted; nothing is fetched on a client's behalf.",
        ));
    };
    let mut fields = metadata.split(';').map(str::trim);
    let mime_type = fields.next().unwrap_or_default().to_ascii_lowercase();
    let kind = mime_type
        .strip_prefix("image/")
        .filter(|kind| {
            !kind.is_empty()
                && kind
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-'))
        })
        .ok_or_else(|| Failure::invalid(param, "The data: URL is not of an image."))?;
    if !fields.any(|field| field.eq_ignore_ascii_case("base64")) {
        return Err(Failure::invalid(param, "The data: URL is not base64."));
    }
    if !is_base64(content) {
        return Err(Failure::invalid(param, "The image is not valid base64."));
    }
    if decoded_bytes(content) > MAX_IMAGE_BYTES {
        return Err(Failure::invalid(
            param,
            format!("The image is larger than {MAX_IMAGE_BYTES} bytes."),
        ));
    }
    let file_name = format!("image-{number}.{}", kind.split('+').next().unwrap_or(kind));
    Ok(Attachment {
        mime_type,
        file_name,
        content: content.to_owned(),
    })
}

/// Too many images of one turn.
pub(super) fn too_many(param: &str) -> Failure {
    Failure::invalid(param, Cow::Owned(format!("A turn takes at most {MAX_IMAGES} images.")))
}

/// `data:<metadata>,<content>`
fn split_data_url(url: &str) -> Option<(&str, &str)> {
    let scheme = url.get(..5)?;
    if !scheme.eq_ignore_ascii_case("data:") {
        return None;
    }
    url.get(5..)?.split_once(',')
}

/// Standard base64, padded, on one line: what every SDK makes.
fn is_base64(content: &str) -> bool {
    let data = content.trim_end_matches('=');
    let padding = content.len().saturating_sub(data.len());
    !data.is_empty()
        && padding <= 2
        && content.len().is_multiple_of(BASE64_GROUP)
        && data
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

fn decoded_bytes(content: &str) -> usize {
    let padding = content.len().saturating_sub(content.trim_end_matches('=').len());
    content
        .len()
        .saturating_div(BASE64_GROUP)
        .saturating_mul(3)
        .saturating_sub(padding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(url: &str) -> String {
        match attachment(url, 1, "p") {
            Err(Failure::Invalid { message, .. }) => message.into_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_data_url_becomes_an_attachment() {
        assert_eq!(
            attachment(" DATA:image/PNG;base64,iVBORw0KGgo= ", 2, "p"),
            Ok(Attachment {
                mime_type: "image/png".into(),
                file_name: "image-2.png".into(),
                content: "iVBORw0KGgo=".into(),
            })
        );
        let svg = attachment("data:image/svg+xml;charset=utf-8;base64,AAAA", 1, "p").unwrap();
        assert_eq!(
            (svg.mime_type.as_str(), svg.file_name.as_str()),
            ("image/svg+xml", "image-1.svg")
        );
    }

    #[test]
    fn what_cannot_be_an_attachment_is_refused_in_words() {
        for url in [
            "https://example.com/a.png",
            "http://a",
            "file:///etc/passwd",
            "",
            "data:image/png;base64",
        ] {
            assert!(message(url).starts_with("Only data: URLs"), "{url}");
        }
        assert_eq!(
            message("data:text/html;base64,AAAA"),
            "The data: URL is not of an image."
        );
        assert_eq!(message("data:image/;base64,AAAA"), "The data: URL is not of an image.");
        assert_eq!(message("data:image/png,AAAA"), "The data: URL is not base64.");
        for content in ["", "=", "A", "AAA", "AA-_", "AAAA=", "A===", "AA AA"] {
            assert_eq!(
                message(&format!("data:image/png;base64,{content}")),
                "The image is not valid base64."
            );
        }
    }

    #[test]
    fn the_size_limit_counts_decoded_bytes() {
        let image = |bytes: usize| {
            format!(
                "data:image/png;base64,{}",
                <base64ct::Base64 as base64ct::Encoding>::encode_string(&vec![0; bytes])
            )
        };
        assert!(attachment(&image(MAX_IMAGE_BYTES), 1, "p").is_ok());
        assert_eq!(
            message(&image(MAX_IMAGE_BYTES + 1)),
            "The image is larger than 5000000 bytes."
        );
    }
}
