//! What becomes of a changed list: it is shown, written to its file, set as the Worker's secrets.

use clap::{Args, ValueEnum};
use clawfront_core::key::KeyId;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::list::List;
use super::list_file::{ListFile, STDIN, Staged};
use super::{Source, refuse_mistakes, wrangler};
use crate::{Output, Problem, USAGE};

/// What to do with a changed list.
#[derive(Args)]
pub(crate) struct Change {
    #[command(flatten)]
    pub(super) source: Source,
    /// Write the list, to its file (the default), to the deployed Worker, or both; without it nothing changes
    ///
    /// A Worker's secrets cannot be read back: what is pushed is the list of the file, with this change, and replaces the Worker's.
    #[arg(long, value_name = "WHERE", num_args = 0..=1, require_equals = true, default_missing_value = "file")]
    apply: Option<Apply>,
    #[command(flatten)]
    wrangler: wrangler::Options,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Apply {
    File,
    Worker,
    Both,
}

/// What a command changed of a list.
pub(super) struct Changed {
    pub(super) id: KeyId,
    /// In the clear, if it was made here.
    pub(super) key: Option<Zeroizing<String>>,
    /// As it reads now; none once it is revoked.
    pub(super) entry: Option<String>,
}

/// Writes the list where it was asked for, all or nothing, and says what it is now.
pub(super) fn apply(change: &Change, file: &ListFile, list: &List, changed: &Changed) -> Result<Output, Problem> {
    let to_file = matches!(change.apply, Some(Apply::File | Apply::Both));
    let to_worker = matches!(change.apply, Some(Apply::Worker | Apply::Both));
    if to_file && file.is_stdin() {
        return Err(Problem::with(
            USAGE,
            "standard input is not written: with --file - the new list is on standard output",
        ));
    }
    if change.wrangler.are_given() && !to_worker {
        return Err(Problem::with(
            USAGE,
            "options for wrangler need --apply=worker or --apply=both",
        ));
    }
    if !list.is_empty() {
        refuse_mistakes(list)?;
    }
    let text = file.with(list)?;
    let shown = file.shown(&text, list)?;
    if to_file && to_worker {
        // A rehearsal: a file that cannot be written is found before the Worker has changed. What was written, secrets among it, does
        // not lie there while wrangler runs.
        drop(file.stage(&text)?);
    }
    let pushed = to_worker
        .then(|| wrangler::push(&list.secrets()?, &change.wrangler))
        .transpose()?;
    let written = to_file.then(|| file.stage(&text).and_then(Staged::commit));
    let failed = match written {
        // Nothing has changed anywhere.
        Some(Err(problem)) if pushed.is_none() => return Err(problem),
        Some(Err(problem)) => Some(problem),
        _ => None,
    };
    let report = Report {
        file: change.source.name(),
        is_last: list.is_empty(),
        is_written: to_file && failed.is_none(),
        changed,
        pushed,
    };
    let mut output = if change.source.json {
        Output::line(report.json(&shown))
    } else if file.is_stdin() {
        Output {
            text,
            note: report.key_text() + &report.done_text(),
            code: 0,
        }
    } else {
        Output::of(report.key_text() + &report.list_text(&shown) + &report.done_text())
    };
    if let Some(problem) = failed {
        output.note = format!("{}clawfront: {}\n", output.note, problem.message);
        output.code = problem.code;
    }
    Ok(output)
}

struct Report<'a> {
    file: String,
    /// The list has no key any more.
    is_last: bool,
    is_written: bool,
    changed: &'a Changed,
    pushed: Option<wrangler::Pushed>,
}

impl Report<'_> {
    fn json(&self, shown: &str) -> Value {
        let applied = [("file", self.is_written), ("worker", self.pushed.is_some())];
        let applied: Vec<_> = applied.iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
        let mut fields = json!({
            "id": self.changed.id.as_str(),
            "entry": self.changed.entry,
            "file": self.file,
            "list": shown,
            "applied": applied,
            "worker": self.pushed,
        });
        if let (Some(key), Some(fields)) = (&self.changed.key, fields.as_object_mut()) {
            fields.insert("key".to_owned(), key.as_str().into());
        }
        fields
    }

    fn key_text(&self) -> String {
        let key = self.changed.key.as_ref();
        key.map(|key| format!("Key, for the client, shown only here:\n  {}\n\n", key.as_str()))
            .unwrap_or_default()
    }

    fn list_text(&self, shown: &str) -> String {
        let entry = self.changed.entry.as_ref();
        let entry = entry.map(|entry| format!("Entry:\n  {entry}\n\n")).unwrap_or_default();
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
            None => "Nothing was changed: --apply writes it.\n".to_owned(),
            Some(pushed) if self.is_written => format!("Written: {file}\n{}", pushed_text(pushed)),
            Some(pushed) if file == STDIN => pushed_text(pushed),
            Some(pushed) => format!(
                "{}{file} was not changed: put the list into it, the next push replaces the Worker's.\n",
                pushed_text(pushed)
            ),
        };
        if self.is_last {
            return format!("{done}No key is left: a Worker with this list lets nobody in.\n");
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
        return format!("The Worker has no client key any more{deleted}.\n");
    }
    format!(
        "The Worker's keys are now this list, and no others: {} set{deleted}.\n",
        pushed.set.join(", ")
    )
}
