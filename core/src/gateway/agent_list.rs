//! Requests a gateway's agents, and on protocol 4 the context length of their models.
//!
//! Source: OpenClaw 2026.9.6, measured: `agents.list` has each agent's `model.primary`,
//! `models.list` each model's `contextWindow`. On 2026.3.13 `agents.list` does not name which model
//! an agent has.

use serde_json::value::RawValue;

use crate::agent::{AboutAgent, AgentId, AgentList};
use crate::failure::Failure;
use crate::gateway::frame::{
    AgentModel, AgentsList, ListedAgent, ListedModel, ModelsList, ModelsParams, NoParams,
};
use crate::gateway::link::{Link, Rejection, RequestId};
use crate::gateway::refusal;
use crate::parse;

/// Longest name of an agent that is passed on, in bytes, because a name is a label in a list.
const MAX_NAME_BYTES: usize = 128;

/// A request for the list, on a link that is ready.
#[derive(Debug, Clone)]
pub(crate) struct ListRequest {
    /// The request whose response is awaited.
    awaited: RequestId,
    /// The agents and the names of their models, while the models are requested.
    known: Option<(AgentList, Vec<Option<String>>)>,
}

impl ListRequest {
    pub(crate) fn send(link: &mut Link, outbox: &mut Vec<String>) -> Result<Self, Failure> {
        Ok(Self {
            awaited: link.request("agents.list", &NoParams {}, outbox)?,
            known: None,
        })
    }

    /// Returns true if the response to this request is awaited.
    pub(crate) fn awaits(&self, id: RequestId) -> bool {
        self.awaited == id
    }

    /// Takes the awaited response. Returns the list once it is complete.
    #[inline(never)]
    pub(crate) fn receive(
        &mut self,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        link: &mut Link,
        outbox: &mut Vec<String>,
    ) -> Result<Option<AgentList>, Failure> {
        if let Some((mut known, models)) = self.known.take() {
            // The agents are known even without it.
            if let Ok(payload) = result {
                add_context(&mut known, &models, payload);
            }
            return Ok(Some(known));
        }
        let payload = result.map_err(|rejection| refusal::failure(&rejection.error))?;
        let (known, models) = read_all(payload).ok_or(Failure::GatewayProtocolError(
            "the response to agents.list cannot be read",
        ))?;
        let Some(agent) = known
            .agents
            .first()
            .filter(|_| models.iter().any(Option::is_some))
        else {
            return Ok(Some(known));
        };
        // One question for all agents: a model is the same for each of them.
        let params = ModelsParams {
            agent_id: agent.as_str(),
        };
        self.awaited = link.request("models.list", &params, outbox)?;
        self.known = Some((known, models));
        Ok(None)
    }
}

/// Reads the payload of a response to `agents.list`. An agent is left out if no client could name
/// its id.
pub(crate) fn read(payload: Option<&RawValue>) -> Option<AgentList> {
    read_all(payload).map(|(known, _)| known)
}

/// Does the same, and returns the model of each of [`AgentList::about`].
fn read_all(payload: Option<&RawValue>) -> Option<(AgentList, Vec<Option<String>>)> {
    let list: AgentsList<'_> = parse::from_str(payload?.get()).ok()?;
    let valid: Vec<_> = list
        .agents
        .iter()
        .filter_map(|agent| Some((AgentId::parse(&agent.id)?, agent)))
        .collect();
    let about = |(id, agent): &(AgentId, &ListedAgent<'_>)| AboutAgent {
        id: id.clone(),
        name: agent.name.and_then(name),
        context_tokens: None,
        thinking: agent.thinking_levels.map(levels).unwrap_or_default(),
    };
    let model = |agent: &ListedAgent<'_>| {
        let model: AgentModel<'_> = parse::from_str(agent.model?.get()).ok()?;
        model.primary.map(std::borrow::Cow::into_owned)
    };
    let known = AgentList {
        default_agent: list
            .default_id
            .filter(|_| !list.selection_required)
            .and_then(|id| AgentId::parse(&id)),
        about: valid.iter().map(about).collect(),
        agents: valid.iter().map(|(id, _)| id.clone()).collect(),
    };
    Some((known, valid.iter().map(|(_, agent)| model(agent)).collect()))
}

