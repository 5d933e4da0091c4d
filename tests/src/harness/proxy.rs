//! A TCP proxy between two servers that records, delays, corrupts and cuts what they send to each
//! other, or carries it slowly. It does not know their protocol, and its threads end with it.

// A test whose proxy does not work must fail.
#![allow(clippy::expect_used)]

mod lane;

use lane::{Faults, Lane};
use socket2::SockRef;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The most that is recorded of each direction, in bytes. More means that a test is out of control.
const RECORD_MAX: usize = 64 * 1024 * 1024;
/// How many bytes the kernels keep for a slow proxy, at each of its sockets.
const SLOW_BUFFER: usize = 16 * 1024;
/// How often in a second a slow proxy carries bytes.
const SLOW_TURNS: u32 = 20;
/// How long a server on loopback may take to accept the proxy.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client of the proxy to its server.
    ToServer,
    /// The opposite direction.
    ToClient,
}

/// What was sent, before the proxy changed anything. With several connections, in the order of
/// arrival.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// What the clients sent.
    pub to_server: Vec<u8>,
    /// What the server sent.
    pub to_client: Vec<u8>,
}

/// A running proxy. When it is dropped, its connections are cut.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Returns the threads of the connections when it ends.
    accepting: Option<JoinHandle<Vec<JoinHandle<()>>>>,
}

impl Proxy {
    /// Listens on a port of loopback, and connects to `to` for each connection.
    ///
    /// # Panics
    ///
    /// When there is no port to listen on.
    #[must_use]
    pub fn start(to: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared::default());
        let accepter = shared.clone();
        let accepting = std::thread::spawn(move || accepter.accept(&listener, to));
        Proxy { shared, address, accepting: Some(accepting) }
    }

    /// Keeps nothing of what it carries, so that there is no bound.
    #[must_use]
    pub fn unrecorded(self) -> Proxy {
        self.shared.unrecorded.store(true, Ordering::SeqCst);
        self
    }

    /// Delays each byte, and each end, of future connections by this time. Up to 4 MiB of each
    /// direction can be on their way at a time.
    #[must_use]
    pub fn delay(self, by: Duration) -> Proxy {
        *lock(&self.shared.delay) = by;
        self
    }

    /// Carries at most this many bytes a second in each direction of future connections, and lets
    /// no more than some 10 KB wait.
    #[must_use]
    pub fn slow(self, bytes_per_second: usize) -> Proxy {
        *lock(&self.shared.rate) = Some(bytes_per_second);
        self
    }

    /// The address to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections have arrived so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.count.load(Ordering::SeqCst)
    }

    /// When the last connection arrived.
    #[must_use]
    pub fn last_connection(&self) -> Option<Instant> {
        *lock(&self.shared.last)
    }

    /// How many flips and replays were carried out so far.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.shared.faults_done.load(Ordering::SeqCst)
    }

    /// What was sent so far.
    ///
    /// # Panics
    ///
    /// When more was sent than is recorded; dropping the proxy does so as well.
    #[must_use]
    pub fn recorded(&self) -> Recorded {
        self.assert_all_is_recorded();
        lock(&self.shared.recorded).clone()
    }

    /// Flips one bit of the byte at this offset of the next connection.
    pub fn flip(&self, direction: Direction, at: u64) {
        direction.of(&mut lock(&self.shared.faults)).flip(at);
    }

    /// Replays these bytes of the next connection, right behind them. The range must not be empty.
    pub fn replay(&self, direction: Direction, range: Range<u64>) {
        assert!(!range.is_empty(), "nothing to send a second time: {range:?}");
        direction.of(&mut lock(&self.shared.faults)).replay(range);
    }

    /// From now on takes all bytes of this direction, and its end, and delivers none of them, in
    /// all connections. What was taken before is still delivered.
    pub fn swallow(&self, direction: Direction) {
        *direction.of(&mut lock(&self.shared.swallows)) = true;
    }

    /// Closes both sides of all current connections now.
    pub fn cut(&self) {
        self.shared.cut();
    }

    fn assert_all_is_recorded(&self) {
        let lost = self.shared.record_full.load(Ordering::SeqCst);
        assert!(!lost, "more than {RECORD_MAX} bytes went through the proxy in one direction");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // It waits for a connection. If none can be made, it has one to continue with.
        drop(TcpStream::connect(self.address));
        let accepting = self.accepting.take().map(JoinHandle::join);
        // No new connection arrives any more, so this cuts all of them.
        self.shared.cut();
        for thread in accepting.and_then(Result::ok).unwrap_or_default() {
            let _ = thread.join();
        }
        if !std::thread::panicking() {
            self.assert_all_is_recorded();
        }
    }
}

