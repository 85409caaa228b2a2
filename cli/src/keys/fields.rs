//! The fields of a key as options of a command.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use clawfront_core::access::field::FIELDS;

/// The given fields: one option for each row of core's table.
pub(super) struct Fields(Vec<(&'static str, String)>);

impl Fields {
    pub(super) fn given(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

impl Args for Fields {
    fn augment_args(command: Command) -> Command {
        FIELDS.iter().fold(command, |command, field| {
            let default = match field.default {
                Some(default) => format!(" [default: {default}]"),
                None => " [a new key needs it, except with --scopes admin]".to_owned(),
            };
            command.arg(
                Arg::new(field.name)
                    .long(field.name.replace('_', "-"))
                    .value_name(field.values)
                    .help(format!("{}{default}", field.about)),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Fields {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = FIELDS
            .iter()
            .filter_map(|field| Some((field.name, matches.get_one::<String>(field.name)?.clone())));
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
