//! The end of a command that changes a list: prints it, writes it to its file, or sets it as the
//! Worker's secrets.

use clap::{Args, ValueEnum};
use clawfront_core::access::key::KeyId;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::list::{List, refuse_mistakes};
use super::list_file::{ListFile, STDIN};
use super::proof::Deployed;
use super::push::{Done, InForce, Push, RECORD, Target};
use super::source::Source;
use super::wrangler;
use crate::invocation::Invocation;
use crate::outcome::{NOT_IN_FORCE, Output, Problem, USAGE};

/// The destinations of a changed list.
#[derive(Args)]
pub(crate) struct Change {
    /// Change the list of `CLIENT_KEYS`, not the keys of the hub; --file and --apply imply it
    #[arg(long = "static")]
    is_static: bool,
    #[command(flatten)]
    pub(super) source: Source,
    /// Write the list to its file (the default), to the deployed Worker, or to both; without this
    /// option nothing changes
    ///
    /// A Worker's secrets cannot be read back, so the list of the file, with this change, replaces
    /// the Worker's list.
    #[arg(
        long,
        value_name = "WHERE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "file"
    )]
    apply: Option<Apply>,
    #[command(flatten)]
    pub(super) target: Target,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Apply {
    File,
    Worker,
    Both,
}

/// A command's change of a list.
pub(super) struct Changed {
    pub(super) id: KeyId,
    /// The key in the clear, if this command made one.
    pub(super) key: Option<Zeroizing<String>>,
    /// The entry after the change; `None` after a revocation.
    pub(super) entry: Option<String>,
    /// True if a key stops working.
    pub(super) takes_back: bool,
    /// Remarks on the change for the operator, one line each.
    pub(super) warnings: String,
}

impl Change {
    /// Returns true if the command changes the list of `CLIENT_KEYS`. Options that have a meaning
    /// for the list alone imply it.
    pub(super) fn is_static(&self) -> bool {
        self.is_static
            || self.source.file.is_some()
            || self.apply.is_some()
            || self.target.replace
            || self.target.wrangler.are_given()
    }

    /// Reads the list, and locks its file if it is to be changed.
    pub(super) fn file(&self) -> Result<ListFile, Problem> {
        if self.apply.is_some() {
            ListFile::lock(self.source.path())
        } else {
            ListFile::read(self.source.path())
        }
    }

    /// Opens the list of an existing file to change it, and refuses mistakes.
    pub(super) fn open(&self) -> Result<(ListFile, List), Problem> {
        let file = self.file()?.existing()?;
        let list = file.list()?;
        refuse_mistakes(&list)?;
        Ok((file, list))
    }

    fn is_to_file(&self) -> bool {
        matches!(self.apply, Some(Apply::File | Apply::Both))
    }

    fn is_to_worker(&self) -> bool {
        matches!(self.apply, Some(Apply::Worker | Apply::Both))
    }

    /// Refuses options that contradict each other.
    fn refuse_contradictions(&self, file: &ListFile) -> Result<(), Problem> {
        if self.is_to_file() && file.is_stdin() {
            return Err(Problem::with(
                USAGE,
                "standard input cannot be written. Fix: leave --apply=file out; with --file - the \
                 new list is printed on standard output",
            ));
        }
        if self.target.wrangler.are_given() && !self.is_to_worker() {
            return Err(Problem::with(
                USAGE,
                "options for wrangler have no effect here. Fix: add --apply=worker or --apply=both",
            ));
        }
        Ok(())
    }

    /// Returns true if the command only prints the change. A list from standard input is changed
    /// by the caller, which keeps the output.
    pub(super) fn is_rehearsal(&self) -> bool {
        self.apply.is_none() && self.source.name() != STDIN
    }
}