impl Direction {
    /// The one of two that is for this direction.
    fn of<T>(self, pair: &mut (T, T)) -> &mut T {
        match self {
            Direction::ToServer => &mut pair.0,
            Direction::ToClient => &mut pair.1,
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    count: AtomicUsize,
    last: Mutex<Option<Instant>>,
    delay: Mutex<Duration>,
    /// Bytes in a second, if that is bounded.
    rate: Mutex<Option<usize>>,
    /// Those of the next connection.
    faults: Mutex<(Faults, Faults)>,
    faults_done: AtomicUsize,
    swallows: Mutex<(bool, bool)>,
    recorded: Mutex<Recorded>,
    record_full: AtomicBool,
    unrecorded: AtomicBool,
    connections: Mutex<Vec<Weak<Connection>>>,
}

impl Shared {
    fn accept(self: Arc<Shared>, listener: &TcpListener, to: SocketAddr) -> Vec<JoinHandle<()>> {
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        loop {
            let (client, _) = listener.accept().expect("a listener of loopback goes on");
            if self.stopped.load(Ordering::SeqCst) {
                return threads;
            }
            threads.retain(|thread| !thread.is_finished());
            self.count.fetch_add(1, Ordering::SeqCst);
            *lock(&self.last) = Some(Instant::now());
            // A cut waits, so that it does not miss a connection that the server already has.
            let mut connections = lock(&self.connections);
            connections.retain(|connection| connection.strong_count() > 0);
            // If the server is missing, the client's connection is closed.
            if let Ok(server) = TcpStream::connect_timeout(&to, CONNECT_MAX) {
                let connection = Connection::new(client, server);
                if lock(&self.rate).is_some() {
                    connection.keep_little();
                }
                connections.push(Arc::downgrade(&connection));
                threads.extend(self.carry_both(&connection));
            }
        }
    }

    /// Forwards the bytes of a connection, on two threads for each direction.
    fn carry_both(self: &Arc<Shared>, connection: &Arc<Connection>) -> [JoinHandle<()>; 4] {
        let (up, down) = std::mem::take(&mut *lock(&self.faults));
        let [take_up, give_up] = self.carry(connection, Direction::ToServer, up);
        let [take_down, give_down] = self.carry(connection, Direction::ToClient, down);
        [take_up, give_up, take_down, give_down]
    }

    fn carry(
        self: &Arc<Shared>,
        connection: &Arc<Connection>,
        direction: Direction,
        faults: Faults,
    ) -> [JoinHandle<()>; 2] {
        let (shared, from, to) = (self.clone(), connection.clone(), connection.clone());
        [
            std::thread::spawn(move || shared.take(&from, direction, faults)),
            std::thread::spawn(move || to.give(direction)),
        ]
    }

    /// Reads what the sender sends, until the sender or the connection ends.
    fn take(&self, connection: &Connection, direction: Direction, mut faults: Faults) {
        let (mut source, lane, _) = connection.parts(direction);
        let delay = *lock(&self.delay);
        let mut pace = lock(&self.rate).map(Pace::new);
        let mut buffer = vec![0; pace.as_ref().map_or(64 * 1024, Pace::at_once)];
        loop {
            // A broken connection ends like a closed one.
            let count = source.read(&mut buffer).unwrap_or(0);
            let due = Instant::now() + delay;
            self.record(direction, &buffer[..count]);
            let (bytes, done) = faults.pass(&buffer[..count]);
            let swallowed = *direction.of(&mut lock(&self.swallows));
            if !swallowed && !lane.push(due, bytes) {
                return;
            }
            self.faults_done.fetch_add(done, Ordering::SeqCst);
            if count == 0 {
                return;
            }
            if let Some(pace) = &mut pace {
                pace.wait_after(count);
            }
        }
    }

    fn record(&self, direction: Direction, bytes: &[u8]) {
        if self.unrecorded.load(Ordering::SeqCst) {
            return;
        }
        let mut recorded = lock(&self.recorded);
        let record = match direction {
            Direction::ToServer => &mut recorded.to_server,
            Direction::ToClient => &mut recorded.to_client,
        };
        if record.len() + bytes.len() <= RECORD_MAX {
            record.extend_from_slice(bytes);
        } else {
            drop(recorded);
            self.record_full.store(true, Ordering::SeqCst);
            self.cut();
        }
    }

    fn cut(&self) {
        lock(&self.connections).iter().filter_map(Weak::upgrade).for_each(|it| it.cut());
    }
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    to_server: Lane,
    to_client: Lane,
}

impl Connection {
    fn new(client: TcpStream, server: TcpStream) -> Arc<Connection> {
        for socket in [&client, &server] {
            // It may be closed already.
            let _ = socket.set_nodelay(true);
        }
        let (to_server, to_client) = (Lane::default(), Lane::default());
        Arc::new(Connection { client, server, to_server, to_client })
    }

    /// Lets the kernel keep few bytes, so that each sender notices how slow the proxy is.
    fn keep_little(&self) {
        for socket in [&self.client, &self.server] {
            let socket = SockRef::from(socket);
            socket.set_recv_buffer_size(SLOW_BUFFER).expect("a socket has a buffer");
            socket.set_send_buffer_size(SLOW_BUFFER).expect("a socket has a buffer");
        }
    }

    /// The source, the queue and the destination of one direction.
    fn parts(&self, direction: Direction) -> (&TcpStream, &Lane, &TcpStream) {
        match direction {
            Direction::ToServer => (&self.client, &self.to_server, &self.server),
            Direction::ToClient => (&self.server, &self.to_client, &self.client),
        }
    }

    /// Delivers due bytes to the receiver, until the sender or the connection ends.
    fn give(&self, direction: Direction) {
        let (source, lane, mut sink) = self.parts(direction);
        while let Some(bytes) = lane.next() {
            if sink.write_all(&bytes).is_err() {
                // The receiver is gone. The opposite direction may still be wanted.
                lane.cut();
                let _ = source.shutdown(Shutdown::Read);
                return;
            }
        }
        let _ = sink.shutdown(Shutdown::Write);
    }

    fn cut(&self) {
        self.to_server.cut();
        self.to_client.cut();
        // A closed connection needs no closing.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

/// How fast one direction of a slow connection is carried.
#[derive(Debug)]
struct Pace {
    bytes_per_second: usize,
    /// When the next bytes may be taken.
    next: Instant,
}

impl Pace {
    fn new(bytes_per_second: usize) -> Pace {
        Pace { bytes_per_second, next: Instant::now() }
    }

    /// How many bytes are taken at once.
    fn at_once(&self) -> usize {
        (self.bytes_per_second / SLOW_TURNS as usize).max(1)
    }

    /// Waits as long as these bytes take.
    fn wait_after(&mut self, bytes: usize) {
        let time = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        self.next = self.next.max(Instant::now()) + time;
        while let Some(left) = self.next.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
