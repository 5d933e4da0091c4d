//! The switch alone, without a broker: channels within a process, over a link, and what others hear
//! of.

use super::streams::Arrived;
use super::{Event, Switch};
use crate::broker::effect::{Effect, Effects, Queued, Told};
use crate::bymux::MuxRole;
use crate::control::{Message, Origin, Preface, Purpose, Request, Wanted};
use crate::ends::{ChannelInfo, Phase};
use crate::ids::{ConnId, Handle, PluginId};
use crate::key::Key;
use crate::limits::{Limits, WINDOW};
use crate::link::Event as LinkEvent;
use crate::name::Name;
use crate::reason::{Code, Reason};
use crate::route::Route;
use crate::wire::Wire;
use alloc::vec::Vec;

const OPENER: PluginId = PluginId(0);
const ASKED: PluginId = PluginId(1);

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn info(route: Route) -> ChannelInfo {
    let key = Key([1; 32]);
    ChannelInfo { from: (name("opener"), key), to: (name("asked"), key), route }
}

fn with_line(limits: &Limits, role: MuxRole) -> (Switch, ConnId) {
    let mut switch = Switch::new(limits);
    let id = switch.number();
    switch.open_line(id, role, 7, Wire::Plain, false);
    (switch, id)
}

/// What plugins are told: to whom, and what.
fn told(effects: &mut Effects) -> Vec<(PluginId, Told)> {
    let mut all = Vec::new();
    while let Some(queued) = effects.pop_front() {
        match queued {
            Queued::Effect(Effect::Tell(plugin, told)) => all.push((plugin, told)),
            other => panic!("the switch only tells plugins something, not {other:?}"),
        }
    }
    all
}

/// All that a connection has to write.
fn written(switch: &mut Switch, id: ConnId, effects: &mut Effects) -> Vec<u8> {
    let bytes: Vec<u8> = switch.outgoing(id, effects).concat();
    switch.flushed(id, bytes.len(), effects);
    bytes
}

fn receive<'a>(switch: &mut Switch, id: ConnId, input: &mut &'a [u8]) -> Option<LinkEvent<'a>> {
    let (line, now) = switch.readable(id, input)?;
    line.receive(now, input).expect("no rule is broken")
}

#[test]
fn a_channel_within_a_process_needs_only_the_switch() {
    let (mut switch, mut effects) = (Switch::new(&Limits::default()), Effects::default());
    let opened = switch.open_local((OPENER, ASKED), info(Route::Local), Purpose::Channel);
    let (near, far) = opened.expect("there is room");
    switch.accept(ASKED, far, &mut effects).expect("it was asked");
    assert_eq!(switch.write(OPENER, near, b"hello", &mut effects), Ok(5));
    assert_eq!(switch.take_inbox(ASKED, far), b"hello");
    switch.close(OPENER, near, &mut effects).expect("it is open");
    switch.close(ASKED, far, &mut effects).expect("it is open");
    let ends = told(&mut effects).into_iter().filter_map(|(plugin, told)| match told {
        Told::Close(_) | Told::Ended(_, None) => Some(plugin),
        _ => None,
    });
    let ends: Vec<PluginId> = ends.collect();
    assert!(ends.contains(&OPENER) && ends.contains(&ASKED), "both hear of the end: {ends:?}");
    assert!(switch.is_settled(), "nobody else has to hear of it");
    assert_eq!(switch.audit(true), Ok(()));
}

#[test]
fn a_join_of_ends_that_may_be_sent_all_bytes_that_there_are_widens_the_window() {
    let (mut switch, mut effects) = (Switch::new(&Limits::default()), Effects::default());
    let mut open = || {
        let opened = switch.open_local((OPENER, ASKED), info(Route::Local), Purpose::Channel);
        let (near, far) = opened.expect("there is room");
        switch.accept(ASKED, far, &mut effects).expect("it was asked");
        (near, far)
    };
    let ((near, far), (other, behind)) = (open(), open());
    switch.hold(ASKED, far).expect("it is open");
    switch.credit(ASKED, far, u64::MAX - 1 - WINDOW, &mut effects).expect("it is no overflow");
    assert_eq!(switch.write(ASKED, behind, b"hello", &mut effects), Ok(5));
    switch.join(ASKED, far, behind, &mut effects).expect("both are open");
    assert_eq!(switch.room(OPENER, near), u64::MAX - 1);
    assert_eq!(switch.take_inbox(OPENER, other), b"hello");
    switch.consumed(OPENER, other, 5, &mut effects);
    assert_eq!(switch.audit(true), Ok(()));
}

