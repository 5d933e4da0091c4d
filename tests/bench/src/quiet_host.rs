//! A host for a plugin that is only called. All its functions refuse or do nothing.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::task::Waker;
use std::time::Duration;

use trunkline_plugin::host::{Callee, HostApi, ShowOutcome};
use trunkline_plugin::{
    Call, Channel, Entry, Interest, Key, Link, Reach, Reason, Server, Target, Timer, Unanswered,
    Watch,
};

/// A host that refuses all requests.
pub(crate) struct QuietHost;

fn nothing<T>() -> Result<T, Reason> {
    Err(Reason::new("not-here", "there is no server around this plugin"))
}

impl HostApi for QuietHost {
    fn name(&self) -> String {
        "measure".to_owned()
    }
    fn server(&self) -> Server {
        Server { key: Key([0; 32]), name: String::new() }
    }
    fn open(&self, _target: &Target) -> Result<Channel, Reason> {
        nothing()
    }
    fn accept(&self, _channel: Channel) {}
    fn refuse(&self, _channel: Channel, _why: Reason) {}
    fn write(&self, _channel: Channel, _bytes: &[u8]) -> usize {
        0
    }
    fn credit(&self, _channel: Channel, _amount: u64) {}
    fn hold(&self, _channel: Channel) {}
    fn close(&self, _channel: Channel) {}
    fn stop_read(&self, _channel: Channel) {}
    fn abort(&self, _channel: Channel, _why: Reason) {}
    fn join(&self, _a: Channel, _b: Channel) {}
    fn set_timer(&self, _after: Duration) -> Timer {
        Timer::new(0)
    }
    fn cancel_timer(&self, _timer: Timer) {}
    fn watch(&self, _fd: BorrowedFd<'_>, _interest: Interest) -> Result<Watch, Reason> {
        nothing()
    }
    fn unwatch(&self, _watch: Watch) {}
    fn waker(&self) -> Waker {
        Waker::noop().clone()
    }
    fn directory(&self) -> Vec<Entry> {
        Vec::new()
    }
    fn links(&self) -> Vec<Link> {
        Vec::new()
    }
    fn open_link(&self, _address: &str) -> Result<Key, Reason> {
        nothing()
    }
    fn close_link(&self, _server: Key) -> Result<(), Reason> {
        nothing()
    }
    fn addresses(&self, _reach: Reach) -> Vec<String> {
        Vec::new()
    }
    fn uses(&self, _name: &str, _version: u64) -> Result<(), Reason> {
        nothing()
    }
    fn invites(&self, _name: &str) -> Result<(), Reason> {
        nothing()
    }
    fn call(
        &self,
        _callee: &mut Callee<'_>,
        _request: &[u8],
        _deadline: Duration,
        outcome: ShowOutcome<'_>,
    ) -> Option<Call> {
        let why = Reason::new("not-here", "there is no server around this plugin");
        outcome(Err(&Unanswered::Refused(why)));
        None
    }
    fn cancel(&self, _call: Call) {}
    fn answer(&self, _call: Call, _answer: &[u8]) {}
    fn refuse_call(&self, _call: Call, _why: Reason) {}
    fn data_dir(&self) -> Result<PathBuf, Reason> {
        nothing()
    }
    fn config_dir(&self) -> PathBuf {
        PathBuf::new()
    }
    fn host_panicked(&self, _message: &str) {}
}
