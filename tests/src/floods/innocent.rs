//! A peer that measures round trips to echoing plugins, and fails if they end.

use crate::harness::{Chan, Peer, PeerEvent};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use trunkline_core::control::{Answer, Message};

/// The pause between two round trips.
const PAUSE: Duration = Duration::from_micros(500);

/// A peer with one open channel to each of several echoing plugins.
#[derive(Debug)]
pub struct Innocent {
    /// Its link.
    pub peer: Peer,
    chans: BTreeMap<String, Chan>,
    sent: u64,
}

/// The durations of several round trips, sorted.
#[derive(Clone, Debug)]
pub struct RoundTrips(Vec<Duration>);

impl Innocent {
    /// Opens its channels, and waits until all are accepted.
    ///
    /// # Panics
    ///
    /// When one is refused.
    #[must_use]
    pub fn new(mut peer: Peer, plugins: &[&str]) -> Innocent {
        let mut chans = BTreeMap::new();
        for plugin in plugins {
            let chan = peer.open(plugin);
            let answered =
                |event: &PeerEvent| matches!(event, PeerEvent::Answer(tag, _) if *tag == chan.tag);
            let answer = peer.wait_for("an answer", answered);
            assert!(
                matches!(answer, PeerEvent::Answer(_, Answer::Accept(_))),
                "{plugin}: {answer:?}"
            );
            chans.insert((*plugin).to_owned(), chan);
        }
        Innocent { peer, chans, sent: 0 }
    }

    /// Sends 64 bytes to a plugin and waits until they are back. Returns the time that it took.
    ///
    /// # Panics
    ///
    /// When the channel or the link has ended, or other bytes come back.
    pub fn round_trip(&mut self, plugin: &str) -> Duration {
        let chan = self.chans[plugin];
        let begun = Instant::now();
        self.sent += 1;
        let bytes = [self.sent.to_be_bytes(); 8].concat();
        // A channel that has ended takes nothing; the reason follows.
        self.peer.write(chan, &bytes);
        let mut back = Vec::new();
        while back.len() < bytes.len() {
            match self.peer.next_event() {
                PeerEvent::Write(tag, some) if tag == chan.tag => {
                    self.peer.grant(chan, some.len() as u64);
                    back.extend(some);
                }
                PeerEvent::Message(Message::Closing(closing))
                    if closing.stream == chan.stream.0 =>
                {
                    panic!("the channel to {plugin} ended: {}", closing.reason)
                }
                PeerEvent::Close(tag) | PeerEvent::Gone(tag) if tag == chan.tag => {
                    panic!("the channel to {plugin} was closed")
                }
                PeerEvent::Message(Message::Goodbye(goodbye)) => {
                    panic!("the link ended: {}", goodbye.reason)
                }
                PeerEvent::End => panic!("the server closed the connection"),
                _ => {}
            }
        }
        assert_eq!(back, bytes, "{plugin} gave other bytes back");
        begun.elapsed()
    }

    /// Makes round trips to a plugin, one after the other, until `over` returns true.
    pub fn until(&mut self, plugin: &str, mut over: impl FnMut() -> bool) -> RoundTrips {
        let mut all = vec![self.round_trip(plugin)];
        while !over() {
            std::thread::park_timeout(PAUSE);
            all.push(self.round_trip(plugin));
        }
        all.sort_unstable();
        RoundTrips(all)
    }

    /// Makes round trips to a plugin while `attack` runs on another thread.
    ///
    /// # Panics
    ///
    /// When the attack panics, or a round trip fails.
    pub fn beside<T: Send>(
        &mut self,
        plugin: &str,
        attack: impl FnOnce() -> T + Send,
    ) -> (T, RoundTrips) {
        std::thread::scope(|scope| {
            let attack = scope.spawn(attack);
            let trips = self.until(plugin, || attack.is_finished());
            let done = attack.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (done, trips)
        })
    }
}

impl RoundTrips {
    /// Their number.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The longest.
    #[must_use]
    pub fn worst(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }

    /// The duration that 99 % of them did not exceed.
    #[must_use]
    pub fn p99(&self) -> Duration {
        self.0.get(self.0.len() * 99 / 100).copied().unwrap_or_default()
    }
}
