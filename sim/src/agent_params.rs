//! The parameters of `agent`, and the closed schema that each version has for them.
//!
//! Source: measured on both versions, unless noted otherwise.

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::frames::{ErrorShape, Protocol};
use crate::request::Client;
use crate::schema::{Field, Kind, Schema, optional, required};

/// The parameters of `agent`: only the accepted fields that make a difference here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentParams {
    pub(crate) message: String,
    pub(crate) idempotency_key: String,
    pub(crate) agent_id: Option<String>,
    pub(crate) session_key: Option<String>,
    pub(crate) session_id: Option<String>,
    pub(crate) extra_system_prompt: Option<String>,
    pub(crate) thinking: Option<String>,
    pub(crate) timeout: Option<u64>,
    #[serde(default)]
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) provider: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) deliver: Option<bool>,
    pub(crate) session_effects: Option<String>,
}

/// A file that comes with a message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attachment {
    r#type: Option<String>,
    mime_type: Option<String>,
    file_name: Option<String>,
    content: Option<String>,
}

/// The channel that every gateway has.
const WEBCHAT: &str = "webchat";

impl AgentParams {
    /// Reads the parameters of `agent`.
    ///
    /// # Errors
    /// Returns the violation of the version's closed schema.
    pub(crate) fn parse(params: Value, protocol: Protocol) -> Result<Self, ErrorShape> {
        let schema = match protocol {
            Protocol::V3 => &AGENT_V3,
            Protocol::V4 => &AGENT_V4,
        };
        let invalid = |violation: &str| {
            ErrorShape::invalid_request(format!("invalid agent params: {violation}"))
        };
        schema
            .check(&params, protocol)
            .map_err(|violation| invalid(&violation))?;
        serde_json::from_value(params).map_err(|error| invalid(&error.to_string()))
    }

    /// Checks the rules that the schema does not contain.
    pub(crate) fn check(&self, protocol: Protocol, client: &Client) -> Result<(), ErrorShape> {
        if protocol == Protocol::V4 && !client.holds("operator.admin") {
            if self.provider.is_some() || self.model.is_some() {
                return Err(ErrorShape::invalid_request(
                    "provider/model overrides are not authorized for this caller.",
                ));
            }
            if matches!(self.message.trim(), "/new" | "/reset") {
                return Err(ErrorShape::missing_scope(protocol, "operator.admin"));
            }
        }
        if let Some(channel) = self
            .channel
            .as_deref()
            .filter(|channel| *channel != WEBCHAT)
        {
            return Err(ErrorShape::invalid_request(format!(
                "invalid agent params: unknown channel: {channel}"
            )));
        }
        if protocol == Protocol::V3 && self.deliver == Some(true) {
            return Err(ErrorShape::invalid_request(
                "Error: Channel is required (no configured channels detected).",
            ));
        }
        self.attachments
            .iter()
            .try_for_each(|attachment| attachment.check(protocol))
    }

    /// Returns the received parameters, for tests to assert on.
    pub(crate) fn echo(&self, agent_id: &str, session_key: &str) -> Value {
        let attachments: Vec<Value> = self
            .attachments
            .iter()
            .map(|attachment| {
                json!({
                    "type": attachment.r#type,
                    "mimeType": attachment.mime_type,
                    "fileName": attachment.file_name,
                    "bytes": attachment.decoded().map(|bytes| bytes.len()),
                })
            })
            .collect();
        json!({
            "message": self.message,
            "extraSystemPrompt": self.extra_system_prompt,
            "agentId": agent_id,
            "sessionKey": session_key,
            "thinking": self.thinking,
            "timeout": self.timeout,
            "attachmentCount": attachments.len(),
            "attachments": attachments,
        })
    }
}

impl Attachment {
    /// Source: the refusals are measured, their messages are not. Protocol 3 silently drops the
    /// files that it cannot use.
    fn check(&self, protocol: Protocol) -> Result<(), ErrorShape> {
        if protocol == Protocol::V3 {
            return Ok(());
        }
        let name = self.file_name.as_deref().unwrap_or("attachment");
        if !self
            .mime_type
            .as_deref()
            .is_some_and(|mime| mime.starts_with("image/"))
        {
            return Err(ErrorShape::invalid_request(format!(
                "UnsupportedAttachmentError: {name}: only images are supported"
            )));
        }
        match self.decoded() {
            Some(_) => Ok(()),
            None => Err(ErrorShape::invalid_request(format!(
                "attachment {name}: invalid base64 content"
            ))),
        }
    }

