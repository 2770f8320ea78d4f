//! `ConsentService`.

use tonic::{Request, Response, Status};

use crate::domain::consent::ConsentEvent;
use crate::domain::ids::{PartyId, RequestId};
use crate::gate::NewConsent;
use crate::store::CONSENT_FIELDS;

use super::convert::{Fields, Noted};
use super::paging::{self, Filterable, Listing};
use super::pb::consent_service_server::ConsentService;
use super::{Api, Asked, ask, convert, pb, status};

const FILTERABLE: Filterable = Filterable {
    fields: CONSENT_FIELDS,
    renamed: &[("record_time", "create_time")],
};

#[tonic::async_trait]
impl ConsentService for Api {
    async fn record_consent(
        &self,
        request: Request<pb::RecordConsentRequest>,
    ) -> Result<Response<pb::RecordConsentResponse>, Status> {
        let asked = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&asked.message.request_id);
        let message = asked.message.clone();
        let new = convert::consent::given(&mut fields, message, self.pack().tables(), asked.at);
        let role = asked.who.role;
        let event = self.record(fields, asked, "RecordConsent", request_id, new);
        Ok(Response::new(pb::RecordConsentResponse {
            consent_event: Some(convert::consent::event(event.await?, role)),
        }))
    }

    async fn withdraw_consent(
        &self,
        request: Request<pb::WithdrawConsentRequest>,
    ) -> Result<Response<pb::WithdrawConsentResponse>, Status> {
        let asked = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&asked.message.request_id);
        let message = asked.message.clone();
        let new = convert::consent::withdrawn(&mut fields, message, self.pack().tables(), asked.at);
        let role = asked.who.role;
        let event = self.record(fields, asked, "WithdrawConsent", request_id, new);
        Ok(Response::new(pb::WithdrawConsentResponse {
            consent_event: Some(convert::consent::event(event.await?, role)),
        }))
    }

    async fn list_consents(
        &self,
        request: Request<pb::ListConsentsRequest>,
    ) -> Result<Response<pb::ListConsentsResponse>, Status> {
        let Asked {
            who, mut message, ..
        } = self.open(request)?;
        let mut fields = Fields::default();
        let size = paging::page_size(&mut fields, message.page_size);
        let number = fields.any_number(self.pack().tables(), "number", &message.number);
        let party_id = fields.id::<PartyId>("party_id", &message.party_id);
        fields.done()?;
        let token = std::mem::take(&mut message.page_token);
        message.page_size = 0;
        let listing = Listing::read(
            "ListConsents",
            &message,
            &token,
            &message.filter,
            FILTERABLE,
        )?;
        let key = number?.map(|number| self.key(&who, number));
        let mut tx = self.read().await?;
        let page = tx
            .consents(&who.tenant, party_id?, key.as_ref(), &listing.query(size?))
            .await
            .map_err(|error| status::from_store(&error))?;
        let (consent_events, next_page_token) = listing.answer(
            page,
            |event| (event.recorded_at, event.consent_event_id.0),
            |event| convert::consent::event(event, who.role),
        );
        Ok(Response::new(pb::ListConsentsResponse {
            consent_events,
            next_page_token,
        }))
    }
}

impl Api {
    async fn record<M>(
        &self,
        fields: Fields,
        asked: Asked<M>,
        method: &'static str,
        request_id: Result<RequestId, Noted>,
        new: Result<NewConsent, Noted>,
    ) -> Result<ConsentEvent, Status> {
        fields.done()?;
        let new = new?;
        let ask = ask(asked.who, request_id?, method, asked.digest, asked.at);
        let gate = self.gate.clone();
        self.carry_through(new.urgency(), async move {
            gate.record_consent(&ask, new).await
        })
        .await
    }
}
