//! The alternatives: the `yamux` crate for many streams over one socket, and `tonic` for calls to a
//! plugin in another process. They are built with the feature `peers`.

#[cfg(feature = "peers")]
mod tonic;
#[cfg(feature = "peers")]
mod yamux;

use std::path::Path;

use crate::bare::Place;
use crate::bare::child::Child;
use crate::contender::Contender;
use crate::programs::Programs;
#[cfg(feature = "peers")]
use crate::shapes::YAMUX_TCP;
use crate::shapes::place;

/// The message if this program was built without the peers.
#[cfg(not(feature = "peers"))]
const LEFT_OUT: &str = "not built in; `make bench` builds it";

/// If a turn takes longer than this, it fails.
#[cfg(feature = "peers")]
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// The processes at the other end.
pub(crate) struct Peers(Vec<Child>);

impl Peers {
    pub(crate) fn start(programs: &Programs, folder: &Path) -> Result<Peers, String> {
        let names = [("yamux", "yamux-unix"), ("yamux", "yamux-tcp"), ("tonic", "tonic-unix")];
        let wanted = if cfg!(feature = "peers") { &names[..] } else { &[] };
        let start =
            |(what, name): &(&str, &str)| Child::start(&programs.bench, what, &place(folder, name));
        Ok(Peers(wanted.iter().map(start).collect::<Result<_, _>>()?))
    }

    /// The processes of all of them.
    pub(crate) fn processes(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(Child::id)
    }
}

#[cfg(feature = "peers")]
impl Peers {
    fn yamux(&self, name: &str) -> &Child {
        &self.0[usize::from(name == YAMUX_TCP)]
    }

    /// Round trips on one stream.
    pub(crate) fn yamux_ping(&self, name: &str) -> Contender<'_> {
        let child = self.yamux(name);
        Contender::new(name, move |length| {
            crate::processes::with_cpu(&[child.id()], || yamux::ping(&child.place, length))
        })
    }

    /// Floods on several streams at once.
    pub(crate) fn yamux_flood(&self, name: &str, size: usize, streams: usize) -> Contender<'_> {
        let child = self.yamux(name);
        Contender::new(name, move |length| {
            crate::processes::with_cpu(&[child.id()], || {
                yamux::flood(&child.place, size, streams, length)
            })
        })
    }

    /// Unary calls.
    pub(crate) fn tonic_ping(&self, name: &str) -> Contender<'_> {
        let child = &self.0[2];
        Contender::new(name, move |length| {
            crate::processes::with_cpu(&[child.id()], || tonic::ping(&child.place, length))
        })
    }
}

#[cfg(not(feature = "peers"))]
impl Peers {
    pub(crate) fn yamux_ping(&self, name: &str) -> Contender<'_> {
        Contender::skipped(name, LEFT_OUT)
    }

    pub(crate) fn yamux_flood(&self, name: &str, _size: usize, _streams: usize) -> Contender<'_> {
        Contender::skipped(name, LEFT_OUT)
    }

    pub(crate) fn tonic_ping(&self, name: &str) -> Contender<'_> {
        Contender::skipped(name, LEFT_OUT)
    }
}

/// Runs a child that is a peer.
#[cfg(feature = "peers")]
pub(crate) fn serve(what: &str, place: &Place) -> Result<(), String> {
    match what {
        "yamux" => yamux::serve(place),
        "tonic" => tonic::serve(place),
        _ => Err(format!("{what} is no child of this program")),
    }
}

/// There is none.
#[cfg(not(feature = "peers"))]
pub(crate) fn serve(what: &str, _place: &Place) -> Result<(), String> {
    Err(format!("{what} is no child of this program, or {LEFT_OUT}"))
}

/// A runtime with one thread, for a fair comparison with an event loop.
#[cfg(feature = "peers")]
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("the runtime: {error}"))
}
