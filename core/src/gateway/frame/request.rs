//! Requests to the gateway, and their parameters.

use serde::Serialize;

/// `params` of `chat.history`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HistoryParams<'a> {
    pub session_key: &'a str,
    pub limit: u32,
}

/// `params` of `tasks.list`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TasksParams<'a> {
    pub session_key: &'a str,
    /// The latest are listed.
    pub limit: u32,
}

/// `params` of `models.list`. A gateway with several agents refuses a request that names none of
/// them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ModelsParams<'a> {
    pub agent_id: &'a str,
    /// The models have their `input`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_details: Option<bool>,
}

/// The text of an outgoing request, in the parts around its parameters: these have many types, and
/// the code around them is made once.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub id: u32,
    pub method: &'static str,
    /// Protocol 4 only. Hex digits and dashes.
    pub traceparent: Option<&'a str>,
}

impl Request<'_> {
    /// Returns everything before the parameters.
    pub(crate) fn begin(&self) -> Vec<u8> {
        let id = self.id.to_string();
        let parts = [
            r#"{"type":"req","id":""#,
            &id,
            r#"","method":""#,
            self.method,
            r#"","params":"#,
        ];
        parts.concat().into_bytes()
    }

    /// Completes the frame after the parameters; `None` if they are not text.
    pub(crate) fn end(&self, mut frame: Vec<u8>) -> Option<String> {
        if let Some(traceparent) = self.traceparent {
            frame.extend_from_slice(br#","traceparent":""#);
            frame.extend_from_slice(traceparent.as_bytes());
            frame.push(b'"');
        }
        frame.push(b'}');
        String::from_utf8(frame).ok()
    }
}

/// `params` of `connect`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectParams<'a> {
    pub min_protocol: u32,
    pub max_protocol: u32,
    pub client: ClientInfo<'a>,
    pub role: &'a str,
    pub scopes: &'a [&'a str],
    pub caps: &'a [&'a str],
    pub auth: ConnectAuth<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device<'a>>,
    pub user_agent: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClientInfo<'a> {
    pub id: &'a str,
    /// A device has its own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<&'a str>,
    pub version: &'a str,
    pub platform: &'a str,
    pub mode: &'a str,
}

/// Exactly one of the three is sent.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectAuth<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_token: Option<&'a str>,
}

impl std::fmt::Debug for ConnectAuth<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConnectAuth(…)")
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Device<'a> {
    pub id: &'a str,
    pub public_key: &'a str,
    pub signature: &'a str,
    pub signed_at: u64,
    pub nonce: &'a str,
}

/// `params` of `agent`, written here field by field. `deliver`, `cwd`, `model`, `provider`,
/// `internal*` and the other parameters of the method are not for clients, so they do not exist
/// here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentParams<'a> {
    pub message: &'a str,
    pub agent_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_key: Option<&'a str>,
    /// Set for a claim: a channel that does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<&'a str>,
    /// Protocol 4: begins the session again, unless it has this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<&'a str>,
    pub idempotency_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_system_prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub attachments: &'a [AttachmentParams<'a>],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttachmentParams<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub mime_type: String,
    pub file_name: String,
    pub content: &'a str,
}

/// `params` of `sessions.messages.subscribe`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscribeParams<'a> {
    pub key: &'a str,
    pub agent_id: &'a str,
}

/// `params` of `sessions.get`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionParams<'a> {
    pub key: &'a str,
    pub limit: u32,
}

/// `params` of `sessions.fork`: a copy of the rows before the one of this message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ForkParams<'a> {
    pub session_key: &'a str,
    pub entry_id: &'a str,
}

/// `params` of `sessions.create`, for a copy of the parent's session.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CopyParams<'a> {
    pub key: &'a str,
    pub agent_id: &'a str,
    pub parent_session_key: &'a str,
    pub fork: bool,
    pub idempotency_key: &'a str,
}

/// `params` of `sessions.patch`, for a session that is no longer needed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ArchiveParams<'a> {
    pub key: &'a str,
    pub archived: bool,
    pub expected_session_id: &'a str,
}

/// `params` of `sessions.delete`. Without `archivedOnly` it needs the scope `operator.admin`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeleteParams<'a> {
    pub key: &'a str,
    pub archived_only: bool,
    pub delete_transcript: bool,
    pub expected_session_id: &'a str,
}

/// `params` of the methods that name a run: `agent.wait` and `chat.abort`, which also names the
/// run's session.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunParams<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_key: Option<&'a str>,
    pub run_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// `params` of a method without parameters.
#[derive(Debug, Serialize)]
pub(crate) struct NoParams {}
