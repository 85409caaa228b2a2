//! The faults of a connection: at the upgrade, in the handshake, or on the wire.

use std::str::FromStr;

use crate::wire::WireFault;

/// A fault of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    ProxyAttribution,
    Access302,
    Html200,
    NotFound404,
    Upgrade426,
    Status503,
    CloseBeforeChallenge,
    NoChallenge,
    NoHello,
    Startup,
    WideScopes,
    NoWriteScope,
    ProtocolMismatch,
    AuthRateLimited,
    Wire(WireFault),
}

const NAMES: [(&str, Fault); 14] = [
    ("proxy-attribution", Fault::ProxyAttribution),
    ("access-302", Fault::Access302),
    ("html-200", Fault::Html200),
    ("not-found-404", Fault::NotFound404),
    ("upgrade-426", Fault::Upgrade426),
    ("status-503", Fault::Status503),
    ("close-before-challenge", Fault::CloseBeforeChallenge),
    ("no-challenge", Fault::NoChallenge),
    ("no-hello", Fault::NoHello),
    ("startup", Fault::Startup),
    ("wide-scopes", Fault::WideScopes),
    ("no-write-scope", Fault::NoWriteScope),
    ("protocol-mismatch", Fault::ProtocolMismatch),
    ("auth-rate-limited", Fault::AuthRateLimited),
];

impl Fault {
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        name.parse()
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if let Some(fault) = WireFault::parse(name) {
            return fault.map(Self::Wire);
        }
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, fault)| *fault)
            .ok_or_else(|| {
                let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
                format!(
                    "there is no fault {name:?}; there are {} and ACT@POINT",
                    names.join(", ")
                )
            })
    }
}

/// The fault in force, and the number of upgrades for which it stays.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    fault: Option<Fault>,
    /// `None`: until it is changed.
    left: Option<u64>,
}

impl Faults {
    pub(crate) fn set(&mut self, fault: Option<Fault>, count: Option<u64>) {
        *self = Self {
            fault: fault.filter(|_| count != Some(0)),
            left: count,
        };
    }

    /// The number of upgrades for which the fault stays; `None` without a number.
    pub(crate) fn left(&self) -> Option<u64> {
        self.left
    }

    /// The fault of the next upgrade.
    pub(crate) fn take(&mut self) -> Option<Fault> {
        let fault = self.fault;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.fault = None;
            }
        }
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_fault_ends_after_its_count() {
        let mut faults = Faults::default();
        faults.set(Some(Fault::NoHello), Some(2));
        assert_eq!(
            [faults.take(), faults.take(), faults.take()],
            [Some(Fault::NoHello), Some(Fault::NoHello), None]
        );
    }

    #[test]
    fn an_uncounted_fault_stays() {
        let mut faults = Faults::default();
        faults.set(Some(Fault::Startup), None);
        assert_eq!(
            [faults.take(), faults.take()],
            [Some(Fault::Startup), Some(Fault::Startup)]
        );
    }
}
