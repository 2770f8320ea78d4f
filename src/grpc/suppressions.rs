//! `SuppressionService`.

use std::collections::HashMap;

use tonic::{Request, Response, Status, Streaming};

use crate::domain::ids::PartyId;
use crate::domain::import::ImportKind;
use crate::domain::phone::NumberKey;
use crate::store::{SUPPRESSION_FIELDS, Urgency};

use super::convert::Fields;
use super::convert::import::suppressions::Suppressions;
use super::imports::PageAsked;
use super::paging::{self, Filterable, Listing};
use super::pb::suppression_service_server::SuppressionService;
use super::watch_suppressions::{self, Changes};
use super::{Api, Asked, ask, convert, imports, pb, status};

/// Numbers that one `CheckNumbers` may ask about.
const NUMBERS_MAX: usize = 1000;
const SELLER_CHARS_MAX: usize = 128;

pub(super) const FILTERABLE: Filterable = Filterable {
    fields: SUPPRESSION_FIELDS,
    renamed: &[("record_time", "create_time")],
};

#[tonic::async_trait]
impl SuppressionService for Api {
    async fn create_suppression(
        &self,
        request: Request<pb::CreateSuppressionRequest>,
    ) -> Result<Response<pb::CreateSuppressionResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let validate_only = message.validate_only;
        let new = convert::suppression::new(&mut fields, message, self.pack().tables(), at);
        fields.done()?;
        let new = new?;
        let role = who.role;
        let ask = ask(who, request_id?, "CreateSuppression", digest, at);
        let gate = self.gate.clone();
        if validate_only {
            let tried = gate.try_suppress(&ask, new).await;
            let (tried, people_covered) = tried.map_err(|error| status::from_gate(&error))?;
            return Ok(Response::new(pb::CreateSuppressionResponse {
                suppression: Some(convert::suppression::tried(tried, role)),
                people_covered,
            }));
        }
        let made = self
            .carry_through(
                Urgency::OptOut,
                async move { gate.suppress(&ask, new).await },
            )
            .await?;
        Ok(Response::new(pb::CreateSuppressionResponse {
            suppression: Some(convert::suppression::suppression(made, role)),
            people_covered: 0,
        }))
    }

    async fn lift_suppression(
        &self,
        request: Request<pb::LiftSuppressionRequest>,
    ) -> Result<Response<pb::LiftSuppressionResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let id = fields.id("suppression_id", &message.suppression_id);
        let id = fields.required("suppression_id", id);
        let step = convert::suppression::lift_step(&mut fields, &message, who.role, at);
        fields.done()?;
        let (role, id, step) = (who.role, id?, step?);
        let ask = ask(who, request_id?, "LiftSuppression", digest, at);
        let gate = self.gate.clone();
        let found = self
            .carry_through(
                Urgency::Ordinary,
                async move { gate.lift(&ask, id, step).await },
            )
            .await?;
        Ok(Response::new(pb::LiftSuppressionResponse {
            suppression: Some(convert::suppression::suppression(found, role)),
        }))
    }

    async fn get_suppression(
        &self,
        request: Request<pb::GetSuppressionRequest>,
    ) -> Result<Response<pb::GetSuppressionResponse>, Status> {
        let Asked { who, message, .. } = self.open(request)?;
        let mut fields = Fields::default();
        let id = fields.id("suppression_id", &message.suppression_id);
        let id = fields.required("suppression_id", id);
        fields.done()?;
        let mut tx = self.read().await?;
        let found = tx.suppression(&who.tenant, id?).await;
        let found = found
            .map_err(|error| status::from_store(&error))?
            .ok_or_else(|| status::not_found("suppression"))?;
        Ok(Response::new(pb::GetSuppressionResponse {
            suppression: Some(convert::suppression::suppression(found, who.role)),
        }))
    }

    async fn list_suppressions(
        &self,
        request: Request<pb::ListSuppressionsRequest>,
    ) -> Result<Response<pb::ListSuppressionsResponse>, Status> {
        let Asked {
            who, mut message, ..
        } = self.open(request)?;
        let mut fields = Fields::default();
        let size = paging::page_size(&mut fields, message.page_size);
        let number = fields.any_number(self.pack().tables(), "number", &message.number);
        let party_id = fields.id::<PartyId>("party_id", &message.party_id);
        let account = fields.account("account", &message.account);
        fields.done()?;
        let token = std::mem::take(&mut message.page_token);
        message.page_size = 0;
        let listing = Listing::read(
            "ListSuppressions",
            &message,
            &token,
            &message.filter,
            FILTERABLE,
        )?
        .of_number(number?.map(|number| self.key(&who, number)))
        .of_party(party_id?.map(|id| id.0))
        .of_account(account?.map(|account| self.account_key(&who, &account)));
        let mut tx = self.read().await?;
        let page = tx
            .list_suppressions(&who.tenant, &listing.query(size?))
            .await
            .map_err(|error| status::from_store(&error))?;
        let (suppressions, next_page_token) = listing.answer(
            page,
            |each| (each.recorded_at, each.suppression_id.0),
            |each| convert::suppression::suppression(each, who.role),
        );
        Ok(Response::new(pb::ListSuppressionsResponse {
            suppressions,
            next_page_token,
        }))
    }

    type WatchSuppressionsStream = Changes;

    async fn watch_suppressions(
        &self,
        request: Request<pb::WatchSuppressionsRequest>,
    ) -> Result<Response<Changes>, Status> {
        let Asked { who, message, .. } = self.open(request)?;
        let changes = watch_suppressions::follow(self.clone(), who, &message).await?;
        Ok(Response::new(changes))
    }

    async fn check_numbers(
        &self,
        request: Request<pb::CheckNumbersRequest>,
    ) -> Result<Response<pb::CheckNumbersResponse>, Status> {
        let Asked {
            who, message, at, ..
        } = self.open(request)?;
        let mut fields = Fields::default();
        let seller = fields.text("seller", message.seller, SELLER_CHARS_MAX);
        if !(1..=NUMBERS_MAX).contains(&message.numbers.len()) {
            let problem = format!("are not between 1 and {NUMBERS_MAX}; ask in parts");
            // The answer to the client is made by `done`.
            let _ = fields.wrong::<()>("numbers", problem);
        }
        fields.done()?;
        let mut fields = Fields::default();
        let mut asked: Vec<(String, NumberKey)> = Vec::with_capacity(message.numbers.len());
        for (index, text) in message.numbers.into_iter().enumerate() {
            let field = format!("numbers[{index}]");
            let number = fields.any_number(self.pack().tables(), &field, &text);
            if let Ok(number) = fields.required(&field, number) {
                asked.push((text, self.key(&who, number)));
            }
        }
        fields.done()?;
        let mut keys: Vec<NumberKey> = asked.iter().map(|(_, key)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut tx = self.read().await?;
        let found = tx
            .covering(&who.tenant, &keys, seller?.as_deref(), at)
            .await
            .map_err(|error| status::from_store(&error))?;
        let mut by_key: HashMap<NumberKey, Vec<pb::Suppression>> = HashMap::new();
        for (key, suppression) in found {
            let shown = convert::suppression::suppression(suppression, who.role);
            by_key.entry(key).or_default().push(shown);
        }
        let check = |(number, key): (String, NumberKey)| pb::NumberCheck {
            number,
            number_key: key.hex(),
            suppressions: by_key.get(&key).cloned().unwrap_or_default(),
        };
        Ok(Response::new(pb::CheckNumbersResponse {
            checks: asked.into_iter().map(check).collect(),
        }))
    }

    type ImportSuppressionsStream = imports::ImportAnswers<Suppressions>;

    async fn import_suppressions(
        &self,
        request: Request<Streaming<pb::ImportSuppressionsRequest>>,
    ) -> Result<Response<Self::ImportSuppressionsStream>, Status> {
        imports::import::<Suppressions>(self, request).await
    }

    async fn get_suppression_import(
        &self,
        request: Request<pb::GetSuppressionImportRequest>,
    ) -> Result<Response<pb::GetSuppressionImportResponse>, Status> {
        let Asked { who, message, .. } = self.open(request)?;
        let found = imports::get(self, &who, ImportKind::Suppressions, &message.import_id).await?;
        Ok(Response::new(pb::GetSuppressionImportResponse {
            suppression_import: Some(convert::import::suppressions::import(found)),
        }))
    }

    async fn list_suppression_imports(
        &self,
        request: Request<pb::ListSuppressionImportsRequest>,
    ) -> Result<Response<pb::ListSuppressionImportsResponse>, Status> {
        let Asked {
            who, mut message, ..
        } = self.open(request)?;
        let asked = PageAsked {
            method: "ListSuppressionImports",
            size: std::mem::take(&mut message.page_size),
            token: &std::mem::take(&mut message.page_token),
        };
        let rest = (asked, &message, message.filter.as_str());
        let show = convert::import::suppressions::import;
        let page = imports::list(self, &who, ImportKind::Suppressions, rest, show).await?;
        let (suppression_imports, next_page_token) = page;
        Ok(Response::new(pb::ListSuppressionImportsResponse {
            suppression_imports,
            next_page_token,
        }))
    }

    async fn list_suppression_import_rejects(
        &self,
        request: Request<pb::ListSuppressionImportRejectsRequest>,
    ) -> Result<Response<pb::ListSuppressionImportRejectsResponse>, Status> {
        let Asked {
            who, mut message, ..
        } = self.open(request)?;
        let asked = PageAsked {
            method: "ListSuppressionImportRejects",
            size: std::mem::take(&mut message.page_size),
            token: &std::mem::take(&mut message.page_token),
        };
        let rest = (asked, &message, message.import_id.as_str());
        let show = convert::import::suppressions::reject;
        let page = imports::rejects(self, &who, ImportKind::Suppressions, rest, show).await?;
        let (rejects, next_page_token) = page;
        Ok(Response::new(pb::ListSuppressionImportRejectsResponse {
            rejects,
            next_page_token,
        }))
    }

    type ExportSuppressionsStream = imports::ExportAnswers;

    async fn export_suppressions(
        &self,
        request: Request<pb::ExportSuppressionsRequest>,
    ) -> Result<Response<Self::ExportSuppressionsStream>, Status> {
        imports::export(self, request).await
    }
}
