//! What a plugin may ask about links to other servers and about its partners.

use super::{Host, ask};
use crate::abi::{Bytes, Sink};
use crate::{By, Key, Reach, Reason};

/// Links, addresses and partners: since version 1.1 of the API.
///
/// Like all methods of [`Host`], they are called on the thread of the host loop and do not block. A
/// server whose API is 1.0 has none of them: it refuses with `not-supported`, and knows no
/// addresses. If the server itself fails during the call, the reason is `host-failed`.
impl Host {
    /// Opens a link to the server at a multiserver address that names its key, such as
    /// `net:HOST:PORT~shs:KEY`. Returns the key that is expected there.
    ///
    /// Alternates separated by `;` are tried in order. An address has at most 4 KiB. The outcome is
    /// reported by [`link`](crate::Plugin::link): `Up`, or `Down` with the reason if no alternate
    /// works. This is one attempt: a link that fails or is lost is not redialled because of it.
    ///
    /// # Errors
    ///
    /// `not-allowed` if the plugin's configuration does not say `allow = ["links"]`, `bad-address`
    /// if it is not an address or names no key, `limit-reached` if there are too many links,
    /// `not-supported` from a server whose API is 1.0.
    pub fn open_link(&self, address: &str) -> Result<Key, Reason> {
        let function = self.table.open_link().ok_or_else(not_supported)?;
        let mut key = [0; 32];
        // SAFETY: all pointers are borrowed for the call.
        ask(|refusal| unsafe {
            function(self.context, Bytes::text(address), &raw mut key, refusal)
        })?;
        Ok(Key(key))
    }

    /// Ends the link to a server, even if another plugin opened it; [`link`](crate::Plugin::link)
    /// is called when it is down. It is redialled only after a plugin of either server appears,
    /// changes or leaves, or a plugin opens it.
    ///
    /// # Errors
    ///
    /// `not-allowed` if the plugin's configuration does not say `allow = ["links"]`,
    /// `unknown-server` if there is no link to this server, `not-supported` from a server whose API
    /// is 1.0.
    pub fn close_link(&self, server: &Key) -> Result<(), Reason> {
        let function = self.table.close_link().ok_or_else(not_supported)?;
        // SAFETY: all pointers are borrowed for the call.
        ask(|refusal| unsafe { function(self.context, &raw const server.0, refusal) })
    }

    /// The current multiserver addresses of this server with at least this reach, the best one
    /// first: what another server can be told to dial. It takes no permission.
    ///
    /// The list is empty if the server does not listen that far, or if its API is 1.0.
    #[must_use]
    pub fn addresses(&self, reach: Reach) -> Vec<String> {
        let mut addresses = Vec::new();
        // SAFETY: the host shows what is alive.
        let mut take = |text: &Bytes| addresses.push(unsafe { text.as_text() }.to_owned());
        if let Some(function) = self.table.addresses() {
            // SAFETY: the sink is used during the call only.
            unsafe { function(self.context, reach.number(), Sink::new(&mut take)) };
        }
        addresses
    }

    /// Declares that this plugin opens channels to `name`, at `version` or later: the same as
    /// [`About::uses`](crate::About::uses), for a name that comes from the configuration. It holds
    /// until the plugin ends.
    ///
    /// # Errors
    ///
    /// `bad-name` if the name is not 1 to 64 of `a-z 0-9 - . _`, beginning with a letter;
    /// `limit-reached` for the 65th, counting those of [`About`](crate::About); `not-supported`
    /// from a server whose API is 1.0.
    pub fn uses(&self, name: &str, version: u64) -> Result<(), Reason> {
        let function = self.table.uses().ok_or_else(not_supported)?;
        // SAFETY: all pointers are borrowed for the call.
        ask(|refusal| unsafe { function(self.context, Bytes::text(name), version, refusal) })
    }

    /// Declares that plugins called `name` on other servers should connect to this one: the same as
    /// [`About::invites`](crate::About::invites), for a name that comes from the configuration. It
    /// holds until the plugin ends.
    ///
    /// # Errors
    ///
    /// As for [`uses`](Self::uses); invitations have a limit of 64 of their own.
    pub fn invites(&self, name: &str) -> Result<(), Reason> {
        let function = self.table.invites().ok_or_else(not_supported)?;
        // SAFETY: all pointers are borrowed for the call.
        ask(|refusal| unsafe { function(self.context, Bytes::text(name), refusal) })
    }
}

/// The refusal for a host whose table ends before the function.
#[cold]
fn not_supported() -> Reason {
    let text = "this server has plugin API 1.0, but 1.1 is needed; run a newer server";
    Reason::received(By::Server, "not-supported", text)
}
