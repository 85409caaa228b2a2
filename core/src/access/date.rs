//! Moments as a key's entry writes them: `2027-01-31` (its first moment, UTC) or
//! `2027-01-31T18:00:00Z`.

use std::fmt;

use time::{Month, OffsetDateTime, PrimitiveDateTime, Time};

/// Seconds in a day.
pub const DAY_S: u64 = 86_400;

/// A moment, to the second, from 1970 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    unix_s: u64,
}

impl Date {
    /// Parses a date, or a date and time as RFC 3339 writes it, in UTC. Parsed by hand and not by a
    /// library, because only these two forms are allowed.
    #[inline(never)]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = match text.split_once('T') {
            Some((date, time)) => (date, time.strip_suffix('Z')?),
            None => (text, "00:00:00"),
        };
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        let date =
            time::Date::from_calendar_date(year.into(), month, u8::try_from(day).ok()?).ok()?;
        let time = Time::from_hms(
            u8::try_from(hour).ok()?,
            u8::try_from(minute).ok()?,
            u8::try_from(second).ok()?,
        );
        let moment = PrimitiveDateTime::new(date, time.ok()?).assume_utc();
        Some(Self {
            unix_s: u64::try_from(moment.unix_timestamp()).ok()?,
        })
    }

    /// Returns the moment that is `unix_s` seconds after the Unix epoch.
    pub fn from_unix_s(unix_s: u64) -> Self {
        Self { unix_s }
    }

    /// Returns the first moments of this moment's month and of the next, in UTC.
    pub fn month(self) -> (Self, Self) {
        let seconds = i64::try_from(self.unix_s).unwrap_or_default();
        let date = OffsetDateTime::from_unix_timestamp(seconds)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
            .date();
        let day = self.unix_s / DAY_S;
        let first = day.saturating_sub(u64::from(date.day().saturating_sub(1)));
        let length = u64::from(date.month().length(date.year()));
        (
            Self::from_unix_s(first.saturating_mul(DAY_S)),
            Self::from_unix_s(first.saturating_add(length).saturating_mul(DAY_S)),
        )
    }

    /// Returns the milliseconds since the Unix epoch.
    pub fn unix_ms(self) -> u64 {
        self.unix_s.saturating_mul(1000)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.unix_s).unwrap_or_default();
        let moment =
            OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
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

/// Parses three numbers that have exactly `digits` digits each.
fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[u16; 3]> {
    let mut parts = text.split(separator);
    let mut next = |digits: usize| {
        parts
            .next()
            .filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?
            .parse()
            .ok()
    };
    let [first, second, third] = digits;
    let numbers = [next(first)?, next(second)?, next(third)?];
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_read_and_written_in_utc() {
        for (text, unix_s, written) in [
            ("1970-01-01", 0, "1970-01-01T00:00:00Z"),
            // date -ud 2028-02-29 +%s
            ("2028-02-29", 1_835_395_200, "2028-02-29T00:00:00Z"),
            (
                "2027-01-31T18:00:00Z",
                1_801_418_400,
                "2027-01-31T18:00:00Z",
            ),
            (
                "2027-01-31T23:59:59Z",
                1_801_439_999,
                "2027-01-31T23:59:59Z",
            ),
        ] {
            let date = Date::parse(text).unwrap();
            assert_eq!(
                (date.unix_ms(), date.to_string().as_str()),
                (unix_s * 1000, written),
                "{text}"
            );
        }
        for (text, first, next) in [
            ("2028-02-29T23:59:59Z", "2028-02-01", "2028-03-01"),
            ("2027-12-31", "2027-12-01", "2028-01-01"),
            ("2027-01-01", "2027-01-01", "2027-02-01"),
        ] {
            let expected = (Date::parse(first).unwrap(), Date::parse(next).unwrap());
            assert_eq!(Date::parse(text).unwrap().month(), expected, "{text}");
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
            "2027-01-31T18:00:00+01:00",
            "2027-01-31T24:00:00Z",
            "2027-01-31T18:00Z",
            "+027-01-31",
            "2027-01-31-01",
            "1969-12-31",
            "2027-01-31Z",
            "tomorrow!!",
        ] {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
    }
}
