//! Asks a gateway for its agents' abilities besides answering: run commands, read files, read other
//! sessions. Uses one connection and only reads.
//!
//! Source: OpenClaw 2026.9.6, `config.get` (redacted), `sessions.list` and `tools.effective` with
//! `operator.read`, measured. Protocol 3 has no `tools.effective`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::agent::AgentId;
use crate::failure::Failure;
use crate::gateway::client_identity::ClientIdentity;
use crate::gateway::credential::Credential;
use crate::gateway::device::Sign;
use crate::gateway::frame::NoParams;
use crate::gateway::link::{Incoming, Link, Protocol, RequestId};
use crate::parse::{self, Value, object};

/// Tools that run commands. Source: OpenClaw 2026.9.6, `group:runtime`.
const COMMANDS: [&str; 3] = ["exec", "process", "code_execution"];
/// Tools that read or write files. Source: OpenClaw 2026.9.6, `group:fs`.
const FILES: [&str; 4] = ["read", "write", "edit", "apply_patch"];
/// Tools that reach sessions other than their own. Source: OpenClaw 2026.9.6, `group:sessions`.
const SESSIONS: [&str; 4] = [
    "sessions_history",
    "sessions_search",
    "sessions_list",
    "sessions_send",
];

/// Part of the key of every session of our clients.
const OWN_SESSIONS: &str = ":edge:";

/// The findings about one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    pub agent: AgentId,
    /// Tools that run commands on the gateway's host; `None` if they cannot be seen.
    pub commands: Option<Vec<String>>,
    /// Tools that read or write files of the gateway's host, beyond the agent's workspace.
    pub files: Option<Vec<String>>,
    /// Tools that read or write sessions of others.
    pub sessions: Option<Vec<String>>,
    /// The reason why something cannot be seen.
    pub unseen: Option<&'static str>,
}

impl Exposure {
    fn unseen(agent: AgentId, why: &'static str) -> Self {
        Self {
            agent,
            commands: None,
            files: None,
            sessions: None,
            unseen: Some(why),
        }
    }
}

/// An inquiry in progress. Give it every frame, and send the content of the outbox, until it has
/// all answers or fails.
#[derive(Debug)]
pub struct Inquiry {
    link: Link,
    config: Option<RequestId>,
    settings: Option<Settings>,
    agents: Vec<(AgentId, Step)>,
}

#[derive(Debug)]
enum Step {
    Waiting,
    /// Waits for the list of the agent's sessions.
    Listing(RequestId),
    /// Waits for the tools of that session.
    Asking(RequestId),
    /// The agent's tools.
    Seen(Vec<String>),
    /// The reason why they are not known.
    Unseen(&'static str),
}

impl Inquiry {
    pub fn new(agents: Vec<AgentId>) -> Self {
        Self {
            link: Link::new(ClientIdentity::BACKEND),
            config: None,
            settings: None,
            agents: agents
                .into_iter()
                .map(|agent| (agent, Step::Waiting))
                .collect(),
        }
    }

    /// Returns the failure for a connection that the gateway closed.
    pub fn closed(&self, close_code: u16) -> Failure {
        self.link.closed(close_code)
    }

    pub fn receive(
        &mut self,
        frame: &str,
        credential: &Credential,
        sign: Sign,
        outbox: &mut Vec<String>,
    ) -> Result<Option<Vec<Exposure>>, Failure> {
        match self.link.receive_signing(frame, credential, sign, outbox)? {
            Incoming::Ready(hello) if hello.protocol == Protocol::V3 => {
                for (_, step) in &mut self.agents {
                    *step = Step::Unseen("a gateway of protocol 3 does not list an agent's tools");
                }
                self.settings = Some(Settings::default());
            }
            Incoming::Ready(_) => {
                self.config = Some(self.link.request("config.get", &NoParams {}, outbox)?);
                for (agent, step) in &mut self.agents {
                    let params = ListParams {
                        agent_id: agent.as_str(),
                        search: OWN_SESSIONS,
                        limit: 1,
                    };
                    *step = Step::Listing(self.link.request("sessions.list", &params, outbox)?);
                }
            }
            Incoming::Response { id, result } => {
                let payload = result.ok().flatten();
                if self.config == Some(id) {
                    self.settings = Some(
                        payload
                            .and_then(read::<ConfigPayload>)
                            .unwrap_or_default()
                            .into(),
                    );
                } else {
                    self.step(id, payload, outbox)?;
                }
            }
            _ => {}
        }
        let is_done = |(_, step): &(AgentId, Step)| matches!(step, Step::Seen(_) | Step::Unseen(_));
        let Some(settings) = self
            .settings
            .as_ref()
            .filter(|_| self.agents.iter().all(is_done))
        else {
            return Ok(None);
        };
        Ok(Some(
            self.agents
                .iter()
                .map(|(agent, step)| match step {
                    Step::Seen(tools) => settings.judge(agent, tools),
                    Step::Unseen(why) => Exposure::unseen(agent.clone(), why),
                    Step::Waiting | Step::Listing(_) | Step::Asking(_) => {
                        Exposure::unseen(agent.clone(), "not asked")
                    }
                })
                .collect(),
        ))
    }

