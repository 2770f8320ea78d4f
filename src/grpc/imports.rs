//! Lists, in and out: those of opt-outs and of consents that come in, and the opt-outs that go out. A list that comes in is read
//! by a task of its own, which goes on though its client goes away: what has come is recorded and waited for. The kinds of
//! list differ in their messages alone ([`Messages`]).

use std::time::Duration;

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::domain::access::Principal;
use crate::domain::ids::{ImportId, PartyId};
use crate::domain::import::{Import, ImportKind, ImportReject};
use crate::domain::time::Micros;
use crate::gate::{Ask, GateError, ImportNews, ImportPiece, NewImport};
use crate::store::{IMPORT_FIELDS, PageKey};

use super::convert::Fields;
use super::convert::import::{Content, Messages};
use super::paging::{self, Filterable, Listing};
use super::suppressions::FILTERABLE as SUPPRESSIONS;
use super::{Api, Asked, ask, auth, convert, pb, status};

/// Lists read at once on this node, each of which has a thread and some megabytes.
pub(super) const IMPORTS_MAX: usize = 4;

/// When to come again if so many are.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Largest piece of a list.
const PIECE_BYTES_MAX: usize = 1024 * 1024;

/// Pieces that wait to be read.
const PIECES_WAITING: usize = 4;

/// Answers that wait for a slow client; news beyond them are dropped, the last answer is not.
const ANSWERS_WAITING: usize = 64;

/// A client that has not sent anything for so long, though there was room, has gone away: its place is another's.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Suppressions of one message of an export: with the longest notes they are still less than clients take.
const EXPORT_ROWS: u32 = 128;

/// Messages of an export that wait for a slow client.
const EXPORT_WAITING: usize = 2;

const FILTERABLE: Filterable = Filterable {
    fields: IMPORT_FIELDS,
    renamed: &[("begin_time", "create_time")],
};

/// The rejects of an import are not filtered.
const UNFILTERED: Filterable = Filterable {
    fields: &[],
    renamed: &[],
};

pub(super) type ImportAnswers<M> = ReceiverStream<Result<<M as Messages>::Answer, Status>>;
pub(super) type ExportAnswers = ReceiverStream<Result<pb::ExportSuppressionsResponse, Status>>;

/// `ImportSuppressions`, `ImportConsents`.
pub(super) async fn import<M: Messages>(
    api: &Api,
    request: Request<Streaming<M::Sent>>,
) -> Result<Response<ImportAnswers<M>>, Status> {
    let who = auth::principal(&request)?;
    let mut sent = request.into_inner();
    let first = sent.message().await?.unwrap_or_default();
    let (ask, new, is_trial) = announced::<M>(api, who, first)?;
    let place = api.imports.clone().try_acquire_owned().map_err(|_| {
        status::busy(
            BUSY_RETRY_AFTER,
            "as many lists as may be are being read; nothing was done, try again later",
        )
    })?;
    let (pieces, list) = mpsc::channel(PIECES_WAITING);
    let (tell, news) = mpsc::channel(ANSWERS_WAITING);
    let (out, answers) = mpsc::channel(ANSWERS_WAITING);
    let gate = api.gate.clone();
    let over = CancellationToken::new();
    let ends = over.clone().drop_guard();
    let reading = tokio::spawn(async move {
        let _ends = ends;
        let ended = if is_trial {
            gate.try_import(&ask, new, list, tell).await
        } else {
            gate.import(&ask, new, list, tell).await
        };
        drop(place);
        ended.map_err(|error| status::from_gate(&error))
    });
    tokio::spawn(pass_on::<M>(api.clone(), over, sent, pieces, out.clone()));
    tokio::spawn(answer::<M>(news, reading, out));
    Ok(Response::new(ReceiverStream::new(answers)))
}

