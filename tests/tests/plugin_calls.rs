//! Calls between a host and its plugin: each arrives unchanged, and no panic crosses the boundary.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../fixtures/probe/src/fake_host.rs"]
mod fake_host;

use std::cell::RefCell;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, Once};
use std::time::Duration;

use fake_host::{FakeHost, entry, link};
use trunkline::loader::load;
use trunkline_plugin::host::{Failure, Instance, Module, StartError};
use trunkline_plugin::prelude::*;
use trunkline_plugin::{By, Use};
use trunkline_tests::fixtures::{self, Api};

const CALLER: Caller<'static> =
    Caller { name: "test", version: 3, server: Key([1; 32]), local: true };

/// Records every callback.
struct Told;

thread_local! {
    static TOLD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn told(what: String) {
    TOLD.with_borrow_mut(|all| all.push(what));
}

impl Plugin for Told {
    const ABOUT: About = About::new("told", u64::MAX).uses("a", 2).uses("b", 3).invites("c");

    fn start(host: &Host, config: Config) -> Result<Self, Reason> {
        let list: Vec<u8> = config.read()?;
        told(format!(
            "start {} on {} {:?} {list:?}",
            host.name(),
            host.server().name,
            CALLER.server
        ));
        Ok(Self)
    }

    fn open(&mut self, _: &Host, channel: Channel, caller: &Caller) -> Answer {
        told(format!("open {channel} {caller:?}"));
        match channel.number() {
            1 => Answer::Accept,
            2 => Answer::Later,
            _ => Answer::Refuse(Reason::new("too-many", "two are enough")),
        }
    }

    fn opened(&mut self, _: &Host, channel: Channel) {
        told(format!("opened {channel}"));
    }

    fn credit(&mut self, _: &Host, channel: Channel, room: u64) {
        told(format!("credit {channel} {room}"));
    }

    fn write(&mut self, _: &Host, channel: Channel, bytes: &[u8]) {
        told(format!("write {channel} {bytes:?}"));
    }

    fn close(&mut self, _: &Host, channel: Channel) {
        told(format!("close {channel}"));
    }

    fn stop_read(&mut self, _: &Host, channel: Channel) {
        told(format!("stop_read {channel}"));
    }

    fn ended(&mut self, _: &Host, channel: Channel, why: Option<&Reason>) {
        told(format!("ended {channel} {:?}", why.map(|why| (why.by(), why.code(), why.text()))));
    }

    fn directory(&mut self, _: &Host, change: &Change) {
        told(format!("{change:?}"));
    }

    fn link(&mut self, _: &Host, change: &LinkChange) {
        told(format!("{change:?}"));
    }

    fn timer(&mut self, _: &Host, timer: Timer) {
        told(format!("timer {timer}"));
    }

    fn ready(&mut self, _: &Host, watch: Watch, readiness: Readiness) {
        told(format!("ready {watch} {}", readiness == Readiness::READABLE | Readiness::ERROR));
    }

    fn wake(&mut self, _: &Host) {
        told("wake".to_owned());
    }

    fn stop(&mut self, _: &Host) {
        told("stop".to_owned());
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        told("drop".to_owned());
    }
}

#[test]
fn every_host_event_reaches_the_plugin() -> Result<(), Failure> {
    let module = Module::of::<Told>();
    let uses = [Use { name: "a", version: 2 }, Use { name: "b", version: 3 }];
    assert_eq!((module.about().version(), module.about().used()), (u64::MAX, &uses[..]));
    let mut plugin = module.create(FakeHost::new("other-name"), "[1, 2]").unwrap();
    let why = Reason::from_parts(By::Server, "link-lost", "the cable").unwrap();
    let [one, two, three] = [1, 2, 3].map(Channel::new);
    assert_eq!(plugin.open(one, &CALLER)?, Answer::Accept);
    assert_eq!(plugin.open(two, &CALLER)?, Answer::Later);
    let refusal = Answer::Refuse(Reason::new("too-many", "two are enough"));
    assert_eq!(plugin.open(three, &CALLER)?, refusal);
    plugin.opened(Channel::new(u64::MAX))?;
    plugin.credit(one, u64::MAX)?;
    plugin.write(one, &[])?;
    plugin.write(two, &[7, 8])?;
    plugin.close(one)?;
    plugin.stop_read(two)?;
    plugin.ended(one, None)?;
    plugin.ended(two, Some(&why))?;
    plugin.directory(&Change::Appeared(entry("x")))?;
    plugin.directory(&Change::Changed(entry("x")))?;
    plugin.directory(&Change::Left(entry("x")))?;
    plugin.link(&LinkChange::Up(link()))?;
    plugin.link(&LinkChange::Down(link(), why.clone()))?;
    plugin.timer(Timer::new(5))?;
    plugin.ready(Watch::new(6), Readiness::READABLE | Readiness::ERROR)?;
    plugin.wake()?;
    plugin.stop()?;
    drop(plugin);
    let key = CALLER.server;
    let expected = [
        format!("start other-name on alpha {key:?} [1, 2]"),
        format!("open 1 {CALLER:?}"),
        format!("open 2 {CALLER:?}"),
        format!("open 3 {CALLER:?}"),
        format!("opened {}", u64::MAX),
        format!("credit 1 {}", u64::MAX),
        "write 1 []".to_owned(),
        "write 2 [7, 8]".to_owned(),
        "close 1".to_owned(),
        "stop_read 2".to_owned(),
        "ended 1 None".to_owned(),
        r#"ended 2 Some((Server, "link-lost", "the cable"))"#.to_owned(),
        format!("{:?}", Change::Appeared(entry("x"))),
        format!("{:?}", Change::Changed(entry("x"))),
        format!("{:?}", Change::Left(entry("x"))),
        format!("{:?}", LinkChange::Up(link())),
        format!("{:?}", LinkChange::Down(link(), why)),
        "timer 5".to_owned(),
        "ready 6 true".to_owned(),
        "wake".to_owned(),
        "stop".to_owned(),
        "drop".to_owned(),
    ];
    assert_eq!(TOLD.take(), expected);
    Ok(())
}

/// Makes every request when it starts.
struct Asks;

impl Plugin for Asks {
    const ABOUT: About = About::new("asks", 1);

    fn start(host: &Host, _: Config) -> Result<Self, Reason> {
        let [a, b] = [1, 2].map(Channel::new);
        let target = Target::new("echo").version(3);
        assert_eq!(host.open(&target), Ok(a));
        assert_eq!(host.open(&target.clone().here()), Ok(b));
        assert!(host.open(&target.on_server("beta")).is_ok());
        let refusal = host.open(&Target::new("nobody")).unwrap_err();
        assert_eq!((refusal.by(), refusal.code()), (By::Plugin, "unknown-plugin"));
        host.accept(a);
        host.refuse(b, Reason::new("no", "not you"));
        assert_eq!(host.write(a, b"seven b"), 4);
        host.credit(a, 5);
        host.hold(a);
        host.close(a);
        host.stop_read(a);
        host.abort(a, Reason::new("over", "enough"));
        host.join(a, b);
        let timer = host.set_timer(Duration::from_millis(1500));
        host.cancel_timer(timer);
        let (socket, _) = UnixStream::pair()?;
        let watch = host.watch(&socket, Interest::READABLE | Interest::WRITABLE)?;
        host.unwatch(watch);
        assert_eq!(host.directory(), [entry("one"), entry("two")]);
        assert_eq!(host.links(), [link()]);
        let waker = host.waker();
        let task: std::task::Waker = waker.clone().into();
        drop(waker);
        std::thread::spawn(move || task.wake_by_ref()).join().unwrap();
        Ok(Self)
    }
}

#[test]
fn every_plugin_request_reaches_the_host() {
    let host = FakeHost::new("asks");
    host.room.set(4);
    drop(Module::of::<Asks>().create(host.clone(), "").unwrap());
    let expected = [
        "open echo 3 Anywhere",
        "open echo 3 Here",
        "open echo 3 Server(\"beta\")",
        "open nobody 0 Anywhere",
        "accept 1",
        "refuse 2 no: not you",
        "write 1 seven b",
        "credit 1 5",
        "hold 1",
        "close 1",
        "stop_read 1",
        "abort 1 over: enough",
        "join 1 2",
        "set_timer 1.5s",
        "cancel_timer 4",
        "watch Interest(3)",
        "unwatch 5",
    ];
    assert_eq!(host.said(), expected);
    assert_eq!(host.wakes.0.load(Ordering::SeqCst), 1, "the thread's wake came through");
    assert_eq!(std::sync::Arc::strong_count(&host.wakes), 1, "all wakers are dropped");
}

/// Calls others when it starts, and answers calls.
struct Calls {
    store: Target,
}

impl Plugin for Calls {
    const ABOUT: About = About::new("calls", 1);

    fn start(host: &Host, _: Config) -> Result<Self, Reason> {
        let second = Duration::from_secs(1);
        let store = Target::new("store").version(2).here();
        for _ in 0..2 {
            let answered = Called::Over(Ok(b"ABC".to_vec()));
            assert_eq!(host.call(&store, b"abc", second), answered);
        }
        assert_eq!(store, store.clone(), "what a target remembers is not what it says");
        let call = |name| host.call(&Target::new(name), b"", Duration::MAX);
        let why = Reason::new("no-calls", "it takes none");
        let why = |over: Called| match over {
            Called::Over(Err(Unanswered::Refused(told) | Unanswered::Lost(told))) => {
                assert_eq!(
                    (told.by(), told.code(), told.text()),
                    (By::Plugin, why.code(), why.text())
                );
            }
            other => panic!("{other:?} has no reason"),
        };
        why(call("refuses"));
        why(call("gone"));
        assert_eq!(call("late"), Called::Over(Err(Unanswered::Deadline)));
        let Called::Pending(slow) = call("slow") else { panic!("it is over") };
        host.cancel(slow);
        Ok(Self { store })
    }

    fn call(&mut self, host: &Host, call: Call, caller: &Caller, request: &[u8]) {
        told(format!("call {call} {caller:?} {request:?}"));
        match request {
            b"no" => host.refuse_call(call, Reason::new("no", "not this")),
            _ => host.answer(call, request),
        }
    }

    fn cancelled(&mut self, _: &Host, call: Call) {
        told(format!("cancelled {call}"));
    }

    fn reply(&mut self, _: &Host, call: Call, outcome: Result<&[u8], Unanswered>) {
        let outcome = outcome.map_err(|why| why.to_string());
        told(format!("reply {call} {outcome:?}"));
    }

    fn wake(&mut self, host: &Host) {
        let Called::Over(Err(Unanswered::Lost(why))) = host.call(&self.store, b"", Duration::MAX)
        else {
            panic!("a host that panics answers")
        };
        assert_eq!((why.by(), why.code()), (By::Server, "host-failed"));
    }
}

#[test]
fn calls_and_outcomes_cross_the_boundary_unchanged() {
    let host = FakeHost::new("calls");
    let mut plugin = Module::of::<Calls>().create(host.clone(), "").unwrap();
    let expected = [
        "call store 2 Here 0 abc 1s",
        "call store 2 Here 7 abc 1s",
        "call refuses 0 Anywhere 0  18446744073709551615.999999999s",
        "call gone 0 Anywhere 0  18446744073709551615.999999999s",
        "call late 0 Anywhere 0  18446744073709551615.999999999s",
        "call slow 0 Anywhere 0  18446744073709551615.999999999s",
        "cancel 1",
    ];
    assert_eq!(host.said(), expected);

    let why = Reason::new("too-late", "it is over");
    assert_eq!(plugin.call(Call::new(1), &CALLER, b"yes"), Ok(Some(())));
    assert_eq!(plugin.call(Call::new(2), &CALLER, b"no"), Ok(Some(())));
    assert_eq!(plugin.cancelled(Call::new(3)), Ok(()));
    for outcome in [
        Ok(&b"yes"[..]),
        Err(&Unanswered::Refused(why.clone())),
        Err(&Unanswered::Cancelled),
        Err(&Unanswered::Deadline),
        Err(&Unanswered::Lost(why)),
    ] {
        assert_eq!(plugin.reply(Call::new(4), outcome), Ok(()));
    }
    assert_eq!(host.said(), ["answer 1 yes", "refuse_call 2 no: not this"]);
    let expected = [
        format!("call 1 {CALLER:?} [121, 101, 115]"),
        format!("call 2 {CALLER:?} [110, 111]"),
        "cancelled 3".to_owned(),
        "reply 4 Ok([121, 101, 115])".to_owned(),
        r#"reply 4 Err("the call was refused: too-late: it is over")"#.to_owned(),
        r#"reply 4 Err("the call was cancelled")"#.to_owned(),
        r#"reply 4 Err("the call was not answered in time")"#.to_owned(),
        r#"reply 4 Err("the call was lost: too-late: it is over")"#.to_owned(),
    ];
    assert_eq!(TOLD.take(), expected);

    host.panics_in.set("call");
    assert_eq!(plugin.wake(), Ok(()));
    assert_eq!(host.said(), ["host_panicked the fake panics in call"]);
}

/// Asks for links and partners when it starts.
struct Connects;

impl Plugin for Connects {
    const ABOUT: About = About::new("connects", 1);

    fn start(host: &Host, _: Config) -> Result<Self, Reason> {
        let refused = |code| Err((By::Plugin, code));
        let peer = link().peer.key;
        let opened = host.open_link("net:beta:8008~shs:KEY;unix:b.sock~shs:KEY");
        assert_eq!(opened, Ok(peer), "the key comes back");
        assert_eq!(told_by(&host.open_link("nonsense").map(drop)), refused("bad-address"));
        assert_eq!(host.close_link(&peer), Ok(()));
        let nobody = Key(std::array::from_fn(|at| at as u8));
        assert_eq!(told_by(&host.close_link(&nobody)), refused("unknown-server"));
        for reach in [Reach::Device, Reach::Local, Reach::Public] {
            let expected = ["unix:alpha.sock~noauth", "net:192.168.0.1:8008~shs"];
            assert_eq!(host.addresses(reach), expected, "all of them, in their order");
        }
        assert_eq!(host.uses("store", u64::MAX), Ok(()));
        assert_eq!(told_by(&host.uses("No Name", 0)), refused("bad-name"));
        assert_eq!(host.invites("watcher"), Ok(()));
        assert_eq!(told_by(&host.invites("No Name")), refused("bad-name"));
        Ok(Self)
    }

    fn wake(&mut self, host: &Host) {
        let failed = Err((By::Server, "host-failed"));
        assert_eq!(told_by(&host.open_link("net:beta:8008").map(drop)), failed);
    }

    fn stop(&mut self, host: &Host) {
        assert!(host.addresses(Reach::Public).is_empty(), "a host that panics knows none");
    }
}

/// The giver and the code of a refusal.
fn told_by(answer: &Result<(), Reason>) -> Result<(), (By, &str)> {
    answer.as_ref().copied().map_err(|why| (why.by(), why.code()))
}

#[test]
fn requests_for_links_addresses_and_partners_reach_the_host() {
    let host = FakeHost::new("connects");
    let mut plugin = Module::of::<Connects>().create(host.clone(), "").unwrap();
    let nobody = Key(std::array::from_fn(|at| at as u8));
    let close = [link().peer.key, nobody].map(|key| format!("close_link {key}"));
    let expected = [
        "open_link net:beta:8008~shs:KEY;unix:b.sock~shs:KEY",
        "open_link nonsense",
        &close[0],
        &close[1],
        "addresses Device",
        "addresses Local",
        "addresses Public",
        "uses store 18446744073709551615",
        "uses No Name 0",
        "invites watcher",
        "invites No Name",
    ];
    assert_eq!(host.said(), expected);
    host.panics_in.set("open_link");
    assert_eq!(plugin.wake(), Ok(()));
    host.panics_in.set("addresses");
    assert_eq!(plugin.stop(), Ok(()));
    let told =
        ["open_link", "addresses"].map(|name| format!("host_panicked the fake panics in {name}"));
    assert_eq!(host.said(), told);
}

/// Continues whatever its host does.
struct Stoic;

impl Plugin for Stoic {
    const ABOUT: About = About::new("stoic", 1);

    fn start(_: &Host, _: Config) -> Result<Self, Reason> {
        Ok(Self)
    }

    fn write(&mut self, host: &Host, channel: Channel, bytes: &[u8]) {
        assert_eq!(host.write(channel, bytes), 0, "a host that panics takes nothing");
    }

    fn wake(&mut self, host: &Host) {
        let refusal = host.open(&Target::new("any")).unwrap_err();
        assert_eq!((refusal.by(), refusal.code()), (By::Server, "host-failed"));
    }
}

#[test]
fn a_host_panic_is_reported_and_is_an_error_for_the_plugin() {
    let host = FakeHost::new("stoic");
    let mut plugin = Module::of::<Stoic>().create(host.clone(), "").unwrap();
    host.panics_in.set("write");
    assert_eq!(plugin.write(Channel::new(1), b"x"), Ok(()));
    host.panics_in.set("open");
    assert_eq!(plugin.wake(), Ok(()));
    let told = ["write", "open"].map(|name| format!("host_panicked the fake panics in {name}"));
    assert_eq!(host.said(), told);
}

#[test]
fn a_refused_start_carries_the_plugins_reason() {
    let start = |config| match panics().create(FakeHost::new("panics"), config) {
        Err(StartError::Refused(reason)) => reason.to_string(),
        other => panic!("the plugin does not start: {other:?}"),
    };
    assert_eq!(start("{}"), "bad-config: plugin.config: missing field `in`");
    let wrong = "bad-config: plugin.config.in: invalid type: integer `7`, expected a string";
    assert_eq!(start(r#"{"in": 7}"#), wrong);
}

type Callback = fn(&mut Instance) -> Result<(), Failure>;

const CALLBACKS: [(&str, Callback); 13] = [
    ("open", |plugin| plugin.open(Channel::new(1), &CALLER).map(drop)),
    ("opened", |plugin| plugin.opened(Channel::new(1))),
    ("credit", |plugin| plugin.credit(Channel::new(1), 1)),
    ("write", |plugin| plugin.write(Channel::new(1), b"x")),
    ("close", |plugin| plugin.close(Channel::new(1))),
    ("stop_read", |plugin| plugin.stop_read(Channel::new(1))),
    ("ended", |plugin| plugin.ended(Channel::new(1), None)),
    ("directory", |plugin| plugin.directory(&Change::Left(entry("x")))),
    ("link", |plugin| plugin.link(&LinkChange::Up(link()))),
    ("timer", |plugin| plugin.timer(Timer::new(1))),
    ("ready", |plugin| plugin.ready(Watch::new(1), Readiness::READABLE)),
    ("wake", Instance::wake),
    ("stop", Instance::stop),
];

#[test]
fn a_panic_in_any_callback_is_caught_with_message_and_location() {
    let module = panics();
    for (panicking, _) in CALLBACKS {
        let mut plugin = started(&module, panicking).unwrap();
        for (name, call) in CALLBACKS {
            match call(&mut plugin) {
                Ok(()) => assert_ne!(name, panicking, "{name} should have panicked"),
                Err(failure) => {
                    assert_eq!(name, panicking, "{name} should not have panicked");
                    assert_as_asked(&failure, name);
                }
            }
        }
    }
    match started(&module, "start") {
        Err(StartError::Failed(failure)) => assert_as_asked(&failure, "start"),
        other => panic!("the panic in start is a failure: {other:?}"),
    }
}

#[track_caller]
fn assert_as_asked(failure: &Failure, callback: &str) {
    let Failure::Panicked { message, location: Some(location) } = failure else {
        panic!("{callback} panicked somewhere: {failure:?}");
    };
    assert_eq!(*message, format!("as asked, in {callback}"));
    assert!(location.contains("panics/src/lib.rs:"), "{location} is the place");
}

#[test]
fn a_panic_in_drop_is_logged() {
    collect_records();
    drop(panics().create(FakeHost::new("drop-test"), r#"{"in": "drop"}"#).unwrap());
    let records = records_of("plugin::drop-test");
    assert_eq!(records.len(), 1, "one record: {records:?}");
    assert!(records[0].starts_with("while it was dropped: panic at "), "{records:?}");
    assert!(records[0].ends_with("as asked, in drop"), "{records:?}");
}

#[test]
fn unusual_panics_are_contained() {
    collect_records();
    let module = panics();
    let write = |asked| started(&module, asked).unwrap().write(Channel::new(1), b"x");
    let without_place =
        |message: &str| Err(Failure::Panicked { message: message.to_owned(), location: None });
    assert_eq!(write("bomb"), without_place("a panic without a message"));
    assert_eq!(write("resumed"), without_place("resumed"));
    assert_eq!(write("caught"), Ok(()), "what the plugin catches is its own affair");
    assert_eq!(write("thread"), Ok(()), "a thread of the plugin's is not a callback");
    let thread = |record: &String| record.ends_with("on a thread");
    let records = records_of("plugin::panics");
    assert_eq!(records.iter().filter(|record| thread(record)).count(), 1, "{records:?}");
}

#[test]
fn log_records_carry_the_plugins_configured_name() {
    collect_records();
    let module = load(&fixtures::plugin(Api::NewerMinor, "newer"), None).unwrap();
    for name in ["log-one", "log-two"] {
        module.create(FakeHost::new(name), "").unwrap();
        assert_eq!(records_of(&format!("plugin::{name}")), ["the host answers None"]);
    }
}

fn panics() -> Module {
    load(&fixtures::plugin(Api::Ours, "panics"), None).expect("the fixture loads")
}

fn started(module: &Module, panicking: &str) -> Result<Instance, StartError> {
    let host: Rc<FakeHost> = FakeHost::new("panics");
    module.create(host, &format!(r#"{{"in": "{panicking}"}}"#))
}

/// All records of all tests: target and message.
static RECORDS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Records the log from now on. Called before a plugin is loaded, because the plugin reads the
/// level then.
fn collect_records() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Collect).expect("nobody else collects records");
        log::set_max_level(log::LevelFilter::Info);
    });
}

fn records_of(target: &str) -> Vec<String> {
    let records = RECORDS.lock().unwrap();
    let of_target = records.iter().filter(|(of, _)| of == target);
    of_target.map(|(_, message)| message.clone()).collect()
}

struct Collect;

impl log::Log for Collect {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let record = (record.target().to_owned(), record.args().to_string());
        RECORDS.lock().unwrap().push(record);
    }

    fn flush(&self) {}
}