fn levels(json: &RawValue) -> Vec<String> {
    // The objects have an id, like those of agents.
    let levels: Vec<ListedAgent<'_>> = parse::from_str(json.get()).unwrap_or_default();
    levels
        .into_iter()
        .map(|level| level.id.into_owned())
        .collect()
}

fn name(json: &RawValue) -> Option<String> {
    let name: String = parse::from_str(json.get()).ok()?;
    Some(name).filter(|name| {
        !name.trim().is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control)
    })
}

/// Adds the context lengths in the payload of a response to `models.list`. `models` are those of
/// [`AgentList::about`].
fn add_context(known: &mut AgentList, models: &[Option<String>], payload: Option<&RawValue>) {
    let list = payload.and_then(|payload| parse::from_str::<ModelsList<'_>>(payload.get()).ok());
    let listed: Vec<ListedModel<'_>> = list
        .into_iter()
        .flat_map(|list| list.models)
        .filter_map(|model| parse::from_str(model.get()).ok())
        .collect();
    for (about, model) in known.about.iter_mut().zip(models) {
        let is_it = |listed: &&ListedModel<'_>| {
            let parts = model.as_deref().and_then(|model| model.split_once('/'));
            parts == Some((&*listed.provider, &*listed.id))
        };
        about.context_tokens = listed
            .iter()
            .find(is_it)
            .map(|listed| listed.context_window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Option<AgentList> {
        read(serde_json::from_str::<&RawValue>(text).ok())
    }

    fn about(id: &str, name: Option<&str>, context_tokens: Option<u64>) -> AboutAgent {
        AboutAgent {
            id: AgentId::parse(id).unwrap(),
            name: name.map(str::to_owned),
            context_tokens,
            thinking: Vec::new(),
        }
    }

    #[test]
    fn an_agent_has_the_levels_of_thinking_by_their_ids() {
        for (levels, expected) in [
            (
                r#"[{"id":"off","label":"off"},{"id":"low","label":"on"}]"#,
                &["off", "low"][..],
            ),
            (r#"["off"]"#, &[]),
            ("null", &[]),
        ] {
            let text = format!(r#"{{"agents":[{{"id":"main","thinkingLevels":{levels}}}]}}"#);
            assert_eq!(read_text(&text).unwrap().about[0].thinking, expected);
        }
    }

    #[test]
    fn an_agent_has_its_models_context_length_if_that_is_known() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let list = raw(
            r#"{"agents":[{"id":"main","name":"Main","model":{"primary":"fake/fake-1"}},{"id":"beta","name":7,"model":{"primary":"a/b/c"}},
                {"id":"gamma","name":"a\u0000b","model":"x"},{"id":"delta","model":{"primary":"other/x"}}]}"#,
        );
        let (mut known, models) = read_all(Some(&list)).unwrap();
        let answer = raw(
            r#"{"models":[{"id":"fake-1","provider":"other","contextWindow":1},{"id":"fake-1","provider":"fake","contextWindow":200000},
                {"id":"x","provider":"other","contextWindow":"?"},{"id":"b/c","provider":"a","contextWindow":5}]}"#,
        );
        add_context(&mut known, &models, Some(&answer));
        let expected = vec![
            about("main", Some("Main"), Some(200_000)),
            about("beta", None, Some(5)),
            about("gamma", None, None),
            about("delta", None, None),
        ];
        assert_eq!(known.about, expected);
        add_context(&mut known, &models, Some(&raw("7")));
        assert_eq!(known.about[0], about("main", Some("Main"), None));
    }

    #[test]
    fn agents_and_the_default_among_them_are_read_of_both_protocols() {
        let agent = |id| AgentId::parse(id).unwrap();
        assert_eq!(
            read_text(
                r#"{"defaultId":"main","mainKey":"main","scope":"per-sender","agents":[{"id":"main","name":"M"},{"id":"beta"}]}"#
            ),
            Some(AgentList {
                agents: vec![agent("main"), agent("beta")],
                default_agent: Some(agent("main")),
                about: vec![about("main", Some("M"), None), about("beta", None, None)],
            })
        );
        let no_default = read_text(
            r#"{"defaultId":"main","selectionRequired":true,"agents":[{"id":"main"},{"id":"a b"}]}"#,
        );
        assert_eq!(
            no_default,
            Some(AgentList {
                agents: vec![agent("main")],
                default_agent: None,
                about: vec![about("main", None, None)],
            })
        );
        assert_eq!(read_text("[]"), None);
    }
}
