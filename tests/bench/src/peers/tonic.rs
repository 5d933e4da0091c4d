//! A unary call of `tonic` over a unix socket, with plain bytes in place of protocol buffers. It is
//! the cheapest form of the usual way to call a plugin in another process.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::client;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{self, NamedService};
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};
use tower::{Service, service_fn};

use super::runtime;
use crate::bare::Place;
use crate::bare::child::tell;
use crate::contender::Sample;
use crate::shapes::MESSAGE;
use crate::statistics::percentiles;

/// A codec for plain bytes.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Calls, one at a time.
pub(super) fn ping(place: &Place, length: Duration) -> Result<Sample, String> {
    let Place::Unix(path) = place else { return Err("tonic is measured over unix".to_owned()) };
    let path = path.clone();
    let failed = |error: &dyn std::fmt::Display| format!("tonic at {place}: {error}");
    runtime()?.block_on(async {
        let connect = move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        };
        // The name is not resolved, because the connector knows its socket.
        let endpoint = Endpoint::from_static("http://plugin");
        let channel = endpoint.connect_with_connector(service_fn(connect)).await;
        let mut client = client::Grpc::new(channel.map_err(|error| failed(&error))?);
        let (mut times, began) = (Vec::new(), Instant::now());
        let mut now = began;
        while now.duration_since(began) < length {
            client.ready().await.map_err(|error| failed(&error))?;
            let path = PathAndQuery::from_static("/bench.Echo/Call");
            let message = Request::new(Bytes::from_static(&[7; MESSAGE]));
            let answer = client.unary(message, path, Raw).await.map_err(|error| failed(&error))?;
            if answer.get_ref().len() != MESSAGE {
                return Err(failed(&"the answer is not the question"));
            }
            let then = std::mem::replace(&mut now, Instant::now());
            times.push(now.duration_since(then).as_secs_f64());
        }
        let count = times.len() as u64;
        let sample = Sample::of(count, count * MESSAGE as u64, began.elapsed().as_secs_f64());
        Ok(Sample { percentiles: percentiles(times), ..sample })
    })
}

/// The service, which echoes its request.
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "bench.Echo";
}

/// Its only method.
struct Call;

impl Service<Request<Bytes>> for Call {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl Service<http::Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move { Ok(server::Grpc::new(Raw).unary(Call, request).await) })
    }
}

pub(super) fn serve(place: &Place) -> Result<(), String> {
    let Place::Unix(path) = place else { return Err("tonic is measured over unix".to_owned()) };
    runtime()?.block_on(async {
        let listener = UnixListener::bind(path).map_err(|error| format!("{place}: {error}"))?;
        tell(place).map_err(|error| format!("stdout: {error}"))?;
        let served = Server::builder().add_service(Echo);
        let served = served.serve_with_incoming(UnixListenerStream::new(listener)).await;
        served.map_err(|error| format!("tonic at {place}: {error}"))
    })
}
