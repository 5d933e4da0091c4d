//! What a plugin may ask about links to other servers, and about what they are for.

use super::{Host, ask};
use crate::abi::{Bytes, Sink};
use crate::{By, Key, Reach, Reason};

/// Links, addresses and partners: since version 1.1 of the API.
///
/// As everything else here, they are called on the thread of the host loop and do not block. A
/// server whose API is 1.0 has none of them: it refuses with `not-supported`, and knows no
/// addresses. One that fails while it is asked refuses with `host-failed`.
impl Host {
    /// Opens a link to the server at a multiserver address that names its key, as
    /// `net:HOST:PORT~shs:KEY`, and gives the key that is expected there.
    ///
    /// Several alternates, with `;` between them, are tried in order; an address is at most 4 KiB
    /// long. What becomes of it is told by [`link`](crate::Plugin::link): `Up`, or `Down` with the
    /// reason when no alternate leads there. It is one attempt: a link that fails or is lost is
    /// not dialled again by itself.
    ///
    /// # Errors
    ///
    /// `not-allowed` when the plugin's configuration does not say `allow = ["links"]`,
    /// `bad-address` when it is not an address or names no key, `limit-reached` when there are too
    /// many links, `not-supported` from a server whose API is 1.0.
    pub fn open_link(&self, address: &str) -> Result<Key, Reason> {
        let function = self.table.open_link().ok_or_else(not_supported)?;
        let mut key = [0; 32];
        // SAFETY: all pointers are borrowed for the call.
        ask(|refusal| unsafe {
            function(self.context, Bytes::text(address), &raw mut key, refusal)
        })?;
        Ok(Key(key))
    }

    /// Ends the link to a server, whoever opened it; [`link`](crate::Plugin::link) tells when it
    /// is down. It is not dialled again until a plugin of either server appears, changes or leaves,
    /// or one opens it.
    ///
    /// # Errors
    ///
    /// `not-allowed` when the plugin's configuration does not say `allow = ["links"]`,
    /// `unknown-server` when there is no link to this server, `not-supported` from a server whose
    /// API is 1.0.
    pub fn close_link(&self, server: &Key) -> Result<(), Reason> {
        let function = self.table.close_link().ok_or_else(not_supported)?;
        // SAFETY: all pointers are borrowed for the call.
        ask(|refusal| unsafe { function(self.context, &raw const server.0, refusal) })
    }

    /// The multiserver addresses of this server that reach at least so far, as of now, the best
    /// one first: what another server can be told to dial. It takes no permission.
    ///
    /// There are none when the server does not listen so far, and from one whose API is 1.0.
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

    /// Says that this plugin opens channels to `name`, at `version` or later: what
    /// [`About::uses`](crate::About::uses) says when the plugin is compiled, for a name that comes
    /// from its configuration. It holds until the plugin ends.
    ///
    /// # Errors
    ///
    /// `bad-name` when the name is not 1 to 64 of `a-z 0-9 - . _`, beginning with a letter;
    /// `limit-reached` when it would be the 65th, with those of [`About`](crate::About);
    /// `not-supported` from a server whose API is 1.0.
    pub fn uses(&self, name: &str, version: u64) -> Result<(), Reason> {
        let function = self.table.uses().ok_or_else(not_supported)?;
        // SAFETY: all pointers are borrowed for the call.
        ask(|refusal| unsafe { function(self.context, Bytes::text(name), version, refusal) })
    }

    /// Says that plugins called `name` on other servers should connect to this one: what
    /// [`About::invites`](crate::About::invites) says when the plugin is compiled, for a name that
    /// comes from its configuration. It holds until the plugin ends.
    ///
    /// # Errors
    ///
    /// As for [`uses`](Self::uses); the 64 invitations are counted apart.
    pub fn invites(&self, name: &str) -> Result<(), Reason> {
        let function = self.table.invites().ok_or_else(not_supported)?;
        // SAFETY: all pointers are borrowed for the call.
        ask(|refusal| unsafe { function(self.context, Bytes::text(name), refusal) })
    }
}

/// The refusal in place of a host whose table ends before the function.
#[cold]
fn not_supported() -> Reason {
    let text = "this server has plugin API 1.0, and this takes 1.1; run a newer server";
    Reason::received(By::Server, "not-supported", text)
}
