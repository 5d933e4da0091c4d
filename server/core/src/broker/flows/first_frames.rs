//! The first frame of a stream that a peer opened: it says what the stream is for, or presents the
//! ticket of a direct connection.

use super::requests::Asking;
use crate::broker::meetings::arrivals::Presenting;
use crate::broker::meetings::direct::Shown;
use crate::broker::meetings::tickets::Ticketed;
use crate::broker::neighbours::connections::{Conn, ConnPhase};
use crate::broker::registry::Registry;
use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, ConnId, PluginId, Step};
use crate::bymux::StreamId;
use crate::control::{Answer, Preface};
use crate::ids::EndId;
use crate::key::Key;
use crate::limits::Limit;
use crate::link::NO_TAG;
use crate::log_limiter::LogKind;
use crate::reason::{Code, Reason};
use crate::route::Route;
use alloc::format;

/// A first frame, of which the preface is taken out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstFrame<'a> {
    pub(crate) conn: ConnId,
    pub(crate) stream: StreamId,
    /// How many bytes the frame had.
    pub(crate) used: u64,
    /// What came behind it.
    pub(crate) rest: &'a [u8],
}

impl Broker {
    /// A peer opened a stream and says what it is for.
    pub(crate) fn first_frame(&mut self, frame: FirstFrame<'_>, preface: Preface) {
        let FirstFrame { conn: id, stream, used, rest } = frame;
        let misplaced = self.neighbours.conn(id).and_then(|conn| misplaced(conn, &preface));
        match (misplaced, preface) {
            (Some(text), _) => self.violation(id, text),
            (None, Preface::Direct(presented)) => {
                self.present(Presenting { conn: id, stream, used, presented }, rest);
            }
            (None, preface) => self.preface(frame, preface),
        }
    }

    /// A stream of a link is for a channel, or a command.
    fn preface(&mut self, frame: FirstFrame<'_>, preface: Preface) {
        let FirstFrame { conn, stream, used, rest } = frame;
        let Some(end) = self.switch.add_asking(conn, stream) else { return };
        let opened = match preface {
            Preface::Channel(request) => self.incoming(end, conn, *request),
            Preface::Command { name } => self.command(end, conn, name),
            Preface::Direct(_) => {
                Err(Reason::server(Code::BadTicket, "a ticket is for a connection of its own"))
            }
            Preface::Other(kind) => {
                let text = format!("streams of kind {kind} are not known");
                Err(Reason::server(Code::UnknownMessage, text))
            }
        };
        match opened {
            Ok(()) => {
                self.switch.frame_used(end, used);
                if let Step::Write { plugin, channel, bytes } = self.stream_brings(end, rest) {
                    debug_assert!(false, "{plugin:?} {channel:?} {} is not asked", bytes.len());
                }
            }
            Err(reason) => {
                let text = format_args!("a stream was refused: {reason}");
                self.log_about(conn, LogKind::RefusedStream, text);
                self.switch.reply(end, &Answer::Refuse(reason), &[]);
            }
        }
    }

    /// A direct connection presents its ticket, in a stream with more bytes behind it.
    pub(crate) fn present(&mut self, presenting: Presenting, rest: &[u8]) {
        let Presenting { conn: id, stream, used, presented } = presenting.clone();
        let Some(conn) = self.neighbours.conn(id) else { return };
        let (phase, proved) = (conn.phase, conn.proved);
        let first = phase == ConnPhase::AwaitsTicket && !self.meetings.has_presented(id);
        if !first || !rest.is_empty() {
            let text = "a ticket is presented first, once, and with nothing behind it";
            self.goodbye(id, Reason::server(Code::ProtocolViolation, text));
            return;
        }
        let Shown::Known(caller) = self.meetings.presents(presenting) else { return };
        // The ticket stays good for another route.
        if let Some(Err(reason)) = caller.map(|caller| self.neighbours.take_place(id, caller)) {
            self.goodbye(id, reason);
            return;
        }
        let taken = self.meetings.redeem(presented.ticket, proved);
        self.neighbours.is_met(id);
        self.arm(id);
        let Some(end) = self.switch.add_asking(id, stream) else { return };
        let asked = taken.and_then(|taken| {
            let asking = holder(&self.registry, taken, presented.route, self.neighbours.home_key());
            asking?.ask(&mut self.switch, &mut self.effects, end).map(drop)
        });
        self.switch.frame_used(end, used);
        if let Err(reason) = asked {
            let text = format_args!("a direct connection was refused: {reason}");
            self.log_about(id, LogKind::RefusedDirect, text);
            self.switch.reply(end, &Answer::Refuse(reason), &[]);
        }
    }

    /// The first frame of a stream is not awaited any longer: the channel is refused.
    pub(crate) fn first_frame_lost(
        &mut self,
        id: ConnId,
        stream: StreamId,
        tag: u32,
        limit: Limit,
    ) {
        self.counters.count(limit);
        match EndId::of_tag(tag).filter(|_| tag != NO_TAG) {
            Some(end) => self.stream_answered(end, Answer::Refuse(lost(limit)), 0, &[]),
            None => self.switch.abort_nameless(id, stream, lost(limit)),
        }
    }
}

/// Why a stream must not be opened on a connection. Whether a ticket may be presented, is looked at
/// with the ticket.
fn misplaced(conn: &Conn, preface: &Preface) -> Option<&'static str> {
    match (preface, conn.phase) {
        (Preface::Direct(_), _) => None,
        _ if conn.is_direct() => {
            Some("a direct connection carries one channel, and a ticket opens it")
        }
        (_, ConnPhase::AwaitsHello | ConnPhase::AwaitsTicket) => {
            Some("a stream was opened before hello")
        }
        _ => None,
    }
}

/// Why a channel is refused whose first frame is not awaited any longer.
fn lost(limit: Limit) -> Reason {
    match limit {
        Limit::Handshake => {
            let text = "the first frame of the stream took too long";
            Reason::server(Code::HandshakeTimeout, text)
        }
        _ => {
            let text = "too many first frames of this link are incomplete";
            Reason::server(Code::LimitReached, text)
        }
    }
}

/// The plugin of this process for which a ticket was good, and what it is asked.
fn holder(registry: &Registry, taken: Ticketed, route: Route, home: Key) -> Result<Asking, Reason> {
    let gone = || Reason::server(Code::UnknownPlugin, "the plugin is gone");
    // Its name may be that of a host's plugin by now.
    let here = |id: &PluginId| registry.plugin(*id).is_some_and(|r| r.runs == Runs::Here);
    let plugin = registry.running(&taken.to).filter(here).ok_or_else(gone)?;
    let Ticketed { to, caller, purpose, .. } = taken;
    Ok(Asking { plugin, to: (to, home), caller, route, purpose, ticket: None })
}