    /// `content` is base64, or a data URL.
    fn decoded(&self) -> Option<Vec<u8>> {
        let content = self.content.as_deref()?;
        let base64 = content
            .strip_prefix("data:")
            .and_then(|url| url.split_once(";base64,"))
            .map_or(content, |(_, data)| data);
        BASE64.decode(base64.as_bytes()).ok()
    }
}

/// Fields of `agent`. Protocol 3 has the first ones only.
const AGENT_V3: Schema = Schema(&[
    MESSAGE,
    IDEMPOTENCY_KEY,
    AGENT_ID,
    optional("to", Kind::Text),
    optional("replyTo", Kind::Text),
    optional("sessionId", Kind::Text),
    optional("sessionKey", Kind::Text),
    optional("thinking", Kind::Text),
    optional("deliver", Kind::Flag),
    optional("attachments", Kind::List),
    optional("channel", Kind::Text),
    optional("replyChannel", Kind::Text),
    optional("accountId", Kind::Text),
    optional("replyAccountId", Kind::Text),
    optional("threadId", Kind::Text),
    optional("groupId", Kind::Text),
    optional("groupChannel", Kind::Text),
    optional("groupSpace", Kind::Text),
    optional("timeout", Kind::Integer(0)),
    optional("bestEffortDeliver", Kind::Flag),
    optional("lane", Kind::Text),
    optional("extraSystemPrompt", Kind::Text),
    optional("internalEvents", Kind::List),
    optional("inputProvenance", Kind::Any),
    optional("label", Kind::NonEmptyText),
]);

/// Source: `AgentParams` of the npm package `@openclaw/gateway-protocol`, 2026.9.1.
const AGENT_V4: Schema = Schema(&[
    MESSAGE,
    IDEMPOTENCY_KEY,
    AGENT_ID,
    optional("to", Kind::Text),
    optional("replyTo", Kind::Text),
    optional("sessionId", Kind::Text),
    optional("sessionKey", Kind::Text),
    optional("thinking", Kind::Text),
    optional("deliver", Kind::Flag),
    optional("attachments", Kind::List),
    optional("channel", Kind::Text),
    optional("replyChannel", Kind::Text),
    optional("accountId", Kind::Text),
    optional("replyAccountId", Kind::Text),
    optional("threadId", Kind::Text),
    optional("groupId", Kind::Text),
    optional("groupChannel", Kind::Text),
    optional("groupSpace", Kind::Text),
    optional("timeout", Kind::Integer(0)),
    optional("bestEffortDeliver", Kind::Flag),
    optional("lane", Kind::Text),
    optional("extraSystemPrompt", Kind::Text),
    optional("internalEvents", Kind::List),
    optional("inputProvenance", Kind::Any),
    optional("label", Kind::NonEmptyText),
    optional("provider", Kind::Text),
    optional("model", Kind::Text),
    optional("expectedExistingSessionId", Kind::NonEmptyText),
    optional("cwd", Kind::NonEmptyText),
    optional("cleanupBundleMcpOnRunEnd", Kind::Flag),
    optional("modelRun", Kind::Flag),
    optional("promptMode", Kind::OneOf(&["full", "minimal", "none"])),
    optional(
        "bootstrapContextMode",
        Kind::OneOf(&["full", "lightweight"]),
    ),
    optional(
        "bootstrapContextRunKind",
        Kind::OneOf(&["default", "heartbeat", "cron"]),
    ),
    optional("acpTurnSource", Kind::OneOf(&["manual_spawn"])),
    optional("internalRuntimeHandoffId", Kind::NonEmptyText),
    optional("internalExecutionIdentityRetry", Kind::Flag),
    optional("internalExecutionIdentityRecoveryAttempt", Kind::Integer(1)),
    optional("execApprovalFollowupExpectedSessionId", Kind::NonEmptyText),
    optional("suppressPromptPersistence", Kind::Flag),
    optional("sessionEffects", Kind::OneOf(&["visible", "internal"])),
    optional(
        "sourceReplyDeliveryMode",
        Kind::OneOf(&["automatic", "message_tool_only"]),
    ),
    optional("disableMessageTool", Kind::Flag),
    optional("swarmCollector", Kind::Flag),
    optional("swarmOutputSchema", Kind::Any),
    optional("forceRestartSafeTools", Kind::Flag),
    optional("forceCodeModeTools", Kind::Flag),
    optional("voiceWakeTrigger", Kind::Text),
]);

const MESSAGE: Field = required("message", Kind::NonEmptyText);
const IDEMPOTENCY_KEY: Field = required("idempotencyKey", Kind::NonEmptyText);
pub(crate) const AGENT_ID: Field = optional("agentId", Kind::NonEmptyText);
