//! Echo: sends back what it receives.

use trunkline_plugin::prelude::*;

struct Echo;

impl Plugin for Echo {
    const ABOUT: About = About::new("echo", 1);

    fn start(_host: &Host, _config: Config) -> Result<Self, Reason> {
        Ok(Echo)
    }

    fn open(&mut self, host: &Host, channel: Channel, _caller: &Caller) -> Answer {
        host.join(channel, channel);
        Answer::Accept
    }
}

trunkline_plugin::export_plugin!(Echo);
