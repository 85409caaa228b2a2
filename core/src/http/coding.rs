//! Content codings of request bodies: `gzip` and `deflate` are decoded, others are refused.
//!
//! Decoded here and not by the runtime's `DecompressionStream`, because that one inflates its input
//! whether or not anybody reads. 1 MB that expanded to 1 GB took 830 MB of memory before its reader
//! could stop. Source: workerd 1.20261117.1, measured.

use miniz_oxide::inflate::TINFLStatus as Status;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use crate::failure::Failure;

/// The codings that a refusal lists as accepted. Source: RFC 9110, section 12.5.3.
pub const ACCEPTED: &str = "gzip, deflate, identity";

/// Names the coding of a request's body.
pub const HEADER: &str = "content-encoding";

/// First room for a decoded `deflate` body, as a multiple of the encoded length.
const FIRST_ROOM: usize = 4;

/// Bytes of gzip's trailer: a checksum and the length. Source: RFC 1952, section 2.3.
const TRAILER_BYTES: usize = 8;

/// The coding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950, which HTTP calls `deflate`.
    Deflate,
}

impl Coding {
    /// Returns the coding that the header `Content-Encoding` names. Several codings, one after the
    /// other, are refused.
    pub fn of(header: Option<&str>) -> Result<Self, Failure> {
        match header
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
            .as_str()
        {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            _ => Err(Failure::UnsupportedContentEncoding),
        }
    }

    /// Decodes a body. `reserve` is called with the number of decoded bytes before they get memory,
    /// and more than `limit_bytes` are never written.
    pub fn decode(
        self,
        body: Vec<u8>,
        limit_bytes: usize,
        reserve: impl FnMut(usize) -> Result<(), Failure>,
    ) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => gunzip(&body, limit_bytes, reserve),
            Self::Deflate => {
                let room = body.len().saturating_mul(FIRST_ROOM).min(limit_bytes);
                let flags = TINFL_FLAG_PARSE_ZLIB_HEADER;
                let (decoded, rest) = inflate(&body, flags, room, limit_bytes, reserve)?;
                if rest.is_empty() {
                    Ok(decoded)
                } else {
                    Err(malformed())
                }
            }
        }
    }
}

/// Decodes one member of a gzip file. Its last bytes give its length, so it gets that room and no
/// more. Its checksum is not verified, because TLS has a checksum of its own.
fn gunzip(
    body: &[u8],
    limit_bytes: usize,
    reserve: impl FnMut(usize) -> Result<(), Failure>,
) -> Result<Vec<u8>, Failure> {
    let data = gzip_data(body).ok_or_else(malformed)?;
    let length = body
        .last_chunk()
        .and_then(|length| usize::try_from(u32::from_le_bytes(*length)).ok())
        .ok_or_else(malformed)?;
    if length > limit_bytes {
        return Err(Failure::RequestTooLarge { limit_bytes });
    }
    match inflate(data, 0, length, length, reserve) {
        Ok((decoded, rest)) if rest.len() == TRAILER_BYTES && decoded.len() == length => {
            Ok(decoded)
        }
        Err(failure) if !matches!(failure, Failure::RequestTooLarge { .. }) => Err(failure),
        _ => Err(malformed()),
    }
}

/// Returns the bytes after gzip's header. Source: RFC 1952, section 2.3.
fn gzip_data(body: &[u8]) -> Option<&[u8]> {
    const EXTRA: u8 = 0x04;
    const NAME: u8 = 0x08;
    const COMMENT: u8 = 0x10;
    const CHECKSUM: u8 = 0x02;
    let ([0x1F, 0x8B, 8, flags, _, _, _, _, _, _], mut data) = body.split_first_chunk::<10>()?
    else {
        return None;
    };
    if flags & EXTRA != 0 {
        let (length, rest) = data.split_first_chunk::<2>()?;
        data = rest.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = data.iter().position(|byte| *byte == 0)?;
            data = data.get(end..)?.get(1..)?;
        }
    }
    if flags & CHECKSUM != 0 {
        data = data.get(2..)?;
    }
    Some(data)
}

/// Inflates `data` into `room` bytes, and doubles the room when it is full. Also returns the bytes
/// after the data.
fn inflate(
    data: &[u8],
    flags: u32,
    room: usize,
    limit_bytes: usize,
    mut reserve: impl FnMut(usize) -> Result<(), Failure>,
) -> Result<(Vec<u8>, &[u8]), Failure> {
    let mut state = Box::new(DecompressorOxide::new());
    let mut out = Vec::new();
    let (mut data, mut written) = (data, 0_usize);
    grow(&mut out, room, &mut reserve)?;
    loop {
        let flags = flags | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, read, wrote) = decompress(&mut state, data, &mut out, written, flags);
        data = data.get(read..).ok_or_else(malformed)?;
        written = written.saturating_add(wrote);
        match status {
            Status::Done => {
                out.truncate(written);
                return Ok((out, data));
            }
            Status::HasMoreOutput if out.len() >= limit_bytes => {
                return Err(Failure::RequestTooLarge { limit_bytes });
            }
            Status::HasMoreOutput => {
                let room = out.len().saturating_mul(2).clamp(1, limit_bytes);
                grow(&mut out, room, &mut reserve)?;
            }
            _ => return Err(malformed()),
        }
    }
}

