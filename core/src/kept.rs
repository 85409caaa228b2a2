//! The row that the hub's storage keeps of a run, so that the next hub knows it: a retry of its
//! request gets the same run, and a run that may be going is followed to its end.
//!
//! ```text
//!           the run may have begun                 it ended, or was given up
//!   no row ───────────────────────▶ going ─────────────────────────────────▶ ended ──▶ no row
//!                                                                               its time is over
//! ```
//!
//! The fields of a row are separated by tabs, because no id and no session key has a control
//! character.

/// A run, and the request that asked for it. It borrows its texts: a row is read and written at
/// once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept<'a> {
    pub run: &'a str,
    /// The time until which the row is kept; 0 while the run may be going.
    pub until_ms: u64,
    pub facts: Facts,
    /// The number of the latest attempt.
    pub attempt: u64,
    /// The time of the first attempt.
    pub first_ms: u64,
    /// The time at which the last client left, or at which a later hub found the run without a
    /// client.
    pub left_ms: u64,
    /// The time at which the run was requested.
    pub asked_ms: u64,
    /// Tokens of the runs that this one continues: of their prompts, those of these that were
    /// cached, and of their answers.
    pub spent: [u64; 3],
    /// The randomness from which the ids of the run and of its session were made, and the hash that
    /// identifies the request: 64 bytes in digits.
    pub request: &'a str,
    /// The id of the client's key.
    pub key: &'a str,
    /// The id of the present run: the requested one, or its continuation. Empty if it has ended, as
    /// are the next two.
    pub id: &'a str,
    pub agent: &'a str,
    pub session: &'a str,
}

/// The facts about a run that are true.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts(u64);

impl Facts {
    /// A client received the name of the run's session, or may have received it.
    pub const SESSION_NAMED: Self = Self(1);
    /// The run is in its key's usage, or was not started for this request.
    pub const COUNTED: Self = Self(2);
    /// The end was sent to the client.
    pub const ANSWERED: Self = Self(4);
    /// The gateway has reported the end.
    pub const OVER: Self = Self(8);
    /// The run goes on without its client.
    pub const FINISHES: Self = Self(16);
    /// The gateway has protocol 4.
    pub const V4: Self = Self(32);
    /// The gateway's HTTP endpoint had the run, which ended with its request.
    pub const AT_ENDPOINT: Self = Self(64);

    pub fn has(self, fact: Self) -> bool {
        self.0 & fact.0 != 0
    }

    /// Adds a fact if it is true.
    #[must_use]
    pub fn with(self, fact: Self, is_true: bool) -> Self {
        if is_true { Self(self.0 | fact.0) } else { self }
    }
}

impl<'a> Kept<'a> {
    /// Reads the run's id, a tab, and its row. A later version of the hub adds fields at the end,
    /// so that a run is found again after an upgrade, and after a roll back. Any other row is none.
    pub fn read(line: &'a str) -> Option<Self> {
        let mut fields = line.split('\t');
        let mut numbers = [0; 9];
        let mut texts = [""; 5];
        let run = fields.next()?;
        for number in &mut numbers {
            *number = fields.next()?.parse().ok()?;
        }
        for text in &mut texts {
            *text = fields.next()?;
        }
        let [
            until_ms,
            facts,
            attempt,
            first_ms,
            left_ms,
            asked_ms,
            spent @ ..,
        ] = numbers;
        let [request, key, id, agent, session] = texts;
        Some(Self {
            run,
            until_ms,
            facts: Facts(facts),
            attempt,
            first_ms,
            left_ms,
            asked_ms,
            spent,
            request,
            key,
            id,
            agent,
            session,
        })
    }

    /// Returns the row, without the run's id.
    pub fn row(&self) -> String {
        let [prompt, cached, completion] = self.spent;
        let mut row = String::new();
        for number in [
            self.until_ms,
            self.facts.0,
            self.attempt,
            self.first_ms,
            self.left_ms,
            self.asked_ms,
            prompt,
            cached,
            completion,
        ] {
            row.push_str(&number.to_string());
            row.push('\t');
        }
        let texts = [self.request, self.key, self.id, self.agent, self.session];
        row + &texts.join("\t")
    }

    /// Returns true if the run may be going.
    pub fn is_going(&self) -> bool {
        self.until_ms == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOING: Kept<'static> = Kept {
        run: "0101",
        until_ms: 0,
        facts: Facts(Facts::V4.0 | Facts::SESSION_NAMED.0),
        attempt: 2,
        first_ms: 1_000,
        left_ms: 0,
        asked_ms: 1_001,
        spent: [3, 2, 1],
        request: "07",
        key: "phone",
        id: "announce:requester-settle:main",
        agent: "main",
        session: "agent:main:edge:phone:key:=a b",
    };

    const ENDED: Kept<'static> = Kept {
        until_ms: 9_000,
        facts: Facts(Facts::ANSWERED.0 | Facts::COUNTED.0),
        left_ms: 5_000,
        id: "",
        agent: "",
        session: "",
        ..GOING
    };

    fn line(kept: &Kept<'_>) -> String {
        format!("{}\t{}", kept.run, kept.row())
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        for kept in [GOING, ENDED] {
            assert_eq!(Kept::read(&line(&kept)), Some(kept));
        }
        assert_eq!(
            ENDED.row(),
            "9000\t6\t2\t1000\t5000\t1001\t3\t2\t1\t07\tphone\t\t\t"
        );
        assert_eq!(
            GOING.row(),
            "0\t33\t2\t1000\t0\t1001\t3\t2\t1\t07\tphone\t\
             announce:requester-settle:main\tmain\tagent:main:edge:phone:key:=a b"
        );
    }

    #[test]
    fn a_row_of_another_form_is_none() {
        // As JavaScript writes the row of an earlier version, which was an object.
        assert_eq!(Kept::read("0101\t[object Object]"), None);
        let whole = line(&GOING);
        for (index, _) in whole.match_indices('\t') {
            assert_eq!(Kept::read(whole.split_at(index).0), None);
        }
        assert_eq!(Kept::read(&whole.replace("1001", "-1")), None);
    }

    #[test]
    fn a_row_of_a_later_version_is_read() {
        let later = [line(&GOING), "7".to_owned(), "more".to_owned()].join("\t");
        assert_eq!(Kept::read(&later), Some(GOING));
    }

    proptest! {
        #[test]
        fn no_text_is_read_as_anything_but_its_own_row(
            at in 0..400usize,
            text in "[\\PC\\t]{0,20}",
            is_ended in any::<bool>(),
        ) {
            let mut line = line(if is_ended { &ENDED } else { &GOING });
            let at = at.min(line.len());
            line.insert_str(at, &text);
            if let Some(read) = Kept::read(&line) {
                let again = format!("{}\t{}", read.run, read.row());
                prop_assert_eq!(Kept::read(&again), Some(read));
            }
        }
    }
}
