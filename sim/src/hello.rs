//! hello-ok: the answer to a `connect` that succeeds, with the size and the contents of the real
//! one.
//!
//! Source: `recorded/hello-{3,4}.json`, taken from the running gateways; paths and host names
//! replaced.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::clock;
use crate::frames::{self, Protocol, Reply};
use crate::options::Options;

/// The parts of hello-ok that do not depend on the connection.
#[derive(Debug)]
pub(crate) struct Hello {
    protocol: Protocol,
    boot_id: Mutex<String>,
    /// Names what a client without a device may recover; opaque to clients.
    pub(crate) recovery_scope: String,
    parts: Parts,
    health: Value,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Parts {
    features: Box<RawValue>,
    snapshot: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    control_ui_widget_kinds: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    control_ui_link_readers: Option<Box<RawValue>>,
    policy: Value,
}

/// `hello.auth`. Protocol 3 omits absent fields. Without a device it omits the whole object.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HelloAuth {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<&'static str>,
    pub(crate) role: String,
    /// The scopes in force.
    pub(crate) scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recovery_scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recovery_migration_allowed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issued_at_ms: Option<u64>,
}

impl Hello {
    pub(crate) fn new(options: &Options) -> Result<Self, String> {
        let recorded = match options.protocol {
            Protocol::V3 => include_str!("recorded/hello-3.json"),
            Protocol::V4 => include_str!("recorded/hello-4.json"),
        };
        let mut parts: Parts =
            serde_json::from_str(recorded).map_err(|error| format!("recorded/hello: {error}"))?;
        let first = options.agents.first().map_or("main", String::as_str);
        let agent = options.default_agent.as_deref().unwrap_or(first);
        if let Some(defaults) = parts
            .snapshot
            .get_mut("sessionDefaults")
            .and_then(Value::as_object_mut)
        {
            defaults.insert("defaultAgentId".to_owned(), json!(agent));
            defaults.insert(
                "mainSessionKey".to_owned(),
                json!(format!("agent:{agent}:main")),
            );
            if options.protocol == Protocol::V4 {
                defaults.insert(
                    "selectionRequired".to_owned(),
                    json!(options.default_agent.is_none()),
                );
            }
        }
        if let Some(policy) = parts.policy.as_object_mut() {
            policy.insert("tickIntervalMs".to_owned(), json!(options.tick_ms));
        }
        let health = parts.snapshot.get("health").cloned().unwrap_or_default();
        Ok(Self {
            protocol: options.protocol,
            boot_id: Mutex::new(clock::uuid()),
            recovery_scope: clock::token(),
            parts,
            health,
        })
    }

    /// Names another process: the runs of the earlier one are forgotten.
    pub(crate) fn boot(&self) {
        *self.boot_id.lock().unwrap_or_else(PoisonError::into_inner) = clock::uuid();
    }

    /// The answer of `health`.
    pub(crate) fn health(&self) -> &Value {
        &self.health
    }

    /// The response to `connect`.
    pub(crate) fn ok(&self, auth: Option<&HelloAuth>) -> Reply {
        #[derive(Serialize)]
        struct Payload<'a> {
            r#type: &'static str,
            protocol: u32,
            server: Value,
            features: &'a RawValue,
            snapshot: &'a Value,
            #[serde(
                rename = "controlUiWidgetKinds",
                skip_serializing_if = "Option::is_none"
            )]
            widgets: Option<&'a RawValue>,
            #[serde(
                rename = "controlUiLinkReaders",
                skip_serializing_if = "Option::is_none"
            )]
            readers: Option<&'a RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            auth: Option<&'a HelloAuth>,
            policy: &'a Value,
        }
        let version = self.protocol.server_version();
        let server = match self.protocol {
            Protocol::V3 => json!({ "version": version, "connId": clock::uuid() }),
            Protocol::V4 => json!({
                "version": version,
                "buildId": format!("{version}-release-clawfront-sim"),
                "bootId": *self.boot_id.lock().unwrap_or_else(PoisonError::into_inner),
                "controlUiBuildSource": "bundled",
                "connId": clock::uuid(),
            }),
        };
        Reply {
            payload: frames::raw(&Payload {
                r#type: "hello-ok",
                protocol: self.protocol.number(),
                server,
                features: &self.parts.features,
                snapshot: &self.parts.snapshot,
                widgets: self.parts.control_ui_widget_kinds.as_deref(),
                readers: self.parts.control_ui_link_readers.as_deref(),
                auth,
                policy: &self.parts.policy,
            }),
            error: None,
        }
    }
}
