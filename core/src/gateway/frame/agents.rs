//! The gateway's agents and models, as `agents.list` and `models.list` return them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::parse::object;

/// Payload of the response to `agents.list`.
#[derive(Debug, Default)]
pub(crate) struct AgentsList<'a> {
    pub default_id: Option<Cow<'a, str>>,
    /// Protocol 4: there are several agents, and none of them is the default.
    pub selection_required: bool,
    pub agents: Vec<ListedAgent<'a>>,
}

object!(
    AgentsList<'_>,
    [agents],
    [default_id: "defaultId", selection_required: "selectionRequired"]
);

#[derive(Debug, Default)]
pub(crate) struct ListedAgent<'a> {
    pub id: Cow<'a, str>,
    pub name: Option<&'a RawValue>,
    /// Protocol 4 only: an object with `primary`, which is the model as `provider/id`.
    pub model: Option<&'a RawValue>,
    /// Protocol 4 only: a list of objects with `id`. The labels, which `thinkingOptions` has, may
    /// be other words.
    pub thinking_levels: Option<&'a RawValue>,
}

object!(ListedAgent<'_>, [id], [name, model, thinking_levels: "thinkingLevels"]);

#[derive(Debug, Default)]
pub(crate) struct AgentModel<'a> {
    pub primary: Option<Cow<'a, str>>,
}

object!(AgentModel<'_>, [], [primary]);

/// Payload of the response to `models.list`. Each model is read separately, because an invalid one
/// must not discard the others.
#[derive(Debug, Default)]
pub(crate) struct ModelsList<'a> {
    pub models: Vec<&'a RawValue>,
}

object!(ModelsList<'_>, [models], []);

#[derive(Debug, Default)]
pub(crate) struct ListedModel<'a> {
    pub provider: Cow<'a, str>,
    pub id: Cow<'a, str>,
    pub context_window: Option<&'a RawValue>,
    /// A list of words: `text`, `image` and others. Only with the request's `includeDetails`.
    pub input: Option<&'a RawValue>,
}

object!(ListedModel<'_>, [provider, id], [context_window: "contextWindow", input]);
