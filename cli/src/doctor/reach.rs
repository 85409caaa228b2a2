//! One agent, the keys that reach it, and its exposure.

use clawfront_core::gateway::exposure::Exposure;
use serde_json::{Value, json};

use super::text::list;

/// One agent, and the keys that reach it.
pub(crate) struct Reach {
    pub(super) keys: Vec<String>,
    pub(super) exposure: Exposure,
}

impl Reach {
    /// Returns its line for people.
    pub(crate) fn line(&self) -> String {
        let Exposure {
            agent,
            commands,
            files,
            sessions,
            unseen,
        } = &self.exposure;
        let parts = [
            ("runs commands on the gateway's host", commands),
            ("reaches files of the gateway's host", files),
            ("reads other sessions", sessions),
        ];
        let open: Vec<_> = parts
            .into_iter()
            .filter(|(_, tools)| is_open(tools.as_ref()))
            .map(|(what, tools)| format!("{what} ({})", list(tools.iter().flatten())))
            .collect();
        let found = match unseen {
            Some(why) => format!("unknown: {why}"),
            None if open.is_empty() => {
                "no commands, no files of the host, no other sessions".to_owned()
            }
            None => open.join("; "),
        };
        format!("{} → {agent}: {found}", list(&self.keys))
    }

    /// Returns the settings in `openclaw.json` that close it.
    pub(crate) fn settings(&self) -> Vec<String> {
        let agent = &self.exposure.agent;
        let mut settings = Vec::new();
        if is_open(self.exposure.sessions.as_ref()) {
            settings.push("tools.sessions.visibility: \"self\"".to_owned());
        }
        let groups: Vec<_> = [
            ("\"group:runtime\"", &self.exposure.commands),
            ("\"group:fs\"", &self.exposure.files),
        ]
        .into_iter()
        .filter(|(_, tools)| is_open(tools.as_ref()))
        .map(|(group, _)| group)
        .collect();
        if !groups.is_empty() {
            settings.push(format!(
                "agents.entries.{agent}.tools.deny: [{}]",
                groups.join(", ")
            ));
        }
        settings
    }

    pub(crate) fn json(&self) -> Value {
        let Exposure {
            agent,
            commands,
            files,
            sessions,
            unseen,
        } = &self.exposure;
        json!({
            "agent": agent.as_str(), "keys": self.keys, "commands": commands, "files": files, "sessions": sessions,
            "unseen": unseen, "settings": self.settings(),
        })
    }
}

pub(super) fn is_open(tools: Option<&Vec<String>>) -> bool {
    tools.is_some_and(|tools| !tools.is_empty())
}
