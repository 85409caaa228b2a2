//! Admission: all keys of a deployment, and the check of a presented key against them.

use core::net::IpAddr;

use crate::access::entry::{self, Problem};
use crate::access::grant::Grant;
use crate::access::key::{KeyId, id_of, is_well_formed};
use crate::access::origin::Origin;
use crate::failure::Denial;
use crate::secret::Digest;

/// All client keys of a deployment.
#[derive(Debug, Default)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// Admits the bearer of `key`, in time that depends on neither the id nor the secret.
    ///
    /// Every hash of every entry is compared, whether or not an earlier one matched: an unknown id
    /// costs what a wrong secret costs.
    pub fn admit(&self, key: &str, now_ms: u64, address: Option<IpAddr>) -> Result<&Grant, Denial> {
        let digest = Digest::of(key);
        let claimed = id_of(key);
        let claimed_digest = Digest::of(claimed.unwrap_or_default());
        let mut bearer = None;
        let mut is_known = subtle::Choice::from(0);
        for client in &self.0 {
            let secrets = &client.secrets;
            let previous = secrets.previous.as_ref().unwrap_or(&secrets.current);
            is_known |= secrets.id.matches(&claimed_digest);
            if bool::from(secrets.current.matches(&digest) | previous.matches(&digest)) {
                bearer = Some(client);
            }
        }
        // Only the checks of the grant remain: a matching digest proves the rest, for every key
        // that `NewKey` made.
        match bearer {
            Some(client) if is_well_formed(key) && claimed == Some(client.id.as_str()) => {
                client.check(now_ms, address).map(|()| client)
            }
            _ if claimed.is_none() || !is_well_formed(key) => Err(Denial::Malformed),
            _ if bool::from(is_known) => Err(Denial::WrongSecret),
            _ => Err(Denial::UnknownId),
        }
    }

    /// Does the same as [`HubKeys::holder`](crate::access::hub_key::HubKeys::holder).
    pub fn holder(&self, id: &str, now_ms: u64, address: Option<IpAddr>) -> Option<&Grant> {
        let key = self.iter().find(|client| client.id.as_str() == id)?;
        key.check(now_ms, address).is_ok().then_some(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }

    /// Returns true if an entry has this id.
    pub fn lists(&self, id: &KeyId) -> bool {
        self.0.iter().any(|client| client.id == *id)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if some key may be used from pages of this origin.
    pub fn any_allows(&self, origin: &Origin) -> bool {
        self.0.iter().any(|client| client.origins.contains(origin))
    }

    /// Adds the entries of one `CLIENT_KEYS` value. Every mistake in it is described, and no
    /// description has a value.
    #[inline(never)]
    pub fn extend(&mut self, entries: &str, problems: &mut Vec<Problem>) {
        for (number, text) in entry::split(entries) {
            match entry::parse(text).and_then(|client| self.refuse_duplicate(client)) {
                Ok(client) => self.0.push(client),
                Err(what) => problems.push(Problem {
                    entry: number,
                    what,
                }),
            }
        }
    }

    fn refuse_duplicate(&self, client: Grant) -> Result<Grant, String> {
        let id = &client.id;
        if self.0.iter().any(|other| other.id == *id) {
            return Err(format!("{id}: the id is used twice"));
        }
        let taken = |digest: &Digest| {
            self.0.iter().find(|other| {
                let secrets = &other.secrets;
                bool::from(secrets.current.matches(digest))
                    || secrets
                        .previous
                        .as_ref()
                        .is_some_and(|previous| bool::from(previous.matches(digest)))
            })
        };
        let secrets = &client.secrets;
        match taken(&secrets.current).or_else(|| secrets.previous.as_ref().and_then(taken)) {
            Some(other) => Err(format!("{id}: has the same hash as {}", other.id)),
            None => Ok(client),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base16ct::lower as hex;
    use sha2::{Digest as _, Sha256};

    use crate::access::key::{NewKey, SECRET_BYTES, is_in, loggable_id_of};
    use crate::access::policy::SessionPolicy;
    use crate::agent::AgentId;

    const NOW_MS: u64 = 1_795_374_174_000;

    fn key(id: &str, entropy: u8) -> NewKey {
        NewKey::from_entropy(&KeyId::parse(id).unwrap(), &[entropy; SECRET_BYTES])
    }

    fn clients(entries: &str) -> Grants {
        let mut clients = Grants::default();
        let mut problems = Vec::new();
        clients.extend(entries, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        clients
    }

    #[test]
    fn a_key_and_its_entry_are_written_as_documented() {
        let key = key("phone", 7);
        assert_eq!(
            key.plaintext.as_str(),
            "claw_phone_a4dqobyha4dqobyha4dqobyha4dqobyh"
        );
        // printf %s claw_phone_a4dqobyha4dqobyha4dqobyha4dqobyh | sha256sum
        assert_eq!(
            key.hash,
            "sha256:2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab"
        );
    }

    #[test]
    fn a_key_is_found_wherever_it_stands() {
        let secret = "a4dqobyha4dqobyha4dqobyha4dqobyh";
        for text in [
            format!("claw_phone_{secret}"),
            format!("openclaw/CLAW_Phone_{}x", secret.to_uppercase()),
            format!("claw_claw_phone_{secret}"),
        ] {
            assert!(is_in(&text), "{text}");
        }
        for text in [
            "",
            "claw_main",
            "claw_main_agent",
            "claw_\u{fc}_\u{fc}",
            secret,
        ] {
            assert!(!is_in(text), "{text}");
        }
        assert_eq!(
            loggable_id_of(&format!("claw_phone_{secret}")),
            Some("phone")
        );
        assert_eq!(loggable_id_of(&format!("claw_{secret}_phone")), None);
    }

    #[test]
    fn a_key_is_admitted_with_the_grant_of_its_entry() {
        let (phone, bot) = (key("phone", 7), key("bot", 8));
        let clients = clients(&format!(
            "# people\nphone {} agents=main,beta default=beta sessions=any\n\nbot {} agents=main;",
            phone.hash, bot.hash
        ));
        let admitted = clients.admit(&phone.plaintext, NOW_MS, None).unwrap();
        assert_eq!(admitted.id.as_str(), "phone");
        assert_eq!(admitted.default_agent, AgentId::parse("beta"));
        assert_eq!(admitted.sessions, SessionPolicy::Any);
        let admitted = clients.admit(&bot.plaintext, NOW_MS, None).unwrap();
        assert_eq!(admitted.id.as_str(), "bot");
        assert!(!admitted.agents.allows(&AgentId::parse("beta").unwrap()));
    }

    #[test]
    fn nobody_else_is_admitted_and_the_log_learns_why() {
        let phone = key("phone", 7);
        let clients = clients(&format!(
            "phone {} agents=*\nbot {} agents=*",
            phone.hash,
            key("bot", 8).hash
        ));
        for (wrong, why) in [
            ("", Denial::Malformed),
            ("sk-proj-x", Denial::Malformed),
            ("claw_", Denial::Malformed),
            ("claw_phone_", Denial::Malformed),
            ("claw_phone", Denial::Malformed),
            (&phone.plaintext.to_uppercase(), Denial::Malformed),
            (&format!("{} ", phone.plaintext.as_str()), Denial::Malformed),
            (&key("phone", 9).plaintext, Denial::WrongSecret),
            (
                &phone.plaintext.replace("phone", "bot"),
                Denial::WrongSecret,
            ),
            (&phone.plaintext.replace("phone", "phon"), Denial::UnknownId),
        ] {
            assert_eq!(
                clients.admit(wrong, NOW_MS, None).map(|client| &client.id),
                Err(why),
                "{wrong}"
            );
        }
    }

    #[test]
    fn both_secrets_of_a_key_that_is_being_replaced_are_good() {
        let (new, old) = (key("phone", 1), key("phone", 2));
        let clients = clients(&format!("phone {} {} agents=main", new.hash, old.hash));
        for key in [&new, &old] {
            assert!(clients.admit(&key.plaintext, NOW_MS, None).is_ok());
        }
        assert_eq!(
            clients
                .admit(&key("phone", 3).plaintext, NOW_MS, None)
                .err(),
            Some(Denial::WrongSecret)
        );
    }

    #[test]
    fn a_key_is_good_from_its_first_moment_to_the_one_before_its_last() {
        let phone = key("phone", 7);
        let clients = clients(&format!(
            "phone {} agents=* not_before=2026-11-01 expires=2026-12-01T12:30:00Z",
            phone.hash
        ));
        let admit = |now_ms| clients.admit(&phone.plaintext, now_ms, None).err();
        // date -ud 2026-11-01 +%s; date -ud 2026-12-01T12:30:00Z +%s
        assert_eq!(admit(1_793_491_199_999), Some(Denial::NotYetValid));
        assert_eq!(admit(1_793_491_200_000), None);
        assert_eq!(admit(1_796_128_199_999), None);
        assert_eq!(admit(1_796_128_200_000), Some(Denial::Expired));
        // The response to a wrong secret reveals neither date.
        let wrong = key("phone", 8).plaintext;
        assert_eq!(
            clients.admit(&wrong, 0, None).err(),
            Some(Denial::WrongSecret)
        );
    }

    #[test]
    fn a_key_with_networks_is_good_inside_them_only() {
        let phone = key("phone", 7);
        let clients = clients(&format!(
            "phone {} agents=* networks=203.0.113.0/24,192.0.2.7,2001:db8::/32",
            phone.hash
        ));
        let admit = |address| clients.admit(&phone.plaintext, NOW_MS, address).err();
        for inside in [
            "::ffff:203.0.113.1",
            "203.0.113.1",
            "203.0.113.255",
            "192.0.2.7",
            "2001:db8::1",
        ] {
            assert_eq!(admit(inside.parse().ok()), None, "{inside}");
        }
        for outside in ["203.0.114.1", "192.0.2.8", "2001:db9::1", "::1"] {
            assert_eq!(
                admit(outside.parse().ok()),
                Some(Denial::Network),
                "{outside}"
            );
        }
        assert_eq!(
            admit(None),
            Some(Denial::Network),
            "an address nobody knows"
        );
    }

    #[test]
    fn a_key_with_too_little_entropy_is_refused_even_if_its_hash_is_listed() {
        let weak = "claw_phone_hunter2";
        let hash = hex::encode_string(&Sha256::digest(weak));
        let clients = clients(&format!("phone sha256:{hash} agents=*"));
        assert_eq!(
            clients.admit(weak, NOW_MS, None).err(),
            Some(Denial::Malformed)
        );
    }

    #[test]
    fn a_secret_cannot_be_printed() {
        let printed = format!(
            "{:?}",
            clients(&format!("phone {} agents=*", key("phone", 7).hash))
        );
        assert!(
            printed.contains("Digest(…)") && !printed.contains("2a8d"),
            "{printed}"
        );
    }
}
