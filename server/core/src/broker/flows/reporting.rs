//! What a host tells its server for `status` and `explain`, and what the server keeps of it:
//! channels that could not be opened, and those that the server does not see.

use crate::broker::report::directs::Directs;
use crate::broker::report::failures::{Failure, Teller};
use crate::broker::switch::Switch;
use crate::broker::{Broker, ConnId};
use crate::control::Tried;
use crate::ends::ChannelInfo;
use crate::reason::Reason;
use crate::route::Route;

impl Broker {
    /// Remembers that a channel or a route did not work. A host tells its server.
    pub(crate) fn note_failure(&mut self, info: &ChannelInfo, route: Route, reason: Reason) {
        let (from, to, at) = (info.from.clone(), info.to.clone(), self.now);
        self.add_failure(None, Failure { from, to, route, reason, at });
    }

    /// A host tells what its plugins tried without success.
    pub(crate) fn host_tried(&mut self, id: ConnId, tried: Tried) {
        let Tried { from, to, server, route, reason } = tried;
        if self.registry.plugin_at(id, &from).is_some() {
            let (from, to) = ((from, self.neighbours.home_key()), (to, server));
            self.add_failure(Some(id), Failure { from, to, route, reason, at: self.now });
        }
    }

    fn add_failure(&mut self, teller: Teller, failure: Failure) {
        let Failure { from, to, route, reason, .. } = &failure;
        log::debug!("{} to {}: {} did not work: {reason}", from.0, to.0, route.as_str());
        // Where much waits to be read, it is not worth more of it.
        if let Some(uplink) =
            self.neighbours.uplink().filter(|uplink| self.switch.takes_more(*uplink))
        {
            self.send(uplink, &failure.tried());
        }
        self.failures.add(teller, failure);
    }

    /// A channel of this host goes over a connection of its own, or has ended.
    pub(crate) fn tell_direct(&mut self, info: &ChannelInfo, ended: bool) {
        if let Some(uplink) = self.neighbours.uplink() {
            self.directs.tell_direct(info, ended);
            tell_owed_directs(&mut self.directs, &mut self.switch, uplink);
        }
    }
}

/// Tells the server of this host which direct channels have begun or ended, as far as there is
/// room.
pub(crate) fn tell_owed_directs(directs: &mut Directs, switch: &mut Switch, uplink: ConnId) {
    while switch.takes_more(uplink)
        && let Some(message) = directs.next_told()
    {
        switch.send(uplink, &message);
    }
}
