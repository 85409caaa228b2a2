//! Content codings of request bodies: `gzip` and `deflate` are decoded, others are refused.
//!
//! The caller inflates the compressed part, because the runtime has zlib of its own. Its
//! `DecompressionStream` is not used, because it inflates its input whether or not anybody reads. 1
//! MB that expanded to 1 GB took 830 MB of memory before its reader could stop. Source: workerd
//! 1.20261117.1, measured.

use crate::failure::Failure;

/// The codings that a refusal lists as accepted. Source: RFC 9110, section 12.5.3.
pub const ACCEPTED: &str = "gzip, deflate, identity";

/// Names the coding of a request's body.
pub const HEADER: &str = "content-encoding";

/// First room for a decoded `deflate` body, as a multiple of the encoded length.
const FIRST_ROOM: usize = 4;

/// The first bytes of a gzip file. Source: RFC 1952, section 2.3.1.
const GZIP_MAGIC: [u8; 3] = [0x1F, 0x8B, 8];

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
    /// and `inflate` with that memory, never with more than `limit_bytes`.
    pub fn decode(
        self,
        body: Vec<u8>,
        limit_bytes: usize,
        reserve: impl FnMut(usize) -> Result<(), Failure>,
        inflate: impl Fn(Format, &[u8], &mut [u8]) -> Inflated,
    ) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => gunzip(&body, limit_bytes, reserve, inflate),
            Self::Deflate => inflate_zlib(&body, limit_bytes, reserve, inflate),
        }
    }
}

/// The format of compressed data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 1952.
    Gzip,
    /// RFC 1950.
    Zlib,
}

/// The result of inflating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inflated {
    /// The number of bytes.
    Whole(usize),
    /// They are more than the memory for them.
    Full,
    Malformed,
}

/// Decodes a gzip file. Its last bytes give its length, so it gets that room and no more.
fn gunzip(
    body: &[u8],
    limit_bytes: usize,
    mut reserve: impl FnMut(usize) -> Result<(), Failure>,
    inflate: impl Fn(Format, &[u8], &mut [u8]) -> Inflated,
) -> Result<Vec<u8>, Failure> {
    let length = body
        .last_chunk()
        .filter(|_| body.starts_with(&GZIP_MAGIC))
        .and_then(|length| usize::try_from(u32::from_le_bytes(*length)).ok())
        .ok_or_else(malformed)?;
    if length > limit_bytes {
        return Err(Failure::RequestTooLarge { limit_bytes });
    }
    let mut out = Vec::new();
    grow(&mut out, length, &mut reserve)?;
    match inflate(Format::Gzip, body, &mut out) {
        Inflated::Whole(written) if written == length => Ok(out),
        _ => Err(malformed()),
    }
}

/// Decodes a `deflate` body. Its length is not known, so it is inflated again into twice the room
/// while the room is full.
fn inflate_zlib(
    body: &[u8],
    limit_bytes: usize,
    mut reserve: impl FnMut(usize) -> Result<(), Failure>,
    inflate: impl Fn(Format, &[u8], &mut [u8]) -> Inflated,
) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    let mut room = body.len().saturating_mul(FIRST_ROOM).min(limit_bytes);
    loop {
        grow(&mut out, room, &mut reserve)?;
        match inflate(Format::Zlib, body, &mut out) {
            Inflated::Whole(written) => {
                out.truncate(written);
                // zlib ignores what follows its data.
                return if body.ends_with(&adler32(&out)) {
                    Ok(out)
                } else {
                    Err(malformed())
                };
            }
            Inflated::Full if room >= limit_bytes => {
                return Err(Failure::RequestTooLarge { limit_bytes });
            }
            Inflated::Full => room = room.saturating_mul(2).clamp(1, limit_bytes),
            Inflated::Malformed => return Err(malformed()),
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

/// Returns the checksum at the end of `deflate` data. Source: RFC 1950, section 8.
fn adler32(bytes: &[u8]) -> [u8; 4] {
    const BASE: u32 = 65_521;
    // As many as can be added up before the sums exceed 32 bits.
    const PIECE_BYTES: usize = 5_552;
    let (mut low, mut high) = (1_u32, 0_u32);
    for piece in bytes.chunks(PIECE_BYTES) {
        for byte in piece {
            low = low.wrapping_add(u32::from(*byte));
            high = high.wrapping_add(low);
        }
        low %= BASE;
        high %= BASE;
    }
    (high << 16 | low).to_be_bytes()
}

fn malformed() -> Failure {
    Failure::invalid(
        HEADER,
        "The request body is not what its Content-Encoding says.",
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use miniz_oxide::inflate::TINFLStatus as Status;
    use miniz_oxide::inflate::core::inflate_flags::{
        TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
    };
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

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
        coding.decode(body.to_vec(), LIMIT, |_| Ok(()), inflate)
    }

    /// Inflates as the runtime's zlib does, but reads no fields of gzip's header.
    fn inflate(format: Format, data: &[u8], out: &mut [u8]) -> Inflated {
        let (data, flags, trailer_bytes) = match format {
            Format::Gzip => (data.get(10..).unwrap_or_default(), 0, 8),
            Format::Zlib => (data, TINFL_FLAG_PARSE_ZLIB_HEADER, 0),
        };
        let flags = flags | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let mut state = Box::new(DecompressorOxide::new());
        let (status, read, written) = decompress(&mut state, data, out, 0, flags);
        match status {
            Status::Done if data.len().saturating_sub(read) >= trailer_bytes => {
                Inflated::Whole(written)
            }
            Status::HasMoreOutput => Inflated::Full,
            _ => Inflated::Malformed,
        }
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
            let reserved = Cell::new(0);
            let reserve = |bytes: usize| {
                reserved.set(bytes);
                Ok(())
            };
            let result = coding.decode(bomb, LIMIT, reserve, |format, data, out| {
                assert_eq!(out.len(), reserved.get());
                inflate(format, data, out)
            });
            assert!(matches!(
                result,
                Err(Failure::RequestTooLarge { .. } | Failure::InvalidRequest { .. })
            ));
            assert!(reserved.get() <= LIMIT, "{}", reserved.get());
        }
        let reserve = |bytes: usize| {
            if bytes > LIMIT / 4 {
                Err(Failure::TooManyLargeBodies)
            } else {
                Ok(())
            }
        };
        let full = Coding::Deflate.decode(zlib(&zeros), LIMIT, reserve, inflate);
        assert_eq!(full, Err(Failure::TooManyLargeBodies));
    }

    #[test]
    fn a_checksum_is_over_all_bytes() {
        for text in [b"".to_vec(), text(), vec![0xFF; 3 * 5_552 + 1]] {
            assert!(zlib(&text).ends_with(&adler32(&text)));
        }
    }
}
