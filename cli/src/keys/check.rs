//! `clawfront keys check`: reports the mistakes of a list, and checks whether a key is admitted.

use std::net::IpAddr;

use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::list::refuse_mistakes;
use super::list_file::{ListFile, STDIN, stdin};
use super::source::Source;
use crate::outcome::{MISTAKES, NOT_ADMITTED, Output, Problem, USAGE};
use crate::system::now_ms;

pub(super) const EXAMPLES: &str = concat!(
    "Examples:
  clawfront keys check
  pbpaste | clawfront keys check --key-stdin --address 203.0.113.7

",
    crate::outcome::exit_codes!()
);

#[derive(Args)]
pub(crate) struct Check {
    /// Read a key from standard input and check whether it would be admitted now
    #[arg(long)]
    key_stdin: bool,
    /// The client's address, for keys with networks
    #[arg(long, value_name = "IP", requires = "key_stdin")]
    address: Option<IpAddr>,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(check: &Check) -> Result<Output, Problem> {
    if check.key_stdin && check.source.name() == STDIN {
        return Err(Problem::with(
            USAGE,
            "standard input cannot be both the list and the key. Fix: give the list with --file",
        ));
    }
    let list = ListFile::read(check.source.path())?.existing()?.list()?;
    let mistakes = list.mistakes();
    let (mut key, mut message, mut code) = (Value::Null, String::new(), 0);
    if !mistakes.is_empty() {
        code = MISTAKES;
    } else if check.key_stdin {
        let presented = Zeroizing::new(stdin()?);
        match list
            .clients()
            .admit(presented.trim(), now_ms()?, check.address)
        {
            Ok(client) => {
                key = json!({ "admitted": true, "id": client.id.as_str(), "reason": null, "hint": null });
                message = format!("The key is admitted as {}.\n", client.id);
            }
            Err(denial) => {
                key = json!({ "admitted": false, "id": null, "reason": denial.code(), "hint": denial.message() });
                message = format!(
                    "The key is not admitted ({}): {}.\n",
                    denial.code(),
                    denial.message()
                );
                code = NOT_ADMITTED;
            }
        }
    }
    let count = list.keys().len();
    if check.source.json {
        let report =
            json!({ "file": check.source.name(), "keys": count, "mistakes": mistakes, "key": key });
        return Ok(Output {
            code,
            ..Output::line(report)
        });
    }
    if code == MISTAKES {
        return refuse_mistakes(&list).map(|()| Output::default());
    }
    Ok(Output {
        code,
        ..Output::of(format!(
            "{count} {}, no mistakes.\n{message}",
            if count == 1 { "key" } else { "keys" }
        ))
    })
}
