//! gRPC without messages: bytes in, bytes out. The one client of every server that is compared, and the barest server.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use dialgate::grpc::pb;
use http::uri::PathAndQuery;
use prost::Message as _;
use prost::bytes::{Buf, BufMut, Bytes};
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use tower::Service;

use super::scene;

const PATH: &str = "/dialgate.v1.CallService/CheckCall";

/// Passes bytes through.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
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

/// A connection that asks CheckCall.
#[derive(Clone)]
pub struct Client {
    grpc: tonic::client::Grpc<Channel>,
    bearer: Option<MetadataValue<Ascii>>,
}

impl Client {
    pub async fn connect(port: u16, key: Option<&str>) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
        let mut tries = 0;
        let channel = loop {
            match endpoint.connect().await {
                Ok(channel) => break channel,
                Err(error) => assert!(tries < 400, "nobody serves on port {port}: {error}"),
            }
            tries += 1;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        Self {
            grpc: tonic::client::Grpc::new(channel),
            bearer: key.map(|key| format!("Bearer {key}").parse().unwrap()),
        }
    }

    pub async fn ask(&mut self, message: Bytes) -> Bytes {
        let mut request = Request::new(message);
        if let Some(bearer) = &self.bearer {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", bearer.clone());
        }
        self.grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static(PATH);
        let answer = self.grpc.unary(request, path, Raw).await;
        answer
            .unwrap_or_else(|status| panic!("{status}"))
            .into_inner()
    }
}

impl Client {
    /// Sends all of these and answers with all that comes back.
    pub async fn stream(&mut self, messages: &std::sync::Arc<Vec<Bytes>>) -> Vec<Bytes> {
        let (to, from) = tokio::sync::mpsc::channel(4);
        let messages = std::sync::Arc::clone(messages);
        tokio::spawn(async move {
            for message in messages.iter() {
                if to.send(message.clone()).await.is_err() {
                    return;
                }
            }
        });
        let mut request = Request::new(tokio_stream::wrappers::ReceiverStream::new(from));
        if let Some(bearer) = &self.bearer {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", bearer.clone());
        }
        self.grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static("/dialgate.v1.CallService/CheckCalls");
        let answer = self.grpc.streaming(request, path, Raw).await;
        let mut answers = answer
            .unwrap_or_else(|status| panic!("{status}"))
            .into_inner();
        let mut all = Vec::new();
        while let Some(message) = answers
            .message()
            .await
            .unwrap_or_else(|status| panic!("{status}"))
        {
            all.push(message);
        }
        all
    }
}

/// CheckCall about one of the people, as bytes.
pub fn question(index: u32) -> Bytes {
    let message = pb::CheckCallRequest {
        to: scene::number(index),
        campaign: scene::CAMPAIGN.to_owned(),
        call_kind: pb::CallKind::LiveManual.into(),
        caller_id: String::new(),
        party_id: String::new(),
    };
    message.encode_to_vec().into()
}

/// Whether these bytes are an allow.
pub fn is_allow(answer: &Bytes) -> bool {
    let answer = pb::CheckCallResponse::decode(answer.clone()).unwrap();
    answer.decision.unwrap().verdict() == pb::Verdict::Allow
}

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

/// A server of one method, with nothing around it.
#[derive(Clone)]
pub struct Bare<F> {
    answer: F,
}

impl<F> NamedService for Bare<F> {
    const NAME: &'static str = "dialgate.v1.CallService";
}

impl<F> Service<http::Request<Body>> for Bare<F>
where
    F: Fn(http::Request<Body>) -> Answer,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        (self.answer)(request)
    }
}

/// Answers one method by this function until the process ends.
pub async fn serve<C, A>(port: u16, codec: fn() -> C, answer: A)
where
    C: Codec + Send + 'static,
    C::Encode: Send + Sync + 'static,
    C::Decode: Send + Sync + 'static,
    C::Encoder: Send + 'static,
    C::Decoder: Send + 'static,
    A: Fn(C::Decode) -> C::Encode + Clone + Send + Sync + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let bare = Bare {
        answer: move |request| -> Answer {
            let answer = answer.clone();
            Box::pin(async move {
                let unary = tower::service_fn(move |request: Request<C::Decode>| {
                    let answer = answer(request.into_inner());
                    async move { Ok::<_, Status>(Response::new(answer)) }
                });
                let mut grpc = tonic::server::Grpc::new(codec());
                Ok(grpc.unary(unary, request).await)
            })
        },
    };
    tonic::transport::Server::builder()
        .add_service(bare)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await
        .unwrap();
}

/// Answers every message of a stream with these bytes, until the process ends.
pub async fn serve_stream(port: u16, answer: Bytes) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let bare = Bare {
        answer: move |request| -> Answer {
            let answer = answer.clone();
            Box::pin(async move {
                let echo = tower::service_fn(move |request: Request<tonic::Streaming<Bytes>>| {
                    let answer = answer.clone();
                    let echoed = request
                        .into_inner()
                        .map(move |message| message.map(|_| answer.clone()));
                    async move { Ok::<_, Status>(Response::new(echoed)) }
                });
                let mut grpc = tonic::server::Grpc::new(Raw);
                Ok(grpc.streaming(echo, request).await)
            })
        },
    };
    tonic::transport::Server::builder()
        .add_service(bare)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await
        .unwrap();
}
