//! The rights of a key: one entry of `CLIENT_KEYS`, parsed.

use core::net::IpAddr;

use ipnet::IpNet;

use crate::access::date::Date;
use crate::access::key::KeyId;
use crate::access::origin::Origin;
use crate::access::policy::{
    Limits, Scope, SessionPolicy, StreamPolicy, SystemPolicy, TaskPolicy, ToolPolicy,
};
use crate::agent::{AgentId, Agents};
use crate::failure::{Denial, Failure};
use crate::secret::{Digest, Secret};

/// The grant of one entry: its key, and all rights of the key's bearer.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches, none of which follows from another"
)]
pub struct Grant {
    pub id: KeyId,
    pub agents: Agents,
    /// The agent of requests that name no agent: the entry's `default`, or the only agent of its
    /// list.
    pub default_agent: Option<AgentId>,
    pub sessions: SessionPolicy,
    pub scopes: Vec<Scope>,
    /// The moment from which the key is valid.
    pub not_before: Option<Date>,
    /// The moment from which the key has expired.
    pub expires: Option<Date>,
    pub limits: Limits,
    /// The origins of web pages that may use the key from a browser.
    pub origins: Vec<Origin>,
    /// The networks that the key may be used from; an empty list allows every network.
    pub networks: Vec<IpNet>,
    pub streams: StreamPolicy,
    /// The headers that name a conversation, in lower case. The first of them that a request has is
    /// used.
    pub conversations: Vec<String>,
    pub tasks: TaskPolicy,
    /// True if answers have links to the files that an agent sends.
    pub files: bool,
    /// True if responses include the model's thinking by default. A request can override it.
    pub reasoning: bool,
    /// True if streams include tools and failed attempts by default. A request can override it.
    pub progress: bool,
    /// True if the list of models has every name of an agent by default. A request can override it.
    pub aliases: bool,
    pub tools: ToolPolicy,
    pub system: SystemPolicy,
    /// A text for people.
    pub label: Option<String>,
    pub home: Home,
    pub(super) secrets: Secrets,
    /// The entry itself, as the operator wrote it.
    pub(super) entry: Secret,
}

/// The place where a key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    ClientKeys,
    /// The hub's storage: the key can be revoked at any time.
    Hub,
}

impl Grant {
    /// Returns the grant of an entry without fields: every field has its default, and there is no
    /// agent.
    pub(super) fn new(id: KeyId, secrets: Secrets, entry: Secret) -> Self {
        Self {
            id,
            entry,
            agents: Agents::Listed(Vec::new()),
            default_agent: None,
            sessions: SessionPolicy::default(),
            scopes: Scope::DEFAULT.to_vec(),
            not_before: None,
            expires: None,
            limits: Limits::default(),
            origins: Vec::new(),
            networks: Vec::new(),
            streams: StreamPolicy::default(),
            conversations: Vec::new(),
            tasks: TaskPolicy::default(),
            files: true,
            reasoning: false,
            progress: false,
            aliases: false,
            tools: ToolPolicy::default(),
            system: SystemPolicy::default(),
            label: None,
            home: Home::ClientKeys,
            secrets,
        }
    }

    /// Returns the entry as the operator wrote it.
    pub fn entry(&self) -> &str {
        self.entry.expose()
    }

    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Checks that the key has the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Failure> {
        if self.may(scope) {
            Ok(())
        } else {
            Err(Failure::MissingScope(scope.name()))
        }
    }

    /// Checks that the key may be used on the page with this `Origin` header. Returns the origin if
    /// the page may read the response. A key without pages belongs to a program: no page can read
    /// its responses.
    pub fn check_origin(&self, header: Option<&str>) -> Result<Option<Origin>, Failure> {
        let origin = header.and_then(Origin::parse);
        match origin.filter(|origin| self.origins.contains(origin)) {
            None if header.is_some() && !self.origins.is_empty() => Err(Failure::OriginNotAllowed),
            origin => Ok(origin),
        }
    }

    /// Returns the moment at which the key expires, in milliseconds since the Unix epoch.
    pub fn expires_ms(&self) -> Option<u64> {
        self.expires.map(Date::unix_ms)
    }

    /// Checks that the key is valid at this time and from this address.
    pub(super) fn check(&self, now_ms: u64, address: Option<IpAddr>) -> Result<(), Denial> {
        if self.not_before.is_some_and(|date| now_ms < date.unix_ms()) {
            return Err(Denial::NotYetValid);
        }
        if self.expires.is_some_and(|date| now_ms >= date.unix_ms()) {
            return Err(Denial::Expired);
        }
        let inside = |address: IpAddr| {
            let address = address.to_canonical();
            self.networks
                .iter()
                .any(|network| network.contains(&address))
        };
        if !self.networks.is_empty() && !address.is_some_and(inside) {
            return Err(Denial::Network);
        }
        Ok(())
    }
}

/// The hashes that admit: of the key, and while it is being replaced, also of its predecessor.
#[derive(Clone, Debug)]
pub(super) struct Secrets {
    /// The digest of the id alone. With a digest, the search for an id takes the same time for
    /// every position and every common prefix.
    pub(super) id: Digest,
    pub(super) current: Digest,
    pub(super) previous: Option<Digest>,
}
