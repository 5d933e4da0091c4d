//! Whether one bulk channel delays 99 small ones on the same link.

use crate::contender::{Contender, Group, Metric};
use crate::plan::BULK;
use crate::routes::{LINK_UNIX, Servers, Traffic};
use crate::shapes::MESSAGE;

pub(crate) const FAIRNESS: &str = "fairness";
pub(crate) const ALONE: &str = "99 small channels alone";
pub(crate) const BESIDE: &str = "beside one bulk channel";

/// Small channels, each with one message of 64 bytes in flight.
const SMALL: usize = 99;

pub(crate) fn group(servers: &Servers) -> Group<'_> {
    let small = |name: &str, floods: usize| {
        let route = LINK_UNIX.traffic();
        let traffic = Traffic { size: MESSAGE, pings: SMALL, flood_size: BULK, floods, ..route };
        Contender::new(name, move |length| servers.measure(LINK_UNIX, &traffic, length))
    };
    Group {
        key: FAIRNESS,
        title: "99 channels with round trips of 64 bytes on one link".to_owned(),
        metric: Metric::Latency,
        x: 0,
        contenders: vec![small(ALONE, 0), small(BESIDE, 1).against(ALONE)],
    }
}
