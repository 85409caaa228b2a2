//! The gateway's agents and models, as `agents.list` and `models.list` return them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Payload of the response to `agents.list`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentsList<'a> {
    #[serde(borrow)]
    pub default_id: Option<Cow<'a, str>>,
    /// Protocol 4: there are several agents, and none of them is the default.
    #[serde(default)]
    pub selection_required: bool,
    #[serde(borrow)]
    pub agents: Vec<ListedAgent<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListedAgent<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    #[serde(borrow)]
    pub name: Option<&'a RawValue>,
    /// Protocol 4 only: an object with `primary`, which is the model as `provider/id`.
    #[serde(borrow)]
    pub model: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct AgentModel<'a> {
    #[serde(borrow)]
    pub primary: Option<Cow<'a, str>>,
}

/// Payload of the response to `models.list`. Each model is read separately, because an invalid one
/// must not discard the others.
#[derive(Debug, Deserialize)]
pub(crate) struct ModelsList<'a> {
    #[serde(borrow)]
    pub models: Vec<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedModel<'a> {
    #[serde(borrow)]
    pub provider: Cow<'a, str>,
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    pub context_window: u64,
}
