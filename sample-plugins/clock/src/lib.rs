//! Clock: answers each call with the time, in seconds since 1970.

use std::time::UNIX_EPOCH;

use trunkline_plugin::prelude::*;

struct Clock;

impl Plugin for Clock {
    const ABOUT: About = About::new("clock", 1);

    fn start(_host: &Host, _config: Config) -> Result<Self, Reason> {
        Ok(Clock)
    }

    fn call(&mut self, host: &Host, call: Call, _caller: &Caller, _request: &[u8]) {
        let now = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        host.answer(call, now.to_string().as_bytes());
    }
}

trunkline_plugin::export_plugin!(Clock);
