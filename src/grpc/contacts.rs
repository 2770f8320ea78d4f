//! `ContactService`.

use tonic::{Request, Response, Status};

use crate::domain::ids::PartyId;
use crate::gate::GateError;
use crate::store::Urgency;

use super::convert::Fields;
use super::pb::contact_service_server::ContactService;
use super::pb::get_contact_request::Key;
use super::{Api, Asked, ask, convert, pb, status};

#[tonic::async_trait]
impl ContactService for Api {
    async fn upsert_contact(
        &self,
        request: Request<pb::UpsertContactRequest>,
    ) -> Result<Response<pb::UpsertContactResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let sellers = sellers(&message);
        let draft = convert::contact::draft(&mut fields, message, &self.gate.pack());
        fields.done()?;
        let draft = draft?;
        let ask = ask(who, request_id?, "UpsertContact", digest, at);
        let gate = self.gate.clone();
        let party = self
            .carry_through(Urgency::Ordinary, async move {
                let upserted = gate.upsert_contact(&ask, draft).await;
                upserted.map_err(|error| placed(error, &sellers))
            })
            .await?;
        Ok(Response::new(pb::UpsertContactResponse {
            contact: Some(convert::contact::contact(party)),
        }))
    }

    async fn get_contact(
        &self,
        request: Request<pb::GetContactRequest>,
    ) -> Result<Response<pb::GetContactResponse>, Status> {
        let Asked { who, message, .. } = self.open(request)?;
        let mut fields = Fields::default();
        let (mut named, mut number) = (Ok(None), Ok(None));
        match &message.key {
            Some(Key::PartyId(id)) => {
                let id = fields.id::<PartyId>("party_id", id);
                named = fields.required("party_id", id).map(Some);
            }
            Some(Key::Number(text)) => {
                let read = fields.any_number(self.pack().tables(), "number", text);
                number = fields.required("number", read).map(Some);
            }
            None => number = fields.wrong("number", "is missing; set party_id or number"),
        }
        fields.done()?;
        let mut tx = self.read().await?;
        let holders = match (named?, number?) {
            (Some(id), _) => vec![id],
            (None, Some(number)) => {
                let key = self.key(&who, number);
                let found = tx.parties_by_number(&who.tenant, &[key]).await;
                let found = found.map_err(|error| status::from_store(&error))?;
                found.into_iter().map(|(_, party_id)| party_id).collect()
            }
            (None, None) => Vec::new(),
        };
        let party = match holders.as_slice() {
            [] => None,
            [only] => {
                let party = tx.party(&who.tenant, *only).await;
                party.map_err(|error| status::from_store(&error))?
            }
            several => {
                let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
                return Err(status::ambiguous(&ids.join(" ")));
            }
        };
        drop(tx);
        let party = party.ok_or_else(|| status::not_found("party"))?;
        let first = party.numbers.first();
        let subject = first.map(|each| self.key(&who, each.number).0);
        self.note_read(&who, "GetContact", 1, subject).await?;
        Ok(Response::new(pb::GetContactResponse {
            contact: Some(convert::contact::contact(party)),
        }))
    }
}

/// The sellers that the request tells of, in its order.
fn sellers(message: &pb::UpsertContactRequest) -> Vec<String> {
    let dealings = message.contact.iter().flat_map(|contact| &contact.dealings);
    dealings.map(|told| told.seller.clone()).collect()
}

/// The gate holds dealings by seller; a client looks for them by their place in the request.
fn placed(error: GateError, sellers: &[String]) -> GateError {
    match &error {
        GateError::SellerUnknown { seller } => {
            match sellers.iter().position(|told| told == seller) {
                Some(index) => GateError::Invalid {
                    field: format!("contact.dealings[{index}].seller"),
                    problem: "no campaign of the configuration calls for this seller".to_owned(),
                },
                None => error,
            }
        }
        _ => error,
    }
}