/// Writes the list to its destinations, all or nothing, and describes the result.
pub(super) fn apply(
    change: &Change,
    file: &ListFile,
    list: &List,
    changed: &Changed,
) -> Result<Output, Problem> {
    change.refuse_contradictions(file)?;
    if !list.is_empty() {
        refuse_mistakes(list)?;
    }
    let deployed = change.target.deployed(file)?;
    let text = file.with(list)?;
    let shown = file.shown(&text, list)?;
    if change.is_to_file() && change.is_to_worker() {
        // A rehearsal, so that a file that cannot be written is found before the Worker has
        // changed. Its text has secrets, so it is deleted before wrangler runs.
        drop(file.stage(&text)?);
    }
    let push = Push {
        file,
        list,
        settings: &[],
        target: &change.target,
        taken_back: changed.takes_back.then_some(&changed.id),
    };
    let done = change
        .is_to_worker()
        .then(|| push.send(deployed.as_ref()))
        .transpose()?;
    let to_write = change.is_to_file().then_some(text.as_str());
    let failed = match write(file, to_write, done.as_ref()) {
        // Nothing has changed anywhere.
        Err(problem) if done.is_none() => return Err(problem),
        Err(problem) => Some(problem),
        Ok(()) => None,
    };
    let in_force = done.as_ref().map(|done| done.wait(deployed.as_ref()));
    let report = Report {
        file: change.source.name(),
        list,
        is_rehearsal: change.is_rehearsal(),
        is_written: change.is_to_file() && failed.is_none(),
        was_pushed: Report::was_pushed(file, &changed.id)?,
        changed,
        pushed: done.map(|done| done.pushed),
        in_force,
        deployed,
    };
    let mut output = report.output(change, text, &shown);
    output.note.push_str(&report.notes(file));
    if !report.is_in_force() {
        output.code = NOT_IN_FORCE;
    }
    if let Some(problem) = failed {
        output.note = format!("{}clawfront: {}\n", output.note, problem.message);
        output.code = problem.code;
    }
    Ok(output)
}

/// Writes the new list, and the record of the push, into the file.
pub(super) fn write(
    file: &ListFile,
    list: Option<&str>,
    done: Option<&Done>,
) -> Result<(), Problem> {
    let record = done.filter(|_| file.has_variables() && !file.is_stdin());
    match (list, record) {
        (None, None) => Ok(()),
        (Some(text), None) => file.write(text),
        (list, Some(done)) => {
            let variables = [(RECORD, done.record.as_str())];
            let text = match list {
                Some(text) => file.with_variables_in(text, &variables)?,
                None => file.with_variables(&variables)?,
            };
            file.write(&text)
        }
    }
}

struct Report<'a> {
    file: String,
    list: &'a List,
    is_rehearsal: bool,
    is_written: bool,
    /// The deployed Worker had this key after the last push.
    was_pushed: bool,
    changed: &'a Changed,
    pushed: Option<wrangler::Pushed>,
    in_force: Option<InForce>,
    deployed: Option<Deployed>,
}

