//! `AuditService`.

use tonic::{Request, Response, Status};

use crate::domain::ids::DecisionId;
use crate::store::DECISION_FIELDS;

use super::convert::{Fields, Noted};
use super::paging::{self, Filterable, Listing};
use super::pb::audit_service_server::AuditService;
use super::{Api, Asked, convert, log, pb, replay, status};

pub(super) const FILTERABLE: Filterable = Filterable {
    fields: DECISION_FIELDS,
    renamed: &[("decided_time", "create_time"), ("campaign", "campaign_id")],
};

#[tonic::async_trait]
impl AuditService for Api {
    async fn list_decisions(
        &self,
        request: Request<pb::ListDecisionsRequest>,
    ) -> Result<Response<pb::ListDecisionsResponse>, Status> {
        let Asked {
            who, mut message, ..
        } = self.open(request)?;
        let mut fields = Fields::default();
        let size = paging::page_size(&mut fields, message.page_size);
        let full = is_full(&mut fields, message.view);
        let number = fields.any_number(self.pack().tables(), "number", &message.number);
        fields.done()?;
        let full = full?;
        let token = std::mem::take(&mut message.page_token);
        message.page_size = 0;
        let listing = Listing::read(
            "ListDecisions",
            &message,
            &token,
            &message.filter,
            FILTERABLE,
        )?
        .of_number(number?.map(|number| self.key(&who, number)));
        let mut tx = self.read().await?;
        let page = tx
            .list_decisions(&who.tenant, &listing.query(size?), full)
            .await
            .map_err(|error| status::from_store(&error))?;
        drop(tx);
        let others = page.rows.iter().filter(|each| each.actor != who.actor());
        let shown = if full { others.count() } else { 0 };
        self.note_read(&who, "ListDecisions", shown, None).await?;
        let (decisions, next_page_token) = listing.answer(
            page,
            |decision| (decision.decided_at, decision.decision_id.0),
            |decision| convert::decision::decision(decision, who.role),
        );
        Ok(Response::new(pb::ListDecisionsResponse {
            decisions,
            next_page_token,
        }))
    }

    async fn get_decision(
        &self,
        request: Request<pb::GetDecisionRequest>,
    ) -> Result<Response<pb::GetDecisionResponse>, Status> {
        let Asked { who, message, .. } = self.open(request)?;
        let mut fields = Fields::default();
        let id = fields.id::<DecisionId>("decision_id", &message.decision_id);
        let id = fields.required("decision_id", id);
        let full = is_full(&mut fields, message.view);
        fields.done()?;
        let full = full?;
        let mut tx = self.read().await?;
        let found = tx.decision(&who.tenant, id?, full).await;
        let decision = found
            .map_err(|error| status::from_store(&error))?
            .ok_or_else(|| status::not_found("decision"))?;
        drop(tx);
        let shown = usize::from(full && decision.actor != who.actor());
        self.note_read(&who, "GetDecision", shown, Some(decision.number_key.0))
            .await?;
        Ok(Response::new(pb::GetDecisionResponse {
            decision: Some(convert::decision::decision(decision, who.role)),
        }))
    }

    async fn replay_decisions(
        &self,
        request: Request<pb::ReplayDecisionsRequest>,
    ) -> Result<Response<pb::ReplayDecisionsResponse>, Status> {
        replay::replay(self, request).await
    }

    async fn list_entries(
        &self,
        request: Request<pb::ListEntriesRequest>,
    ) -> Result<Response<pb::ListEntriesResponse>, Status> {
        log::list(self, request).await
    }

    async fn get_entry(
        &self,
        request: Request<pb::GetEntryRequest>,
    ) -> Result<Response<pb::GetEntryResponse>, Status> {
        log::get(self, request).await
    }

    async fn get_checkpoint(
        &self,
        request: Request<pb::GetCheckpointRequest>,
    ) -> Result<Response<pb::GetCheckpointResponse>, Status> {
        log::checkpoint(self, request).await
    }

    async fn get_consistency_proof(
        &self,
        request: Request<pb::GetConsistencyProofRequest>,
    ) -> Result<Response<pb::GetConsistencyProofResponse>, Status> {
        log::consistency(self, request).await
    }

    type ExportEntriesStream = log::ExportLines;

    async fn export_entries(
        &self,
        request: Request<pb::ExportEntriesRequest>,
    ) -> Result<Response<Self::ExportEntriesStream>, Status> {
        log::export(self, request).await
    }
}

fn is_full(fields: &mut Fields, view: i32) -> Result<bool, Noted> {
    match pb::DecisionView::try_from(view) {
        Ok(pb::DecisionView::Full) => Ok(true),
        Ok(pb::DecisionView::Basic | pb::DecisionView::Unspecified) => Ok(false),
        Err(_) => fields.wrong(
            "view",
            format!("has no value `{view}`, expected DECISION_VIEW_BASIC or DECISION_VIEW_FULL"),
        ),
    }
}
