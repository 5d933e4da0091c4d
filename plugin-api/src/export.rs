//! Makes the functions of a module's table out of a [`Plugin`].

use core::marker::PhantomData;

use crate::abi::{
    AboutView, Bytes, EntryView, HostRef, LogRef, ModuleTable, OutcomeView, Provides, ReasonView,
    ServerView, Sink, Status, UseView,
};
use crate::guard::guard;
use crate::log_forward::{self, Forward};
use crate::{
    Answer, Call, Caller, Change, Channel, Config, Entry, Host, Link, LinkChange, Plugin,
    Readiness, Reason, Server, Timer, Use, Watch, panic_hook,
};

/// Stands for the module of the plugin `P`.
pub struct Export<P>(PhantomData<P>);

impl<P: Plugin> Provides<ModuleTable> for Export<P> {
    const TABLE: ModuleTable = ModuleTable {
        unwinds: cfg!(panic = "unwind"),
        about: about::<P>,
        connect,
        start: start::<P>,
        drop: drop_plugin::<P>,
        open: open::<P>,
        opened: opened::<P>,
        credit: credit::<P>,
        write: write::<P>,
        close: close::<P>,
        stop_read: stop_read::<P>,
        ended: ended::<P>,
        directory: directory::<P>,
        link: link::<P>,
        timer: timer::<P>,
        ready: ready::<P>,
        wake: wake::<P>,
        stop: stop::<P>,
        call: call::<P>,
        cancelled: cancelled::<P>,
        reply: reply::<P>,
    };
}

/// A running plugin, with the handle that its callbacks receive.
struct Running<P> {
    host: Host,
    plugin: P,
}

/// Shows what the plugin declares about itself; all names in it are constants of its file.
unsafe extern "C" fn about<P: Plugin>(out: Sink<AboutView>) {
    let about = &P::ABOUT;
    let view = |one: &Use| UseView { name: Bytes::text(one.name), version: one.version };
    let uses: Vec<UseView> = about.used().iter().map(view).collect();
    let invites: Vec<Bytes> = about.invited().iter().map(|name| Bytes::text(name)).collect();
    let about = AboutView {
        name: Bytes::text(about.name()),
        version: about.version(),
        uses: uses.as_ptr(),
        uses_len: uses.len(),
        invites: invites.as_ptr(),
        invites_len: invites.len(),
    };
    // SAFETY: this runs within the call that the sink came with.
    unsafe { out.put(&about) }
}

/// Connects the log and the panic hook of this file.
unsafe extern "C" fn connect(table: LogRef, owner: *const ()) {
    // A panic here could not be reported: no instance exists yet.
    let _ = guard(|| panic_hook::install(log_forward::install(Forward { table, owner })));
}

unsafe extern "C" fn start<P: Plugin>(
    table: HostRef,
    context: *const (),
    config: Bytes,
    plugin: *mut *mut (),
    refusal: Sink<ReasonView>,
) -> Status {
    // SAFETY: the host hands over what belongs together and outlives the instance.
    let host = unsafe { Host::new(table, context) };
    let started = guard(|| {
        // SAFETY: the configuration is borrowed for the call.
        let config = Config::from_json(unsafe { config.as_text() });
        let config = match host.config_dir() {
            Some(folder) => config.in_folder(folder),
            None => config,
        };
        P::start(&host, config)
    });
    match started {
        Ok(Ok(started)) => {
            let running = Box::new(Running { host, plugin: started });
            // SAFETY: the host lends the place for the pointer.
            unsafe { plugin.write(Box::into_raw(running).cast()) };
            Status::DONE
        }
        Ok(Err(reason)) => refuse(refusal, &reason),
        Err(message) => panicked(&host, &message),
    }
}