/// Reads the first message; whether the list is only to be tried.
fn announced<M: Messages>(
    api: &Api,
    who: Principal,
    first: M::Sent,
) -> Result<(Ask, NewImport, bool), Status> {
    let at = api.clock.read().wall;
    let digest = Sha256::new()
        .chain_update(who.mark())
        .chain_update(first.encode_to_vec())
        .finalize()
        .into();
    let mut fields = Fields::default();
    let (request_id, content) = M::content(first);
    let request_id = fields.request_id(&request_id);
    let mut is_trial = false;
    let new = match content {
        Some(Content::Header(header)) => {
            is_trial = M::is_trial(&header);
            let pack = api.pack();
            fields.within("header", |fields| {
                M::header(fields, header, pack.tables(), at)
            })
        }
        _ => fields.wrong("header", "is missing: the first message announces the list"),
    };
    fields.done()?;
    let ask = ask(who, request_id?, M::METHOD, digest, at);
    Ok((ask, new?, is_trial))
}

/// Passes the pieces on until the list has ended, its reader has all it wants, or the server goes down. A list that broke off
/// has no end.
async fn pass_on<M: Messages>(
    api: Api,
    over: CancellationToken,
    mut sent: Streaming<M::Sent>,
    pieces: mpsc::Sender<ImportPiece>,
    out: mpsc::Sender<Result<M::Answer, Status>>,
) {
    loop {
        let read = tokio::select! {
            () = api.closing.cancelled() => Err(status::closing()),
            () = over.cancelled() => return,
            () = tokio::time::sleep(IDLE_MAX) => Err(status::from_gate(&GateError::ImportBrokenOff)),
            message = sent.message() => match message {
                Ok(None) => Ok(ImportPiece::End),
                Ok(Some(message)) => piece::<M>(message).map(ImportPiece::Bytes),
                // Nobody is there any more to be told.
                Err(_) => return,
            },
        };
        let piece = match read {
            Ok(piece) => piece,
            Err(status) => {
                // The list is broken off, whether or not the client hears of it.
                drop(pieces);
                drop(out.send(Err(status)).await);
                return;
            }
        };
        let is_end = matches!(piece, ImportPiece::End);
        let passed = tokio::select! {
            () = over.cancelled() => return,
            passed = pieces.send(piece) => passed,
        };
        if passed.is_err() || is_end {
            return;
        }
    }
}

fn piece<M: Messages>(message: M::Sent) -> Result<Vec<u8>, Status> {
    let mut fields = Fields::default();
    let piece = match M::content(message).1 {
        Some(Content::Piece(bytes)) if bytes.len() <= PIECE_BYTES_MAX => Ok(bytes),
        Some(Content::Piece(_)) => fields.wrong(
            "piece",
            "is larger than 1 MiB: send the list in smaller ones",
        ),
        _ => fields.wrong(
            "piece",
            "is missing: after the first message the list is sent in pieces",
        ),
    };
    fields.done()?;
    Ok(piece?)
}

/// Passes the news on as far as the client takes them, and then the end, which waits for the client.
async fn answer<M: Messages>(
    mut news: mpsc::Receiver<ImportNews>,
    reading: tokio::task::JoinHandle<Result<Import, Status>>,
    out: mpsc::Sender<Result<M::Answer, Status>>,
) {
    while let Some(each) = news.recv().await {
        drop(out.send(Ok(M::news(each))).await);
    }
    let last = match reading.await {
        Ok(Ok(ended)) => Ok(M::ended(ended)),
        Ok(Err(status)) => Err(status),
        Err(_) => Err(status::internal("the task of an import ended early")),
    };
    drop(out.send(last).await);
}

/// One import of this kind, by its id as it was sent.
pub(super) async fn get(
    api: &Api,
    who: &Principal,
    kind: ImportKind,
    import_id: &str,
) -> Result<Import, Status> {
    let mut fields = Fields::default();
    let id = fields.id::<ImportId>("import_id", import_id);
    let id = fields.required("import_id", id);
    fields.done()?;
    found(api, who, kind, id?).await
}

async fn found(
    api: &Api,
    who: &Principal,
    kind: ImportKind,
    id: ImportId,
) -> Result<Import, Status> {
    let found = api.read().await?.import(&who.tenant, kind, id).await;
    found
        .map_err(|error| status::from_store(&error))?
        .ok_or_else(|| status::not_found("import"))
}

/// What a page is asked by, beside the message without its page.
pub(super) struct PageAsked<'a> {
    /// The method, which keeps the tokens of two lists apart.
    pub method: &'static str,
    /// How many rows.
    pub size: i32,
    /// Where it begins.
    pub token: &'a str,
}