impl Report<'_> {
    fn json(&self, shown: &str) -> Value {
        let applied = [("file", self.is_written), ("worker", self.pushed.is_some())];
        let applied: Vec<_> = applied
            .iter()
            .filter(|(_, is)| *is)
            .map(|(name, _)| name)
            .collect();
        let mut fields = json!({
            "id": self.changed.id.as_str(),
            "entry": self.changed.entry,
            "file": self.file,
            "list": shown,
            "applied": applied,
            "worker": self.pushed,
            "in_force": self.in_force.and_then(InForce::as_json),
        });
        if let (Some(key), Some(fields), false) =
            (&self.changed.key, fields.as_object_mut(), self.is_rehearsal)
        {
            fields.insert("key".to_owned(), key.as_str().into());
        }
        fields
    }

    /// Returns true if the change is complete: a revoked key is refused everywhere, a new key is
    /// admitted.
    fn is_in_force(&self) -> bool {
        if self.is_rehearsal {
            return true;
        }
        let remains = self.changed.takes_back
            && match self.in_force {
                Some(in_force) => in_force == InForce::Unknown,
                None => self.was_pushed || self.deployed.is_some(),
            };
        !remains && self.in_force != Some(InForce::NotYet)
    }

    /// Returns the report; a list from standard input goes to standard output, and the report
    /// beside it.
    fn output(&self, change: &Change, list: String, shown: &str) -> Output {
        if change.source.json {
            Output::line(self.json(shown))
        } else if self.file == STDIN {
            Output {
                text: list,
                note: self.key_text() + &self.done_text(),
                code: 0,
            }
        } else {
            Output::of(self.key_text() + &self.list_text(shown) + &self.done_text())
        }
    }

    /// Returns true if the last push had this key.
    fn was_pushed(file: &ListFile, id: &KeyId) -> Result<bool, Problem> {
        let record = file.variable(RECORD)?.unwrap_or_default();
        Ok(record.split_whitespace().any(|known| known == id.as_str()))
    }

    /// Returns the remarks for a person: warnings, and where the change is in force.
    fn notes(&self, file: &ListFile) -> String {
        let exposure = if self.is_written {
            None
        } else {
            file.exposure()
        };
        format!(
            "{}{}{}",
            self.changed.warnings,
            exposure.unwrap_or_default(),
            self.places_text()
        )
    }

    /// Returns the places where the change is in force, and where it is not.
    fn places_text(&self) -> String {
        if self.is_rehearsal {
            return String::new();
        }
        let takes_back = self.changed.takes_back;
        let mut lines = Vec::new();
        let place = self
            .deployed
            .as_ref()
            .map_or("the deployed Worker", |deployed| &deployed.url);
        lines.extend(match (self.in_force, takes_back) {
            (Some(InForce::After(after)), true) => Some(format!(
                "Refused now (401) at {place}: the new list took {:.0} s after the push.",
                after.as_secs_f64()
            )),
            (Some(InForce::After(_)), false) => Some(format!("In force at {place}.")),
            (Some(InForce::NotYet), true) => Some(format!(
                "STILL GOOD at {place}: the old list still answers. Fix: check `wrangler \
                 deployments list`, then run `clawfront keys push`."
            )),
            (Some(InForce::NotYet), false) => Some(format!(
                "Not yet in force at {place}. Fix: run `clawfront keys push`."
            )),
            (Some(InForce::Unknown), true) => Some(
                "Pushed, but not seen to be refused, because the deployed Worker's address is \
                 unknown. Cloudflare needs some seconds. To confirm it, run \
                 `clawfront keys push --worker https://…`."
                    .to_owned(),
            ),
            (Some(InForce::Unknown), false) => Some(
                "Pushed; Cloudflare needs some seconds. With --worker https://… this command \
                 waits for it."
                    .to_owned(),
            ),
            (None, true) if self.was_pushed || self.deployed.is_some() => Some(format!(
                "STILL GOOD at {place}: only the file has changed. Fix: run `clawfront keys push \
                 --replace`."
            )),
            (None, true) if self.is_written => Some(
                "If this list is deployed, the key still works there. Fix: run `clawfront keys \
                 push --replace`."
                    .to_owned(),
            ),
            (None, _) => None,
        });
        lines.extend(self.local_lines());
        lines
            .iter()
            .flat_map(|line| [line.as_str(), "\n"])
            .collect()
    }

    /// Returns the lines about the file, after a key was revoked.
    fn local_lines(&self) -> Vec<String> {
        let serve = Invocation::current().serve();
        let mut lines = Vec::new();
        if !self.changed.takes_back {
            return lines;
        }
        if self.is_written {
            lines.push(format!(
                "A running `{serve}` with this file refuses it within seconds."
            ));
        }
        if !self.is_written && self.pushed.is_some() && self.file != STDIN {
            lines.push(format!(
                "The key still works where {} is used, such as in `{serve}`.",
                self.file
            ));
        }
        lines
    }

    fn key_text(&self) -> String {
        let key = self.changed.key.as_ref().filter(|_| !self.is_rehearsal);
        key.map(|key| {
            format!(
                "Key, for the client, shown only here:\n  {}\n\n",
                key.as_str()
            )
        })
        .unwrap_or_default()
    }

    fn list_text(&self, shown: &str) -> String {
        let entry = self.changed.entry.as_ref();
        let entry = entry
            .map(|entry| format!("Entry:\n  {entry}\n\n"))
            .unwrap_or_default();
        if self.is_written {
            return entry;
        }
        format!("{entry}{} would read:\n{shown}\n", self.file)
    }

    fn done_text(&self) -> String {
        let file = &self.file;
        let done = match &self.pushed {
            None if self.is_written => format!("Written: {file}\n"),
            None if file == STDIN => String::new(),
            None if self.changed.key.is_some() => {
                "Nothing was changed, and no key was made. Add --apply to make it.\n".to_owned()
            }
            None => "Nothing was changed. Add --apply to write it.\n".to_owned(),
            Some(pushed) if self.is_written => format!("Written: {file}\n{}", pushed_text(pushed)),
            Some(pushed) if file == STDIN => pushed_text(pushed),
            Some(pushed) => format!(
                "{}{file} was not changed. Fix: put the list into it, because the next push \
                 replaces the Worker's list.\n",
                pushed_text(pushed)
            ),
        };
        if self.list.is_empty() {
            return format!(
                "{done}No key is left: a Worker with this list refuses all requests.\n"
            );
        }
        done
    }
}

pub(super) fn pushed_text(pushed: &wrangler::Pushed) -> String {
    let deleted = match pushed.deleted.as_slice() {
        [] => String::new(),
        names => format!(", {} deleted", names.join(", ")),
    };
    if pushed.set.is_empty() {
        return format!("The Worker has no client key left{deleted}.\n");
    }
    format!(
        "The Worker's keys are now this list, and no others: {} set{deleted}.\n",
        pushed.set.join(", ")
    )
}