unsafe extern "C" fn drop_plugin<P: Plugin>(plugin: *mut ()) -> Status {
    // SAFETY: `start::<P>` boxed it, and the host gives it up.
    let Running { host, plugin } = *unsafe { Box::from_raw(plugin.cast::<Running<P>>()) };
    match guard(|| drop(plugin)) {
        Ok(()) => Status::DONE,
        Err(message) => panicked(&host, &message),
    }
}

unsafe extern "C" fn open<P: Plugin>(
    plugin: *mut (),
    channel: u64,
    caller: *const EntryView,
    refusal: Sink<ReasonView>,
) -> Status {
    // SAFETY: the pointer is `start::<P>`'s, and the caller is borrowed for the call.
    let answer = unsafe {
        enter::<P, _>(plugin, |plugin, host| {
            plugin.open(host, Channel(channel), &Caller::of(&*caller))
        })
    };
    match answer {
        Ok(Answer::Accept) => Status::DONE,
        Ok(Answer::Later) => Status::LATER,
        Ok(Answer::Refuse(reason)) => refuse(refusal, &reason),
        Err(status) => status,
    }
}

unsafe extern "C" fn opened<P: Plugin>(plugin: *mut (), channel: u64) -> Status {
    // SAFETY: the pointer is `start::<P>`'s.
    unsafe { tell::<P>(plugin, |plugin, host| plugin.opened(host, Channel(channel))) }
}

unsafe extern "C" fn credit<P: Plugin>(plugin: *mut (), channel: u64, room: u64) -> Status {
    // SAFETY: the pointer is `start::<P>`'s.
    unsafe { tell::<P>(plugin, |plugin, host| plugin.credit(host, Channel(channel), room)) }
}

unsafe extern "C" fn write<P: Plugin>(plugin: *mut (), channel: u64, bytes: Bytes) -> Status {
    // SAFETY: the pointer is `start::<P>`'s, and the bytes are borrowed for the call.
    unsafe {
        tell::<P>(plugin, |plugin, host| plugin.write(host, Channel(channel), bytes.as_slice()))
    }
}

unsafe extern "C" fn close<P: Plugin>(plugin: *mut (), channel: u64) -> Status {
    // SAFETY: the pointer is `start::<P>`'s.
    unsafe { tell::<P>(plugin, |plugin, host| plugin.close(host, Channel(channel))) }
}

unsafe extern "C" fn stop_read<P: Plugin>(plugin: *mut (), channel: u64) -> Status {
    // SAFETY: the pointer is `start::<P>`'s.
    unsafe { tell::<P>(plugin, |plugin, host| plugin.stop_read(host, Channel(channel))) }
}

unsafe extern "C" fn ended<P: Plugin>(
    plugin: *mut (),
    channel: u64,
    why: *const ReasonView,
) -> Status {
    // SAFETY: the pointer is `start::<P>`'s, and the reason is null or borrowed for the call.
    unsafe {
        tell::<P>(plugin, |plugin, host| {
            let why = why.as_ref().map(|view| Reason::of_host(view));
            plugin.ended(host, Channel(channel), why.as_ref());
        })
    }
}

unsafe extern "C" fn directory<P: Plugin>(
    plugin: *mut (),
    kind: u8,
    entry: *const EntryView,
) -> Status {
    // SAFETY: the pointer is `start::<P>`'s, and the entry is borrowed for the call.
    unsafe {
        tell::<P>(plugin, |plugin, host| {
            if let Some(change) = Change::numbered(kind, Entry::of(&*entry)) {
                plugin.directory(host, &change);
            }
        })
    }
}

unsafe extern "C" fn link<P: Plugin>(
    plugin: *mut (),
    peer: *const ServerView,
    down: *const ReasonView,
) -> Status {
    // SAFETY: the pointer is `start::<P>`'s, the peer is borrowed for the call, and the reason is
    // null or borrowed for the call.
    unsafe {
        tell::<P>(plugin, |plugin, host| {
            let link = Link { peer: Server::of(&*peer) };
            let change = match down.as_ref() {
                None => LinkChange::Up(link),
                Some(why) => LinkChange::Down(link, Reason::of_host(why)),
            };
            plugin.link(host, &change);
        })
    }
}

