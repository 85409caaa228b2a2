//! Moments as a key's entry writes them: `2027-01-31` (its first moment, UTC) or `2027-01-31T18:00:00Z`.

use std::fmt;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// A moment, to the second, from 1970 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    unix_s: u64,
}

impl Date {
    /// Reads a date, or a date and time as RFC 3339 writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = if text.len() == "2027-01-31".len() {
            OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339)
        } else {
            OffsetDateTime::parse(text, &Rfc3339)
        };
        Some(Self {
            unix_s: u64::try_from(moment.ok()?.unix_timestamp()).ok()?,
        })
    }

    /// Milliseconds since the Unix epoch.
    pub fn unix_ms(self) -> u64 {
        self.unix_s.saturating_mul(1000)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.unix_s).unwrap_or_default();
        let moment = OffsetDateTime::from_unix_timestamp(seconds)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
            .to_offset(UtcOffset::UTC);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            moment.year(),
            u8::from(moment.month()),
            moment.day(),
            moment.hour(),
            moment.minute(),
            moment.second()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_read_as_rfc_3339_and_written_in_utc() {
        for (text, unix_s, written) in [
            ("1970-01-01", 0, "1970-01-01T00:00:00Z"),
            // date -ud 2028-02-29 +%s
            ("2028-02-29", 1_835_395_200, "2028-02-29T00:00:00Z"),
            ("2027-01-31T18:00:00Z", 1_801_418_400, "2027-01-31T18:00:00Z"),
            ("2027-01-31T18:00:00+01:00", 1_801_414_800, "2027-01-31T17:00:00Z"),
        ] {
            let date = Date::parse(text).unwrap();
            assert_eq!(
                (date.unix_ms(), date.to_string().as_str()),
                (unix_s * 1000, written),
                "{text}"
            );
        }
        for bad in [
            "",
            "2027",
            "2027-1-31",
            "2027-02-29",
            "2027-13-01",
            "31.01.2027",
            "2027-01-31T18:00:00",
            "2027-01-31 18:00",
            "1969-12-31",
            "2027-01-31Z",
            "tomorrow!!",
        ] {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
    }
}