fn grow(
    out: &mut Vec<u8>,
    room: usize,
    reserve: &mut impl FnMut(usize) -> Result<(), Failure>,
) -> Result<(), Failure> {
    reserve(room)?;
    let more = room.saturating_sub(out.len());
    out.try_reserve_exact(more)
        .map_err(|_| Failure::TooManyLargeBodies)?;
    out.resize(room, 0);
    Ok(())
}

fn malformed() -> Failure {
    Failure::invalid(
        HEADER,
        "The request body is not what its Content-Encoding says.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '{"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}' | gzip -n`
    const GZIP: [u8; 30] = [
        0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xAB, 0x56, 0x4A, 0x54, 0xB2,
        0x52, 0x4A, 0x24, 0x00, 0x94, 0x6A, 0x01, 0x1E, 0x85, 0x6F, 0xB0, 0x28, 0x00, 0x00, 0x00,
    ];
    const LIMIT: usize = 1024 * 1024;

    fn text() -> Vec<u8> {
        format!(r#"{{"a":"{}"}}"#, "a".repeat(32)).into_bytes()
    }

    fn decoded(coding: Coding, body: &[u8]) -> Result<Vec<u8>, Failure> {
        coding.decode(body.to_vec(), LIMIT, |_| Ok(()))
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        miniz_oxide::deflate::compress_to_vec_zlib(text, 9)
    }

    /// A gzip file that claims this length.
    fn gzip(text: &[u8], length: usize) -> Vec<u8> {
        let mut file = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3];
        file.extend(miniz_oxide::deflate::compress_to_vec(text, 9));
        file.extend([0; 4]);
        file.extend(u32::try_from(length).unwrap().to_le_bytes());
        file
    }

    #[test]
    fn a_coding_is_undone_or_refused() {
        for (header, coding) in [
            (None, Coding::Identity),
            (Some(" "), Coding::Identity),
            (Some("Identity"), Coding::Identity),
            (Some("GZIP"), Coding::Gzip),
            (Some("x-gzip"), Coding::Gzip),
            (Some("deflate"), Coding::Deflate),
        ] {
            assert_eq!(Coding::of(header), Ok(coding), "{header:?}");
        }
        for header in ["zstd", "br", "gzip, gzip", "gzip,", "claw_x"] {
            assert_eq!(
                Coding::of(Some(header)),
                Err(Failure::UnsupportedContentEncoding),
                "{header}"
            );
        }
        assert_eq!(decoded(Coding::Identity, b"x").unwrap(), b"x");
        assert_eq!(decoded(Coding::Deflate, &zlib(&text())).unwrap(), text());
        assert_eq!(decoded(Coding::Gzip, &GZIP).unwrap(), text());
        assert_eq!(decoded(Coding::Gzip, &gzip(b"", 0)).unwrap(), b"");
        assert_eq!(decoded(Coding::Deflate, &zlib(b"")).unwrap(), b"");
    }

    #[test]
    fn a_header_may_have_fields() {
        let plain = gzip(b"x", 1);
        for (flags, fields) in [
            (0x08, &b"name\0"[..]),
            (0x10, b"comment\0"),
            (0x04, &[2, 0, 7, 7]),
            (0x1E, &[1, 0, 7, b'n', 0, b'c', 0, 1, 2]),
        ] {
            let mut file = plain.clone();
            file[3] = flags;
            file.splice(10..10, fields.iter().copied());
            assert_eq!(decoded(Coding::Gzip, &file).unwrap(), b"x", "{flags}");
        }
    }

    #[test]
    fn a_broken_body_is_refused() {
        for end in 0..GZIP.len() {
            let file = GZIP.get(..end).unwrap();
            // The length field may have more than the limit.
            let result = decoded(Coding::Gzip, file);
            assert!(
                matches!(
                    result,
                    Err(Failure::InvalidRequest { .. } | Failure::RequestTooLarge { .. })
                ),
                "{end}"
            );
        }
        let zlib = zlib(&text());
        for end in 0..zlib.len() {
            let file = zlib.get(..end).unwrap();
            assert!(
                matches!(
                    decoded(Coding::Deflate, file),
                    Err(Failure::InvalidRequest { .. })
                ),
                "{end}"
            );
        }
        for file in [
            [GZIP.as_slice(), b"x"].concat(),
            gzip(&text(), text().len() - 1),
            gzip(&text(), text().len() + 1),
            text(),
            zlib.clone(),
        ] {
            assert!(decoded(Coding::Gzip, &file).is_err());
        }
        assert!(decoded(Coding::Deflate, &[zlib.as_slice(), b"x"].concat()).is_err());
    }

    #[test]
    fn a_bomb_gets_the_room_of_the_limit_and_no_more() {
        let zeros = vec![0; 8 * LIMIT];
        for (coding, bomb) in [
            (Coding::Deflate, zlib(&zeros)),
            (Coding::Gzip, gzip(&zeros, zeros.len())),
            (Coding::Gzip, gzip(&zeros, LIMIT)),
        ] {
            let mut most = 0;
            let result = coding.decode(bomb, LIMIT, |bytes| {
                most = most.max(bytes);
                Ok(())
            });
            assert!(matches!(
                result,
                Err(Failure::RequestTooLarge { .. } | Failure::InvalidRequest { .. })
            ));
            assert!(most <= LIMIT, "{most}");
        }
        let full = Coding::Deflate.decode(zlib(&zeros), LIMIT, |bytes| {
            if bytes > LIMIT / 4 {
                Err(Failure::TooManyLargeBodies)
            } else {
                Ok(())
            }
        });
        assert_eq!(full, Err(Failure::TooManyLargeBodies));
    }
}
