//! Requests a gateway's agents, and on protocol 4 the context length and the input of their models.
//!
//! Source: OpenClaw 2026.9.6, measured: `agents.list` has each agent's `model.primary`,
//! `models.list` each model's `contextWindow`, and with `includeDetails` its `input`. The published
//! schema (2026.9.1) does not have that parameter. On 2026.3.13 `agents.list` does not name which
//! model an agent has.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::agent::{AboutAgent, AgentId, AgentList, Input};
use crate::failure::Failure;
use crate::gateway::frame::{
    AgentModel, AgentsList, ListedAgent, ListedModel, ModelsList, ModelsParams, NoParams,
};
use crate::gateway::link::{Link, Rejection, RequestId};
use crate::gateway::refusal;
use crate::parse;

/// Longest name of an agent that is passed on, in bytes, because a name is a label in a list.
const MAX_NAME_BYTES: usize = 128;

/// Highest context length that is passed on, in tokens, because no model has a higher one.
const MAX_CONTEXT_TOKENS: u64 = 1_000_000_000;

/// Longest level of thinking that is read, in bytes: the gateway's longest word has eight.
const MAX_LEVEL_BYTES: usize = 16;

/// Most levels of thinking that are read: the gateway has nine.
const MAX_LEVELS: usize = 16;

/// A request for the list, on a link that is ready.
#[derive(Debug, Clone)]
pub(crate) struct ListRequest {
    /// The request whose response is awaited.
    awaited: RequestId,
    /// The agents and the names of their models, while the models are requested.
    known: Option<(AgentList, Vec<Option<String>>)>,
    /// The request for the models asks for details.
    include_details: Option<bool>,
}

impl ListRequest {
    pub(crate) fn send(link: &mut Link, outbox: &mut Vec<String>) -> Result<Self, Failure> {
        Ok(Self {
            awaited: link.request("agents.list", &NoParams {}, outbox)?,
            known: None,
            include_details: Some(true),
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
            return match result {
                Ok(payload) => {
                    add_models(&mut known, &models, payload);
                    Ok(Some(known))
                }
                // An older gateway does not have the parameter.
                Err(_) if self.include_details.take().is_some() => {
                    self.request_models(known, models, link, outbox)
                }
                // The agents are known even without it.
                Err(_) => Ok(Some(known)),
            };
        }
        let payload = result.map_err(|rejection| refusal::failure(&rejection.error))?;
        let (known, models) = read_all(payload).ok_or(Failure::GatewayProtocolError(
            "the response to agents.list cannot be read",
        ))?;
        self.request_models(known, models, link, outbox)
    }

    fn request_models(
        &mut self,
        known: AgentList,
        models: Vec<Option<String>>,
        link: &mut Link,
        outbox: &mut Vec<String>,
    ) -> Result<Option<AgentList>, Failure> {
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
            include_details: self.include_details,
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
        input: None,
        thinking: agent.thinking_levels.map(levels).unwrap_or_default(),
    };
    let model = |agent: &ListedAgent<'_>| {
        let model: AgentModel<'_> = parse::from_str(agent.model?.get()).ok()?;
        model.primary.map(Cow::into_owned)
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
        .filter(|level| {
            level.len() <= MAX_LEVEL_BYTES && level.bytes().all(|byte| byte.is_ascii_lowercase())
        })
        .take(MAX_LEVELS)
        .collect()
}

fn name(json: &RawValue) -> Option<String> {
    let name: String = parse::from_str(json.get()).ok()?;
    Some(name).filter(|name| {
        !name.trim().is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control)
    })
}

/// Adds the context lengths and the inputs in the payload of a response to `models.list`. `models`
/// are those of [`AgentList::about`].
fn add_models(known: &mut AgentList, models: &[Option<String>], payload: Option<&RawValue>) {
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
        if let Some(listed) = listed.iter().find(is_it) {
            let tokens = listed.context_window;
            about.context_tokens = tokens
                .and_then(|json| parse::from_str(json.get()).ok())
                .filter(|tokens| (1..=MAX_CONTEXT_TOKENS).contains(tokens));
            about.input = listed.input.and_then(input);
        }
    }
}

/// Reads the words for what a model reads. Clients can send no others than these two.
fn input(json: &RawValue) -> Option<Input> {
    let words: Vec<Cow<'_, str>> = parse::from_str(json.get()).ok()?;
    let has = |word| words.iter().any(|other| other == word);
    match (has("text"), has("image")) {
        (false, _) => None,
        (true, false) => Some(Input::Text),
        (true, true) => Some(Input::TextAndImages),
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
            input: None,
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
            (
                r#"[{"id":"l\u0001w"},{"id":"low "},{"id":"aaaaaaaaaaaaaaaaa"},{"id":"max"}]"#,
                &["max"],
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
        add_models(&mut known, &models, Some(&answer));
        let expected = vec![
            about("main", Some("Main"), Some(200_000)),
            about("beta", None, Some(5)),
            about("gamma", None, None),
            about("delta", None, None),
        ];
        assert_eq!(known.about, expected);
        add_models(&mut known, &models, Some(&raw("7")));
        assert_eq!(known.about, expected);
    }

    #[test]
    fn a_value_of_a_model_that_cannot_be_one_is_left_out() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let list = raw(r#"{"agents":[{"id":"main","model":{"primary":"fake/fake-1"}}]}"#);
        for (fields, context_tokens, input) in [
            (
                r#""contextWindow":9,"input":["image","text"]"#,
                Some(9),
                Some(Input::TextAndImages),
            ),
            (
                r#""contextWindow":1000000001,"input":["text","audio"]"#,
                None,
                Some(Input::Text),
            ),
            (r#""contextWindow":0,"input":["image"]"#, None, None),
            (r#""contextWindow":"9","input":"text""#, None, None),
            (r#""contextWindow":9.5,"input":["text",7]"#, None, None),
            (r#""contextWindow":-9,"input":{}"#, None, None),
            (r#""contextWindow":null,"input":null"#, None, None),
        ] {
            let (mut known, models) = read_all(Some(&list)).unwrap();
            let answer = format!(r#"{{"models":[{{"id":"fake-1","provider":"fake",{fields}}}]}}"#);
            add_models(&mut known, &models, Some(&raw(&answer)));
            let about = &known.about[0];
            assert_eq!(
                (about.context_tokens, about.input),
                (context_tokens, input),
                "{fields}"
            );
        }
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
