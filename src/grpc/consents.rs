//! `ConsentService`.

use tonic::{Request, Response, Status, Streaming};

use crate::domain::consent::ConsentEvent;
use crate::domain::ids::{PartyId, RequestId};
use crate::domain::import::ImportKind;
use crate::gate::NewConsent;
use crate::store::CONSENT_FIELDS;

use super::convert::import::consents::Consents;
use super::convert::{Fields, Noted};
use super::imports::PageAsked;
use super::paging::{self, Filterable, Listing};
use super::pb::consent_service_server::ConsentService;
use super::{Api, Asked, ask, convert, imports, pb, status};

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
        drop(tx);
        let subject = key.map(|key| key.0);
        self.note_read(&who, "ListConsents", page.rows.len(), subject)
            .await?;
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

    type ImportConsentsStream = imports::ImportAnswers<Consents>;

    async fn import_consents(
        &self,
        request: Request<Streaming<pb::ImportConsentsRequest>>,
    ) -> Result<Response<Self::ImportConsentsStream>, Status> {
        imports::import::<Consents>(self, request).await
    }

    async fn get_consent_import(
        &self,
        request: Request<pb::GetConsentImportRequest>,
    ) -> Result<Response<pb::GetConsentImportResponse>, Status> {
        let Asked { who, message, .. } = self.open(request)?;
        let found = imports::get(self, &who, ImportKind::Consents, &message.import_id).await?;
        Ok(Response::new(pb::GetConsentImportResponse {
            consent_import: Some(convert::import::consents::import(found)),
        }))
    }

    async fn list_consent_imports(
        &self,
        request: Request<pb::ListConsentImportsRequest>,
    ) -> Result<Response<pb::ListConsentImportsResponse>, Status> {
        let Asked {
            who, mut message, ..
        } = self.open(request)?;
        let asked = PageAsked {
            method: "ListConsentImports",
            size: std::mem::take(&mut message.page_size),
            token: &std::mem::take(&mut message.page_token),
        };
        let rest = (asked, &message, message.filter.as_str());
        let show = convert::import::consents::import;
        let page = imports::list(self, &who, ImportKind::Consents, rest, show).await?;
        let (consent_imports, next_page_token) = page;
        Ok(Response::new(pb::ListConsentImportsResponse {
            consent_imports,
            next_page_token,
        }))
    }

    async fn list_consent_import_rejects(
        &self,
        request: Request<pb::ListConsentImportRejectsRequest>,
    ) -> Result<Response<pb::ListConsentImportRejectsResponse>, Status> {
        let Asked {
            who, mut message, ..
        } = self.open(request)?;
        let asked = PageAsked {
            method: "ListConsentImportRejects",
            size: std::mem::take(&mut message.page_size),
            token: &std::mem::take(&mut message.page_token),
        };
        let rest = (asked, &message, message.import_id.as_str());
        let show = convert::import::consents::reject;
        let page = imports::rejects(self, &who, ImportKind::Consents, rest, show).await?;
        let (rejects, next_page_token) = page;
        Ok(Response::new(pb::ListConsentImportRejectsResponse {
            rejects,
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
