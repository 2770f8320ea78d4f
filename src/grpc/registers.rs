//! `RegisterService`.

use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use crate::domain::ids::SnapshotId;
use crate::store::{REGISTER_SNAPSHOT_FIELDS, Urgency};

use super::convert::{Fields, policy, register as show};
use super::paging::{self, Filterable, Listing};
use super::pb::register_service_server::RegisterService;
use super::{Api, Asked, ask, pb, status};

const SNAPSHOTS: Filterable = Filterable {
    fields: REGISTER_SNAPSHOT_FIELDS,
    renamed: &[("record_time", "create_time")],
};

/// Pieces of a list that wait for the one who reads them.
const PIECES_WAITING: usize = 4;
/// Longest piece.
const PIECE_BYTES_MAX: usize = 1 << 20;

#[tonic::async_trait]
impl RegisterService for Api {
    async fn import_register(
        &self,
        request: Request<Streaming<pb::ImportRegisterRequest>>,
    ) -> Result<Response<pb::ImportRegisterResponse>, Status> {
        let (metadata, extensions, mut pieces) = request.into_parts();
        let first = pieces.message().await?.unwrap_or_default();
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(Request::from_parts(metadata, extensions, first))?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let new = match message.content {
            Some(pb::import_register_request::Content::Header(header)) => {
                show::new(&mut fields, header)
            }
            _ => fields.wrong("header", "is missing; the first message must have it"),
        };
        fields.done()?;
        let (new, request_id) = (new?, request_id?);
        let ask = ask(who, request_id, "ImportRegister", digest, at);
        let gate = self.gate.clone();
        let (sender, content) = mpsc::channel(PIECES_WAITING);
        let import = self.carry_through(Urgency::Ordinary, async move {
            gate.import_register(&ask, new, content).await
        });
        // The pieces end when the import does not want any more, and the import when they do.
        let (sent, import) = tokio::join!(send(pieces, sender), import);
        // Of a content that broke off nothing was taken; why it did says more than that.
        sent?;
        Ok(Response::new(show::import(import?)))
    }

    async fn list_registers(
        &self,
        request: Request<pb::ListRegistersRequest>,
    ) -> Result<Response<pb::ListRegistersResponse>, Status> {
        let Asked { who, at, .. } = self.open(request)?;
        let registers = self.gate.registers(&who.tenant, at).await;
        let registers = registers.map_err(|error| status::from_gate(&error))?;
        Ok(Response::new(pb::ListRegistersResponse {
            registers: registers.into_iter().map(show::status).collect(),
        }))
    }

    async fn list_register_snapshots(
        &self,
        request: Request<pb::ListRegisterSnapshotsRequest>,
    ) -> Result<Response<pb::ListRegisterSnapshotsResponse>, Status> {
        let Asked {
            who, mut message, ..
        } = self.open(request)?;
        let mut fields = Fields::default();
        let size = paging::page_size(&mut fields, message.page_size);
        fields.done()?;
        let token = std::mem::take(&mut message.page_token);
        message.page_size = 0;
        let name = "ListRegisterSnapshots";
        let listing = Listing::read(name, &message, &token, &message.filter, SNAPSHOTS)?;
        let mut tx = self.read().await?;
        let page = tx
            .register_snapshots(&who.tenant, &listing.query(size?))
            .await
            .map_err(|error| status::from_store(&error))?;
        let (snapshots, next_page_token) = listing.answer(
            page,
            |each| (each.recorded_at, each.snapshot_id.0),
            show::snapshot,
        );
        Ok(Response::new(pb::ListRegisterSnapshotsResponse {
            snapshots,
            next_page_token,
        }))
    }

    async fn diff_register(
        &self,
        request: Request<pb::DiffRegisterRequest>,
    ) -> Result<Response<pb::DiffRegisterResponse>, Status> {
        let Asked { who, message, .. } = self.open(request)?;
        let mut fields = Fields::default();
        let register = policy::required_word(&mut fields, "register", message.register);
        let before = fields.id::<SnapshotId>("before_snapshot_id", &message.before_snapshot_id);
        let after = fields.id::<SnapshotId>("after_snapshot_id", &message.after_snapshot_id);
        fields.done()?;
        let diff = self
            .gate
            .diff_register(&who.tenant, &register?, before?, after?)
            .await
            .map_err(|error| status::from_gate(&error))?;
        Ok(Response::new(show::diff(diff)))
    }
}

/// Hands the content on, piece by piece; what the import does not want any more is left where it is.
async fn send(
    mut pieces: Streaming<pb::ImportRegisterRequest>,
    sender: mpsc::Sender<Vec<u8>>,
) -> Result<(), Status> {
    while let Some(next) = pieces.message().await? {
        let piece = match next.content {
            Some(pb::import_register_request::Content::Piece(piece)) => piece,
            _ => {
                return Err(status::wrong(
                    "header",
                    "came twice; after the first message send pieces",
                ));
            }
        };
        if piece.len() > PIECE_BYTES_MAX {
            let problem = format!("is longer than {PIECE_BYTES_MAX} bytes");
            return Err(status::wrong("piece", &problem));
        }
        if sender.send(piece).await.is_err() {
            break;
        }
    }
    Ok(())
}
