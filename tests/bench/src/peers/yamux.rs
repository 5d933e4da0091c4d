//! The `yamux` crate between two processes. The first byte of a stream is its purpose, as for the
//! plain sockets.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::channel::mpsc;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::LocalSet;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, Mode, Stream};

use super::{PATIENCE, runtime};
use crate::bare::child::tell;
use crate::bare::{self, COUNT, ECHO, Place, READ};
use crate::contender::Sample;
use crate::shapes::MESSAGE;
use crate::statistics::percentiles;

/// Streams of one connection, at most.
const STREAMS: usize = 2048;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A unix or TCP socket.
trait Socket: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {}
impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Socket for S {}

type Session = Connection<Compat<Box<dyn Socket>>>;

fn session(socket: Box<dyn Socket>, mode: Mode) -> Session {
    let mut config = Config::default();
    config.set_max_num_streams(STREAMS);
    Connection::new(socket.compat(), config, mode)
}

pub(super) fn ping(place: &Place, length: Duration) -> Result<Sample, String> {
    within(place, async |session| {
        let mut stream = open(session, 1).next().await.ok_or("no stream was opened")?;
        stream.write_all(&[ECHO]).await?;
        let (mut buffer, mut times, began) = ([7; MESSAGE], Vec::new(), Instant::now());
        let mut now = began;
        while now.duration_since(began) < length {
            stream.write_all(&buffer).await?;
            stream.flush().await?;
            stream.read_exact(&mut buffer).await?;
            let then = std::mem::replace(&mut now, Instant::now());
            times.push(now.duration_since(then).as_secs_f64());
        }
        let count = times.len() as u64;
        let sample = Sample::of(count, count * MESSAGE as u64, began.elapsed().as_secs_f64());
        Ok(Sample { percentiles: percentiles(times), ..sample })
    })
}

pub(super) fn flood(
    place: &Place,
    size: usize,
    streams: usize,
    length: Duration,
) -> Result<Sample, String> {
    within(place, async |session| {
        let greeted = open(session, streams).map(|stream| tokio::task::spawn_local(greet(stream)));
        let greeted: Vec<Stream> = all(greeted.collect().await).await?;
        let began = Instant::now();
        let write = |stream| tokio::task::spawn_local(write(stream, size, began + length));
        let counts: Vec<u64> = all(greeted.into_iter().map(write).collect()).await?;
        let bytes: u64 = counts.iter().sum();
        let fair = bytes as f64 / streams as f64;
        let share = |count: Option<&u64>| count.map_or(0.0, |count| *count as f64 / fair);
        let shares = (share(counts.iter().min()), share(counts.iter().max()));
        let sample = Sample::of(bytes / size as u64, bytes, began.elapsed().as_secs_f64());
        Ok(Sample { shares: (streams > 1).then_some(shares), ..sample })
    })
}

/// The outcomes of all tasks, or the first error.
async fn all<T>(tasks: Vec<tokio::task::JoinHandle<std::io::Result<T>>>) -> Outcome<Vec<T>> {
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await??);
    }
    Ok(outcomes)
}

/// Sends a stream's purpose, and waits for the answer, because `yamux` allows only 256 streams that
/// are not acknowledged.
async fn greet(mut stream: Stream) -> std::io::Result<Stream> {
    stream.write_all(&[COUNT]).await?;
    stream.flush().await?;
    stream.read_exact(&mut [0]).await?;
    Ok(stream)
}

/// Writes until the time is over. Returns how many bytes arrived.
async fn write(mut stream: Stream, size: usize, until: Instant) -> std::io::Result<u64> {
    let message = vec![7; size];
    while Instant::now() < until {
        for _ in 0..(READ / size).max(1) {
            stream.write_all(&message).await?;
        }
    }
    stream.close().await?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).await?;
    Ok(u64::from_le_bytes(answer))
}

/// Connects, and runs a measurement on a runtime of its own.
fn within(
    place: &Place,
    measure: impl AsyncFnOnce(Session) -> Outcome<Sample>,
) -> Result<Sample, String> {
    let local = LocalSet::new();
    let measured: Outcome<Sample> = local.block_on(&runtime()?, async {
        let socket: Box<dyn Socket> = match place {
            Place::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Place::Tcp(address) => {
                let stream = TcpStream::from_std(bare::connect(*address)?)?;
                Box::new(without_delay(stream)?)
            }
        };
        let measured = measure(session(socket, Mode::Client));
        tokio::time::timeout(PATIENCE, measured).await?
    });
    measured.map_err(|error| format!("yamux at {place}: {error}"))
}

fn without_delay(stream: TcpStream) -> std::io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Opens this many streams, and drives the connection until it ends.
fn open(mut session: Session, mut wanted: usize) -> mpsc::UnboundedReceiver<Stream> {
    let (opened, streams) = mpsc::unbounded();
    let mut opened = Some(opened);
    tokio::task::spawn_local(poll_fn(move |context| {
        while wanted > 0 {
            match (session.poll_new_outbound(context), &opened) {
                (Poll::Ready(Ok(stream)), Some(opened)) => {
                    wanted -= 1;
                    // If the receiver is closed, its task has ended.
                    let _ = opened.unbounded_send(stream);
                }
                (Poll::Pending, _) => break,
                _ => return Poll::Ready(()),
            }
        }
        if wanted == 0 {
            opened = None;
        }
        while let Poll::Ready(inbound) = session.poll_next_inbound(context) {
            if !matches!(inbound, Some(Ok(_))) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }));
    streams
}

/// Answers each connection.
pub(super) fn serve(place: &Place) -> Result<(), String> {
    let local = LocalSet::new();
    let served: std::io::Result<()> = local.block_on(&runtime()?, async {
        match place {
            Place::Unix(path) => {
                let listener = UnixListener::bind(path)?;
                tell(place)?;
                loop {
                    answer(Box::new(listener.accept().await?.0));
                }
            }
            Place::Tcp(address) => {
                let listener = TcpListener::from_std(bare::listen(*address)?)?;
                tell(&Place::Tcp(listener.local_addr()?))?;
                loop {
                    answer(Box::new(without_delay(listener.accept().await?.0)?));
                }
            }
        }
    });
    served.map_err(|error| format!("yamux at {place}: {error}"))
}

/// Serves each stream of a connection in its own task.
fn answer(socket: Box<dyn Socket>) {
    tokio::task::spawn_local(async move {
        let mut session = session(socket, Mode::Server);
        while let Some(Ok(stream)) = poll_fn(|context| session.poll_next_inbound(context)).await {
            tokio::task::spawn_local(serve_stream(stream));
        }
    });
}

/// An error ends the stream, and the other side fails.
async fn serve_stream(mut stream: Stream) -> std::io::Result<()> {
    let mut usage = [0];
    stream.read_exact(&mut usage).await?;
    if usage == [COUNT] {
        stream.write_all(&usage).await?;
        stream.flush().await?;
    }
    // Small, because there are 1,000 of them and the library reads no more at a time.
    let (mut buffer, mut count) = (vec![0; 16 * 1024], 1);
    loop {
        let length = stream.read(&mut buffer).await?;
        count += length as u64;
        if length == 0 {
            break;
        }
        if usage == [ECHO] {
            stream.write_all(&buffer[..length]).await?;
            stream.flush().await?;
        }
    }
    if usage == [COUNT] {
        stream.write_all(&u64::to_le_bytes(count)).await?;
    }
    stream.close().await
}