/// A page of the imports of this kind.
pub(super) async fn list<T>(
    api: &Api,
    who: &Principal,
    kind: ImportKind,
    (asked, rest, filter): (PageAsked<'_>, &impl prost::Message, &str),
    show: fn(Import) -> T,
) -> Result<(Vec<T>, String), Status>
where
    T: prost::Message,
{
    let mut fields = Fields::default();
    let size = paging::page_size(&mut fields, asked.size);
    fields.done()?;
    let listing = Listing::read(asked.method, rest, asked.token, filter, FILTERABLE)?;
    let page = api
        .read()
        .await?
        .list_imports(&who.tenant, kind, &listing.query(size?))
        .await;
    let page = page.map_err(|error| status::from_store(&error))?;
    let key = |each: &Import| (each.began_at, each.import_id.0);
    Ok(listing.answer(page, key, show))
}

/// A page of the rows that an import of this kind did not record.
pub(super) async fn rejects<T>(
    api: &Api,
    who: &Principal,
    kind: ImportKind,
    (asked, rest, import_id): (PageAsked<'_>, &impl prost::Message, &str),
    show: fn(ImportReject) -> T,
) -> Result<(Vec<T>, String), Status>
where
    T: prost::Message,
{
    let mut fields = Fields::default();
    let size = paging::page_size(&mut fields, asked.size);
    let id = fields.id::<ImportId>("import_id", import_id);
    let id = fields.required("import_id", id);
    fields.done()?;
    let listing = Listing::read(asked.method, rest, asked.token, "", UNFILTERED)?;
    let id = found(api, who, kind, id?).await?.import_id;
    let page = api
        .read()
        .await?
        .import_rejects(&who.tenant, id, &listing.query(size?))
        .await;
    let page = page.map_err(|error| status::from_store(&error))?;
    // Its place in the list is its line.
    let key = |each: &ImportReject| (Micros(each.line), id.0);
    Ok(listing.answer(page, key, show))
}

/// `ExportSuppressions`.
pub(super) async fn export(
    api: &Api,
    request: Request<pb::ExportSuppressionsRequest>,
) -> Result<Response<ExportAnswers>, Status> {
    let Asked { who, message, .. } = api.open(request)?;
    let mut fields = Fields::default();
    let number = fields.any_number(api.pack().tables(), "number", &message.number);
    let party_id = fields.id::<PartyId>("party_id", &message.party_id);
    let account = fields.account("account", &message.account);
    fields.done()?;
    let listing = Listing::read(
        "ExportSuppressions",
        &message,
        "",
        &message.filter,
        SUPPRESSIONS,
    )?
    .of_number(number?.map(|number| api.key(&who, number)))
    .of_party(party_id?.map(|id| id.0))
    .of_account(account?.map(|account| api.account_key(&who, &account)));
    api.note_export(&who, "ExportSuppressions").await?;
    let (out, answers) = mpsc::channel(EXPORT_WAITING);
    tokio::spawn(send_all(api.clone(), who, listing, out));
    Ok(Response::new(ReceiverStream::new(answers)))
}

/// Page by page, as fast as the client takes them.
async fn send_all(
    api: Api,
    who: Principal,
    listing: Listing,
    out: mpsc::Sender<Result<pb::ExportSuppressionsResponse, Status>>,
) {
    let mut after: Option<PageKey> = None;
    loop {
        let page = async {
            let mut query = listing.query(EXPORT_ROWS);
            query.after = after;
            let page = api
                .read()
                .await?
                .list_suppressions(&who.tenant, &query)
                .await;
            page.map_err(|error| status::from_store(&error))
        };
        let page = tokio::select! {
            () = api.closing.cancelled() => Err(status::closing()),
            page = page => page,
        };
        let (message, next) = match page {
            Err(status) => (Err(status), None),
            Ok(page) => {
                let show = |each| convert::suppression::suppression(each, who.role);
                let suppressions = page.rows.into_iter().map(show).collect();
                (
                    Ok(pb::ExportSuppressionsResponse { suppressions }),
                    page.next,
                )
            }
        };
        let is_over = message.is_err() || next.is_none();
        if out.send(message).await.is_err() || is_over {
            return;
        }
        after = next;
    }
}