#[test]
fn two_switches_carry_a_channel_over_a_link() {
    let (limits, mut effects) = (Limits::default(), Effects::default());
    let (mut here, to_there) = with_line(&limits, MuxRole::Dialler);
    let (mut there, to_here) = with_line(&limits, MuxRole::Acceptor);
    let near = here
        .add_plugin_end(OPENER, Phase::Asking, Some(info(Route::Link)), Purpose::Channel)
        .expect("there is room");
    let stream = here.open_stream(to_there, near, WINDOW, &mut effects).expect("there is room");
    let request = Request::new(name("asked"), 0, Origin::new(name("opener"), 1));
    here.give_frame(stream, &Preface::channel(request).frame());
    let handle = here.handle(near);
    assert_eq!(here.write(OPENER, handle, b"hello", &mut effects), Ok(5));

    let bytes = written(&mut here, to_there, &mut effects);
    let mut input = &bytes[..];
    let event = receive(&mut there, to_here, &mut input);
    let Some(LinkEvent::Preface { stream, used, rest, .. }) = event else {
        panic!("the stream says first what it is for, not {event:?}")
    };
    let end = there.add_asking(to_here, stream).expect("there is room");
    there.frame_used(end, used);
    let far = there.ask(ASKED, end, info(Route::Link), Purpose::Channel).expect("there is room");
    assert!(matches!(there.stream_writes(end, rest, &mut effects), Arrived::Kept));
    let far = there.handle(far);
    there.accept(ASKED, far, &mut effects).expect("it was asked");
    let mut early = there.take_inbox(ASKED, far);
    effects = Effects::default();
    while let Some(LinkEvent::Write { bytes, .. }) = receive(&mut there, to_here, &mut input) {
        match there.stream_writes(end, bytes, &mut effects) {
            Arrived::ForPlugin(ASKED, channel, bytes) if channel == far => early.extend(bytes),
            other => panic!("an accepted channel is told at once, not {other:?}"),
        }
    }
    assert_eq!(early, b"hello");
    assert!(here.is_settled() && there.is_settled());
}

#[test]
fn streams_that_lose_are_reported_by_handles() {
    let (mut switch, line) = with_line(&Limits::default(), MuxRole::Dialler);
    let mut effects = Effects::default();
    let end = switch
        .add_plugin_end(OPENER, Phase::Asking, Some(info(Route::Tcp)), Purpose::Channel)
        .expect("there is room");
    let near = switch.handle(end);
    switch.seek(near);
    let request = Request::new(name("asked"), 0, Origin::new(name("opener"), 1));
    let preface = Preface::channel(request);
    let tried = switch.open_candidate(line, near, &preface, &mut effects).expect("there is room");
    let reason = Reason::server(Code::LinkLost, "the link ended");
    switch.lose_streams(line, &reason, &mut effects);
    match switch.next_event() {
        Some(Event::CandidateLost { far, near: of, reason: why }) => {
            assert_eq!((far, of, why), (tried, near, reason));
        }
        other => panic!("the route is lost, not {other:?}"),
    }
    assert_eq!(switch.live(tried), None);
    switch.drop_end(end);
    assert!(matches!(switch.next_event(), Some(Event::GivenUp(of)) if of == near));
    assert!(
        matches!(switch.next_event(), Some(Event::DirectOver(plugins, _)) if plugins == [OPENER])
    );
    assert!(switch.is_settled());
    assert_ne!(Some(near), switch.ends().iter().next().map(|(id, _)| switch.handle(id)));
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes when interpreted")]
fn a_peer_that_does_not_read_is_noted_once_and_its_line_goes_on() {
    let limits = Limits { outbox: 1024, ..Limits::default() };
    let (mut switch, line) = with_line(&limits, MuxRole::Dialler);
    for _ in 0..1_000_000 {
        if !switch.is_settled() {
            break;
        }
        switch.send(line, &Message::Wanted(Wanted { wanted: true }));
    }
    switch.send(line, &Message::Wanted(Wanted { wanted: true }));
    assert!(!switch.is_ending(line), "it ends when the broker has heard of it");
    assert!(!switch.has_control_room(line));
    assert!(matches!(switch.next_event(), Some(Event::Faulted(id, _)) if id == line));
    assert!(switch.is_settled());
    assert_eq!(switch.live(Handle(0)), None);
}
