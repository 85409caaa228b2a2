//! The memory and the connection to the gateway, which all requests of the object share.

use std::cell::OnceCell;
use std::ops::Deref;
use std::rc::Rc;

use clawfront_core::access::grant::{Grant, Home};
use clawfront_core::access::hub_key::HubKey;
use clawfront_core::config::Config;

use crate::hub::books::{Books, Shared};
use crate::hub::link::Link;
use crate::hub::store::Store;

/// The memory and the connection of one object.
pub(crate) struct Common {
    books: Shared,
    link: OnceCell<Link>,
}

impl Common {
    /// Makes them for an object that has just been made.
    pub(crate) fn new(store: Store) -> Self {
        Self {
            books: Shared::new(Books::new(store)),
            link: OnceCell::new(),
        }
    }

    /// Returns the moment from which the key of an admitted client is not valid, in milliseconds
    /// since the Unix epoch. Of a key that the hub has made it can change at any time.
    pub(crate) fn ends_ms(&self, client: &Grant) -> Option<u64> {
        match client.home {
            Home::ClientKeys => client.expires_ms(),
            Home::Hub => self.keys(|keys| keys.find(&client.id).map_or(Some(0), HubKey::ends_ms)),
        }
    }

    /// Returns the connection. The settings are the same as long as the object lives.
    pub(crate) fn link(&self, config: &Rc<Config>) -> &Link {
        self.link.get_or_init(|| Link::new(Rc::clone(config)))
    }
}

impl Deref for Common {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.books
    }
}
