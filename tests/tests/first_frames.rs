//! The first frame of a stream is charged to the link while it is incomplete: only so many may be,
//! each has the time of a handshake, and a stream without a preface does not keep a link.

#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

use std::time::Duration;
use trunkline_core::broker::{ConnId, Grants, Opened, Opening, PeerProcess, Security};
use trunkline_core::bymux::{MuxRole, StreamId};
use trunkline_core::control::{
    Announced, Hello, Message, Origin, PROTOCOL, Preface, Request, Role, Wanted,
};
use trunkline_core::key::Key;
use trunkline_core::limits::{Limit, Limits, WINDOW};
use trunkline_core::link::{Event, Link};
use trunkline_tests::processes::Processes;

const SERVER: usize = 0;

/// A server, and a peer that the test writes for.
struct Scene {
    all: Processes,
    conn: ConnId,
    link: Link,
    /// What the server said of streams that it ended.
    closings: Vec<String>,
    goodbye: Option<String>,
}

impl Scene {
    fn new() -> Scene {
        let mut all = Processes::default();
        all.add(Role::Server, 0, "echo");
        let conn = all.all[SERVER].broker.connected(Opening {
            how: Opened::Accepted,
            grants: Grants::Everything,
            address: "raw".into(),
            security: Security::NoAuth,
            from: None,
            process: PeerProcess::Foreign,
        });
        let link = Link::new(MuxRole::Dialler, Duration::ZERO, &Limits::default(), 0);
        let mut scene = Scene { all, conn, link, closings: Vec::new(), goodbye: None };
        let hello = Hello {
            protocol: PROTOCOL,
            role: Role::Server,
            key: Key([77; 32]),
            name: "raw".into(),
            machine: Key([0; 32]),
            plugins: vec![Announced::new("asks".parse().expect("a name"), 1)],
            software: None,
            seen: None,
        };
        scene.link.send(&Message::Hello(hello)).expect("it fits");
        scene.exchange();
        scene
    }

    /// Carries bytes until both sides are silent.
    fn exchange(&mut self) {
        loop {
            let ours = self.link.outbox().slices().concat();
            self.link.mux().outbox_mut().advance(ours.len());
            self.all.all[SERVER].receive(self.conn, ours.clone());
            self.all.run();
            let theirs = self.all.all[SERVER].send(self.conn);
            let mut input = &theirs[..];
            while let Some(event) = self.link.receive(Duration::ZERO, &mut input).expect("no fault")
            {
                let Event::Message(message) = event else { continue };
                match *message {
                    Message::Closing(closing) => self.closings.push(closing.reason.to_string()),
                    Message::Goodbye(bye) => self.goodbye = Some(bye.reason.to_string()),
                    _ => {}
                }
            }
            if ours.is_empty() && theirs.is_empty() {
                return;
            }
        }
    }

    /// Opens a stream to `echo` and writes a part of its preface; the rest.
    fn open_half(&mut self) -> (StreamId, Vec<u8>) {
        let stream = self.link.open(1).expect("one more stream");
        let from = Origin::new("asks".parse().expect("a name"), 1);
        let request = Request::new("echo".parse().expect("a name"), 0, from);
        let mut frame = Preface::channel(request).frame();
        let rest = frame.split_off(frame.len() / 2);
        assert_eq!(self.link.mux().write(stream, &frame), frame.len());
        (stream, rest)
    }

    fn streams(&self) -> usize {
        self.all.all[SERVER].broker.stream_accounts(self.conn).len()
    }

    fn reached(&self, limit: Limit) -> u64 {
        self.all.all[SERVER].broker.status().counters.reached(limit)
    }
}

#[test]
fn as_many_prefaces_may_be_incomplete_as_channels_may_wait_for_an_answer() {
    let mut scene = Scene::new();
    let most = (Limits::default().link_window / WINDOW) as usize;
    let opened: Vec<_> = (0..most + 3).map(|_| scene.open_half()).collect();
    scene.exchange();
    assert_eq!(scene.closings.len(), 3, "{:?}", scene.closings);
    assert!(scene.closings.iter().all(|why| why.starts_with("limit-reached")));
    assert_eq!((scene.streams(), scene.reached(Limit::LinkWindow)), (most, 3));

    // The others are whole once their rest comes, and make room.
    let (stream, rest) = &opened[0];
    scene.link.mux().write(*stream, rest);
    scene.open_half();
    scene.exchange();
    assert_eq!(scene.closings.len(), 3, "one had become complete");
    assert_eq!(scene.all.all[SERVER].asked.len(), 1, "the plugin is asked for it");
}

#[test]
fn a_preface_has_the_time_of_a_handshake_from_its_first_byte() {
    let mut scene = Scene::new();
    let time = Limits::default().handshake;
    scene.link.send(&Message::Wanted(Wanted { wanted: true })).expect("it fits");
    let silent = scene.link.open(1).expect("one more stream");
    let late = scene.open_half();
    scene.exchange();
    scene.all.wait(time / 2);
    let early = scene.open_half();
    scene.exchange();
    scene.all.wait(time / 2 + Duration::from_millis(1));
    scene.exchange();
    assert_eq!(scene.closings.len(), 1, "{:?}", scene.closings);
    assert!(scene.closings[0].starts_with("handshake-timeout"), "{:?}", scene.closings);
    assert_eq!(scene.reached(Limit::Handshake), 1);
    assert_eq!(scene.streams(), 2, "{late:?} is over, {early:?} and {silent:?} are not");

    scene.link.mux().write(early.0, &early.1);
    scene.exchange();
    assert_eq!(scene.all.all[SERVER].asked.len(), 1, "its rest came in time");
}

#[test]
fn streams_without_a_preface_do_not_keep_a_link() {
    let mut scene = Scene::new();
    scene.link.open(1).expect("one more stream");
    let closed = scene.link.open(1).expect("one more stream");
    scene.link.mux().close(closed);
    scene.open_half();
    scene.exchange();
    scene.all.wait(Limits::default().nothing_in_common + Duration::from_millis(1));
    scene.exchange();
    let goodbye = scene.goodbye.unwrap_or_default();
    assert!(goodbye.starts_with("nothing-in-common"), "{goodbye:?}");
}