unsafe extern "C" fn timer<P: Plugin>(plugin: *mut (), timer: u64) -> Status {
    // SAFETY: the pointer is `start::<P>`'s.
    unsafe { tell::<P>(plugin, |plugin, host| plugin.timer(host, Timer(timer))) }
}

unsafe extern "C" fn ready<P: Plugin>(plugin: *mut (), watch: u64, readiness: u8) -> Status {
    let (watch, readiness) = (Watch(watch), Readiness(readiness));
    // SAFETY: the pointer is `start::<P>`'s.
    unsafe { tell::<P>(plugin, |plugin, host| plugin.ready(host, watch, readiness)) }
}

unsafe extern "C" fn wake<P: Plugin>(plugin: *mut ()) -> Status {
    // SAFETY: the pointer is `start::<P>`'s.
    unsafe { tell::<P>(plugin, |plugin, host| plugin.wake(host)) }
}

unsafe extern "C" fn stop<P: Plugin>(plugin: *mut ()) -> Status {
    // SAFETY: the pointer is `start::<P>`'s.
    unsafe { tell::<P>(plugin, |plugin, host| plugin.stop(host)) }
}

unsafe extern "C" fn call<P: Plugin>(
    plugin: *mut (),
    call: u64,
    caller: *const EntryView,
    request: Bytes,
) -> Status {
    // SAFETY: the pointer is `start::<P>`'s, and caller and request are borrowed for the call.
    unsafe {
        tell::<P>(plugin, |plugin, host| {
            plugin.call(host, Call(call), &Caller::of(&*caller), request.as_slice());
        })
    }
}

unsafe extern "C" fn cancelled<P: Plugin>(plugin: *mut (), call: u64) -> Status {
    // SAFETY: the pointer is `start::<P>`'s.
    unsafe { tell::<P>(plugin, |plugin, host| plugin.cancelled(host, Call(call))) }
}

unsafe extern "C" fn reply<P: Plugin>(
    plugin: *mut (),
    call: u64,
    outcome: *const OutcomeView,
) -> Status {
    // SAFETY: the pointer is `start::<P>`'s, and the outcome is borrowed for the call.
    unsafe {
        tell::<P>(plugin, |plugin, host| plugin.reply(host, Call(call), (*outcome).as_result()))
    }
}

/// Runs a callback that answers nothing.
///
/// # Safety
///
/// As for [`enter`].
unsafe fn tell<P: Plugin>(plugin: *mut (), callback: impl FnOnce(&mut P, &Host)) -> Status {
    // SAFETY: the caller's promise.
    match unsafe { enter(plugin, callback) } {
        Ok(()) => Status::DONE,
        Err(status) => status,
    }
}

/// Runs a callback under the guard.
///
/// # Safety
///
/// `plugin` is what `start::<P>` gave, it was not dropped, and no callback of it is running.
unsafe fn enter<P: Plugin, R>(
    plugin: *mut (),
    callback: impl FnOnce(&mut P, &Host) -> R,
) -> Result<R, Status> {
    // SAFETY: `start::<P>` boxed it, and the caller promises that it is not used elsewhere now.
    let Running { host, plugin } = unsafe { &mut *plugin.cast::<Running<P>>() };
    guard(|| callback(plugin, host)).map_err(|message| panicked(host, &message))
}

/// Passes the reason of a refusal to the host.
fn refuse(refusal: Sink<ReasonView>, reason: &Reason) -> Status {
    // SAFETY: this runs within the call that the sink came with.
    unsafe { refusal.put(&reason.view()) };
    Status::REFUSED
}

/// Reports the panic's message to the host.
#[cold]
fn panicked(host: &Host, message: &str) -> Status {
    host.panicked(message);
    Status::PANICKED
}
