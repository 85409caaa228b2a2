use super::*;
use base64ct::{Base64, Encoding};

fn message(url: &str) -> String {
    match attachment(url, "p") {
        Err(Failure::InvalidRequest { message, .. }) => message.into_owned(),
        other => panic!("{other:?}"),
    }
}

const PNG: &str = "iVBORw0KGgo=";

fn content(url: &str) -> String {
    attachment(url, "p").unwrap().content
}

#[test]
fn a_data_url_becomes_an_attachment() {
    assert_eq!(
        attachment(&format!(" DATA:image/PNG;charset=utf-8;base64,{PNG} "), "p"),
        Ok(Attachment {
            kind: "png",
            content: PNG.into(),
        })
    );
}

#[test]
fn an_image_is_what_it_begins_with() {
    for (start, kind) in [
        (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], "png"),
        (b"\xFF\xD8\xFF\xE0\0\x10JFIF", "jpeg"),
        (b"GIF87a\x01\0\x01\0", "gif"),
        (b"GIF89a\x01\0\x01\0", "gif"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "webp"),
    ] {
        for declared in ["png", "jpeg", "jpg", "gif", "webp"] {
            let url = format!(
                "data:image/{declared};base64,{}",
                Base64::encode_string(start)
            );
            let image = attachment(&url, "p").unwrap();
            assert_eq!(
                (image.mime_type(), image.file_name(1)),
                (format!("image/{kind}"), format!("image-1.{kind}"))
            );
        }
    }
    for other in [
        &b"%PDF-1.7\n%\xE2\xE3\xCF\xD3"[..],
        b"<svg xmlns=\"http://www.w3.org/2000/svg\">",
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"BM\x36\0\0\0\0\0\0\0\x36\0",
        b"\0\0\0\x18ftypheic",
        b"GIF90a\x01\0\x01\0",
        b"\0\0\0",
    ] {
        let url = format!("data:image/png;base64,{}", Base64::encode_string(other));
        assert_eq!(message(&url), "An image is one of png, jpeg, gif and webp.");
    }
}

#[test]
fn base64_is_read_as_browsers_read_it() {
    for written in [
        "iVBO\nRw0K\r\nGgo=\n",
        " iVBORw0KGgo=",
        "iVBORw0KGgo",
        "iVBORw0KGgo%3D",
        "iVBORw0KGgo%3d%0A",
        "%69VBORw0KGgo=",
        "iVBO\t\u{C}Rw0KGgo",
    ] {
        assert_eq!(
            content(&format!("data:image/png;base64,{written}")),
            PNG,
            "{written:?}"
        );
    }
    assert_eq!(content("data:image/jpeg; base64 ,/9j/4A"), "/9j/4A==");
    for content in [
        "",
        "=",
        "A",
        "AA-_",
        "AAAA=",
        "A===",
        "AA=A",
        "=AAA",
        "AAAA====",
        "iVBO%",
        "iVBO%zz=",
        "iVBO\u{A0}Rw0K",
    ] {
        assert_eq!(
            message(&format!("data:image/png;base64,{content}")),
            "The image is not valid base64.",
            "{content:?}"
        );
    }
}

#[test]
fn an_image_that_cannot_be_attached_is_refused_with_the_reason() {
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
    let long = "x".repeat(5000);
    for kind in ["", "svg+xml", "..", "x-icon", "heic", &long] {
        assert_eq!(
            message(&format!("data:image/{kind};base64,{PNG}")),
            "An image is one of png, jpeg, gif and webp.",
            "{kind}"
        );
    }
    assert_eq!(
        message("data:image/png,AAAA"),
        "The data: URL is not base64."
    );
}

#[test]
fn the_size_limit_counts_decoded_bytes() {
    let image = |length: usize| {
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        bytes.resize(length, 0);
        format!("data:image/png;base64,{}", Base64::encode_string(&bytes))
    };
    assert!(attachment(&image(MAX_IMAGE_BYTES), "p").is_ok());
    assert_eq!(
        message(&image(MAX_IMAGE_BYTES + 1)),
        "The image is larger than 5000000 bytes."
    );
}

#[test]
fn base64_is_decoded_like_the_librarys() {
    let mut bytes = Vec::new();
    for byte in 0..=255_u8 {
        bytes.push(byte.wrapping_mul(89));
        assert_eq!(decode(&Base64::encode_string(&bytes)), Some(bytes.clone()));
    }
    assert_eq!(
        decode("YR=="),
        Some(vec![b'a']),
        "the last bits are not read"
    );
    for other in ["YQ-", "Y Q", "=YQ", "YQ\n"] {
        assert_eq!(decode(other), None, "{other:?}");
    }
}