    fn step(
        &mut self,
        id: RequestId,
        payload: Option<&RawValue>,
        outbox: &mut Vec<String>,
    ) -> Result<(), Failure> {
        for (_, step) in &mut self.agents {
            match step {
                Step::Listing(list) if *list == id => {
                    let sessions = payload
                        .and_then(read::<Sessions>)
                        .unwrap_or_default()
                        .sessions;
                    *step = match sessions.first() {
                        Some(session) => {
                            let params = ToolsParams {
                                session_key: &session.key,
                            };
                            Step::Asking(self.link.request("tools.effective", &params, outbox)?)
                        }
                        None => Step::Unseen("no client has used this agent yet"),
                    };
                }
                Step::Asking(tools) if *tools == id => {
                    *step = payload.and_then(read::<Tools>).map_or(
                        Step::Unseen("the gateway does not list the agent's tools"),
                        |tools| {
                            let groups = tools.groups.into_iter();
                            Step::Seen(
                                groups
                                    .flat_map(|group| group.tools)
                                    .map(|tool| tool.id)
                                    .collect(),
                            )
                        },
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn read<'a, T: Value<'a>>(payload: &'a RawValue) -> Option<T> {
    parse::from_str(payload.get()).ok()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListParams<'a> {
    agent_id: &'a str,
    search: &'a str,
    limit: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolsParams<'a> {
    session_key: &'a str,
}

#[derive(Default)]
struct Sessions {
    sessions: Vec<Keyed>,
}

object!(Sessions, [sessions], []);

#[derive(Default)]
struct Keyed {
    key: String,
}

object!(Keyed, [key], []);

#[derive(Default)]
struct Tools {
    groups: Vec<Group>,
}

object!(Tools, [groups], []);

#[derive(Default)]
struct Group {
    tools: Vec<Tool>,
}

object!(Group, [tools], []);

#[derive(Default)]
struct Tool {
    id: String,
}

object!(Tool, [id], []);

/// Payload of the response to `config.get`, with only the members that are read.
#[derive(Default)]
struct ConfigPayload {
    runtime_config: Option<Settings>,
    config: Option<Settings>,
}

object!(ConfigPayload, [], [runtime_config: "runtimeConfig", config]);

impl From<ConfigPayload> for Settings {
    fn from(payload: ConfigPayload) -> Self {
        let is_seen = payload.runtime_config.is_some() || payload.config.is_some();
        let settings = payload
            .runtime_config
            .or(payload.config)
            .unwrap_or_default();
        Self {
            is_seen,
            ..settings
        }
    }
}

#[derive(Debug, Default)]
struct Settings {
    is_seen: bool,
    tools: ToolSettings,
    agents: AgentSettings,
}

object!(Settings, [], [tools, agents]);

#[derive(Debug, Default)]
struct ToolSettings {
    sessions: SessionSettings,
    fs: FileSettings,
}

object!(ToolSettings, [], [sessions, fs]);

#[derive(Debug, Default)]
struct SessionSettings {
    visibility: Option<String>,
}

object!(SessionSettings, [], [visibility]);

#[derive(Debug, Default)]
struct FileSettings {
    workspace_only: Option<bool>,
}

object!(FileSettings, [], [workspace_only: "workspaceOnly"]);

#[derive(Debug, Default)]
struct AgentSettings {
    defaults: OneAgent,
    entries: BTreeMap<String, OneAgent>,
}

object!(AgentSettings, [], [defaults, entries]);

#[derive(Debug, Default)]
struct OneAgent {
    sandbox: Sandbox,
    tools: ToolSettings,
}

object!(OneAgent, [], [sandbox, tools]);

#[derive(Debug, Default)]
struct Sandbox {
    mode: Option<String>,
    session_tools_visibility: Option<String>,
}

object!(Sandbox, [], [mode, session_tools_visibility: "sessionToolsVisibility"]);

impl Settings {
    /// Returns the reach of an agent with these tools under these settings.
    fn judge(&self, agent: &AgentId, tools: &[String]) -> Exposure {
        if !self.is_seen {
            return Exposure::unseen(agent.clone(), "the gateway does not show its settings");
        }
        let own = self.agents.entries.get(agent.as_str());
        let defaults = &self.agents.defaults;
        let mode = own
            .and_then(|own| own.sandbox.mode.as_ref())
            .or(defaults.sandbox.mode.as_ref());
        // A client's session is never the agent's main one, so `non-main` has the same effect as
        // `all`.
        let is_sandboxed = mode.is_some_and(|mode| mode == "all" || mode == "non-main");
        let is_clamped =
            is_sandboxed && defaults.sandbox.session_tools_visibility.as_deref() != Some("all");
        let in_workspace = own
            .and_then(|own| own.tools.fs.workspace_only)
            .or(self.tools.fs.workspace_only)
            .unwrap_or_default();
        // Absent means `all`.
        let sees_own_only = matches!(
            self.tools.sessions.visibility.as_deref(),
            Some("self" | "tree")
        );
        let among = |names: &[&str], is_closed: bool| {
            let found = tools
                .iter()
                .filter(|tool| !is_closed && names.contains(&tool.as_str()));
            Some(found.cloned().collect())
        };
        Exposure {
            agent: agent.clone(),
            commands: among(&COMMANDS, is_sandboxed),
            files: among(&FILES, is_sandboxed || in_workspace),
            sessions: among(&SESSIONS, sees_own_only || is_clamped),
            unseen: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(config: &str) -> [Vec<String>; 3] {
        let payload: ConfigPayload = parse::from_str(config).unwrap();
        let tools = ["exec", "read", "sessions_history", "web_search"].map(str::to_owned);
        let agent = AgentId::parse("main").unwrap();
        let exposure = Settings::from(payload).judge(&agent, &tools);
        [exposure.commands, exposure.files, exposure.sessions].map(Option::unwrap)
    }

    #[test]
    fn the_settings_decide_which_tools_reach_beyond_their_session() {
        let open = [
            vec!["exec".to_owned()],
            vec!["read".to_owned()],
            vec!["sessions_history".to_owned()],
        ];
        assert_eq!(judged(r#"{"config":{}}"#), open);
        assert_eq!(
            judged(
                r#"{"runtimeConfig":{"tools":{"sessions":{"visibility":"agent"}}},"config":{}}"#
            ),
            open
        );
        for closing in ["self", "tree"] {
            let config =
                format!(r#"{{"config":{{"tools":{{"sessions":{{"visibility":"{closing}"}}}}}}}}"#);
            assert_eq!(judged(&config), [open[0].clone(), open[1].clone(), vec![]]);
        }
        let files = r#"{"config":{"tools":{"fs":{"workspaceOnly":true}}}}"#;
        assert_eq!(judged(files), [open[0].clone(), vec![], open[2].clone()]);
        let sandboxed =
            r#"{"config":{"agents":{"entries":{"main":{"sandbox":{"mode":"non-main"}}}}}}"#;
        assert_eq!(
            judged(sandboxed),
            [vec![], vec![], vec![]] as [Vec<String>; 3]
        );
        let other = r#"{"config":{"agents":{"entries":{"beta":{"sandbox":{"mode":"all"}}}}}}"#;
        assert_eq!(judged(other), open);
    }

    #[test]
    fn settings_that_are_not_shown_are_not_taken_for_defaults() {
        let agent = AgentId::parse("main").unwrap();
        let exposure = Settings::from(ConfigPayload::default()).judge(&agent, &["exec".to_owned()]);
        assert_eq!((exposure.commands, exposure.unseen.is_some()), (None, true));
    }
}
