//! Rows of streams, channels and their windows.

use super::*;

pub(super) fn streams() {
    let (mut broker, _) = broker(Limits { streams: 8, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    let arrived = opened(&mut hog, &mut broker, 20, &request("inline"));
    assert_eq!((accepted(&arrived), refused(&arrived, Code::LimitReached)), (8, 12));
    assert_eq!(accepted(&opened(&mut other, &mut broker, 1, &request("inline"))), 1);
    // The host of a plugin that is invited over the full link keeps no stream of it.
    let mut host = host(&mut broker, None);
    hog.exchange(&mut broker);
    let invites = Some(vec![name("hosted")]);
    announce(&mut hog, &mut broker, vec![Announced { invites, ..Announced::new(name("bar"), 1) }]);
    assert_eq!(broker.audit(), Ok(()));
    let arrived = host.exchange(&mut broker);
    assert_eq!(refused(&arrived, Code::LimitReached), 1, "{arrived:?}");
}

pub(super) fn streams_of_a_host() {
    let (mut broker, _) = broker(Limits { streams: 16, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    let mut host = host(&mut broker, None);
    // A link of its own never has so many that the link itself is full.
    let mut refusals = Vec::new();
    for _ in 0..12 {
        refusals.extend(opened(&mut hog, &mut broker, 1, &request("hosted")));
    }
    assert_eq!(refused(&refusals, Code::LimitReached), 4, "half of the streams are left");
    let refusals = opened(&mut other, &mut broker, 12, &request("hosted"));
    assert_eq!(refused(&refusals, Code::LimitReached), 8, "half of the other half");
    let is = |arrived: &&Arrived| matches!(arrived, Arrived::Opened(..));
    assert_eq!(host.exchange(&mut broker).iter().filter(is).count(), 12);
    broker.disconnected(hog.conn, "gone");
    turns(&mut broker, &[]);
    assert_eq!(broker.audit(), Ok(()));
}

pub(super) fn channels() {
    let (mut broker, _) = broker(Limits { channels: 16, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    let arrived = opened(&mut hog, &mut broker, 40, &request("inline"));
    assert_eq!((accepted(&arrived), refused(&arrived, Code::LimitReached)), (8, 32));
    assert_eq!(accepted(&opened(&mut other, &mut broker, 40, &request("inline"))), 4);
    broker.disconnected(hog.conn, "gone");
    turns(&mut broker, &[]);
    assert_eq!(accepted(&opened(&mut other, &mut broker, 40, &request("inline"))), 4, "half");
    assert_eq!(broker.audit(), Ok(()));
}

pub(super) fn window() {
    let (mut broker, _) = broker(limits());
    let (mut hog, mut other) = peers(&mut broker);
    for link in [&mut hog, &mut other] {
        let (_, stream) = link.open(&Preface::channel(request("inline")));
        let used = Preface::channel(request("inline")).frame().len();
        assert_eq!(link.link.mux().write(stream, &[7; 200_000]) + used, 65_536);
    }
}

/// Opens channels and writes as much as is granted, again and again; the sum of their windows.
fn grow(link: &mut RawLink, broker: &mut Broker, count: usize) -> u64 {
    let open = |link: &mut RawLink| link.open(&Preface::channel(request("inline"))).1;
    let streams: Vec<StreamId> = (0..count).map(|_| open(link)).collect();
    link.exchange(broker);
    for _ in 0..40 {
        for part in [2, 1] {
            for stream in &streams {
                let writable = link.link.mux().writable(*stream) as usize;
                link.link.mux().write(*stream, &vec![7; writable / part]);
                link.flush(broker);
            }
        }
        link.exchange(broker);
    }
    streams.iter().map(|stream| link.link.mux().writable(*stream)).sum()
}

pub(super) fn windows_that_grow() {
    let (mut broker, _) =
        broker(Limits { window_max: 256 << 10, link_window: 1 << 20, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    let all = grow(&mut hog, &mut broker, 12);
    assert!(all > 12 * WINDOW, "no window has grown: {all}");
    assert!(all <= 12 * WINDOW + (1 << 20), "they grow beyond the link's bound: {all}");
    let others = grow(&mut other, &mut broker, 4);
    let grown = 4 * WINDOW + 1..=4 * (256 << 10);
    assert!(grown.contains(&others), "four channels of another link grow to {others}");
}

pub(super) fn relayed_windows() {
    let (mut broker, _) =
        broker(Limits { window_max: 256 << 10, link_window: 1 << 20, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    let mut host = host(&mut broker, None);
    let open = |link: &mut RawLink, broker: &mut Broker| -> Vec<StreamId> {
        let streams = (0..12).map(|_| link.open(&Preface::channel(request("hosted"))).1).collect();
        link.exchange(broker);
        streams
    };
    let (streams, others) = (open(&mut hog, &mut broker), open(&mut other, &mut broker));
    // The host lets each of them write 1 MiB, and then it reads nothing.
    for arrived in host.exchange(&mut broker) {
        let Arrived::Opened(stream, _) = arrived else { continue };
        host.link.mux().write(stream, &Answer::Accept(None).frame());
        host.link.mux().credit(stream, (1 << 20).try_into().expect("not zero"));
    }
    host.flush(&mut broker);
    let mut all = 0;
    for (link, streams) in [(&mut hog, &streams), (&mut other, &others)] {
        assert_eq!(accepted(&link.exchange(&mut broker)), 12);
        all += streams.iter().map(|stream| link.link.mux().writable(*stream)).sum::<u64>();
    }
    assert!(all > 24 * WINDOW, "no window has grown: {all}");
    assert!(all <= 24 * WINDOW + (1 << 20), "they grow beyond the bound of the host's link: {all}");
    assert_eq!(broker.audit(), Ok(()));
    assert!(reached(&broker, Limit::LinkWindow) > 0);
    broker.disconnected(host.conn, "gone");
    turns(&mut broker, &[]);
    assert_eq!(broker.audit(), Ok(()));
    assert_eq!(broker.windows_grown(), 0);
}

pub(super) fn bytes_before_the_answer() {
    let (mut broker, inline) = broker(limits());
    let (mut hog, _) = peers(&mut broker);
    let (_, stream) = hog.open(&Preface::channel(request("inline")));
    hog.link.mux().credit(stream, (1 << 20).try_into().expect("not zero"));
    let bytes = hog.bytes();
    let asked = turn(&mut broker, Duration::ZERO, &[(hog.conn, bytes)]);
    let channel = asked.iter().find_map(|effect| match effect {
        Effect::Tell(_, Told::Open(channel, _)) => Some(*channel),
        _ => None,
    });
    let channel = channel.expect("the plugin is asked");
    assert_eq!(broker.room(inline, channel), WINDOW);
    assert_eq!(broker.write(inline, channel, &[7; 200_000]), Ok(65_536));
    assert_eq!(broker.room(inline, channel), 0);
    broker.accept(inline, channel).expect("it asks for an answer");
    assert_eq!(accepted(&hog.exchange(&mut broker)), 1);
    assert!(broker.room(inline, channel) > WINDOW, "the peer lets it write more");
}

pub(super) fn unanswered_channels() {
    let (mut broker, _) = broker(Limits { link_window: 4 * WINDOW, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    let waits = Request { from: Origin::new(name(UNANSWERED), 1), ..request("inline") };
    let arrived = opened(&mut hog, &mut broker, 20, &waits);
    assert_eq!((arrived.len(), refused(&arrived, Code::LimitReached)), (16, 16));
    assert_eq!(accepted(&opened(&mut other, &mut broker, 1, &request("inline"))), 1);
}

/// Opens a stream and writes the beginning of a preface.
fn open_half(link: &mut RawLink) {
    let stream = link.link.open(7).expect("the broker allows more");
    link.link.mux().write(stream, &4096u32.to_be_bytes());
    link.link.mux().credit(stream, NonZeroU64::new(4096).expect("not zero"));
}

pub(super) fn incomplete_prefaces() {
    let (mut broker, _) = broker(Limits { link_window: 4 * WINDOW, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    (0..20).for_each(|_| open_half(&mut hog));
    let arrived = hog.exchange(&mut broker);
    assert_eq!(refused(&arrived, Code::LimitReached), 16);
    assert_eq!(accepted(&opened(&mut other, &mut broker, 1, &request("inline"))), 1);
}

pub(super) fn time_of_a_preface() {
    let (mut broker, _) = broker(limits());
    let (mut hog, mut other) = peers(&mut broker);
    open_half(&mut hog);
    hog.exchange(&mut broker);
    pass_time(&mut broker, 6);
    assert_eq!(refused(&hog.exchange(&mut broker), Code::HandshakeTimeout), 1);
    assert_eq!(accepted(&opened(&mut other, &mut broker, 1, &request("inline"))), 1);
}

pub(super) fn long_preface() {
    let (mut broker, _) = broker(limits());
    let (mut hog, mut other) = peers(&mut broker);
    let stream = hog.link.open(7).expect("the broker allows more");
    hog.link.mux().write(stream, &4097u32.to_be_bytes());
    hog.flush(&mut broker);
    assert!(broker.is_ending(hog.conn));
    assert_eq!(accepted(&opened(&mut other, &mut broker, 1, &request("inline"))), 1);
}
