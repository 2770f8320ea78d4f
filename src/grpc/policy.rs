//! `PolicyService`: the rules, and every change of them. What another pack would say is in `evaluate`.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::domain::ids::{RegionStopId, TenantId};
use crate::domain::time::Micros;
use crate::gate::NewRegionStop;
use crate::policy::{ClosedDay, DisabledRule, Pack};
use crate::store::{ACTIVATION_FIELDS, Page, PageKey, REGION_STOP_FIELDS, Urgency};

use super::convert::{Fields, policy as show};
use super::paging::{self, Filterable, Listing};
use super::pb::policy_service_server::PolicyService;
use super::{Api, Asked, ask, evaluate, pb, status};

const ACTIVATIONS: Filterable = Filterable {
    fields: ACTIVATION_FIELDS,
    renamed: &[("activate_time", "create_time")],
};

const STOPS: Filterable = Filterable {
    fields: REGION_STOP_FIELDS,
    renamed: &[
        ("record_time", "create_time"),
        ("region_stop_id", "stop_id"),
    ],
};

/// Lists that are narrowed by fields of their own.
const UNFILTERED: Filterable = Filterable {
    fields: &[],
    renamed: &[],
};

#[tonic::async_trait]
impl PolicyService for Api {
    async fn list_rules(
        &self,
        request: Request<pb::ListRulesRequest>,
    ) -> Result<Response<pb::ListRulesResponse>, Status> {
        let Asked {
            who, mut message, ..
        } = self.open(request)?;
        let mut fields = Fields::default();
        let size = paging::page_size(&mut fields, message.page_size);
        let place = show::word(&mut fields, "place", message.place.clone());
        let kind = show::word(&mut fields, "kind", message.kind.clone());
        let hash = show::hash(&mut fields, "sha256", message.sha256.clone());
        fields.done()?;
        let pack = self.pack_asked(&who.tenant, hash?.as_deref()).await?;
        let (place, kind) = (place?, kind?);
        let mut fields = Fields::default();
        if let Some(place) = place
            .as_deref()
            .filter(|place| !pack.knows_jurisdiction(place))
        {
            let problem =
                format!("no law and no table knows `{place}`; write an ISO code such as `US-FL`");
            // The answer to the client is made by `done`.
            let _ = fields.wrong::<()>("place", problem);
        }
        if kind
            .as_deref()
            .is_some_and(|kind| !Pack::kinds().contains(&kind))
        {
            let problem = format!(
                "is no kind of rule, expected one of {}",
                Pack::kinds().join(", ")
            );
            let _ = fields.wrong::<()>("kind", problem);
        }
        fields.done()?;
        let token = std::mem::take(&mut message.page_token);
        message.page_size = 0;
        // A token of another pack's list would skip or repeat rules.
        message.sha256.clone_from(&pack.version().sha256);
        let listing = Listing::read("ListRules", &message, &token, "", UNFILTERED)?;
        let wanted = pack.rules().iter().filter(|rule| {
            kind.as_deref().is_none_or(|kind| rule.common.kind == kind)
                && place
                    .as_deref()
                    .is_none_or(|place| pack.may_hold_in(rule, place))
                && (!message.disabled_only || rule.disabled.is_some())
        });
        let rules = wanted.map(show::rule).collect();
        let (rules, next_page_token) = page_of(&listing, rules, size?);
        Ok(Response::new(pb::ListRulesResponse {
            rules,
            next_page_token,
            pack: Some(show::version(pack.version())),
        }))
    }

    async fn get_rule(
        &self,
        request: Request<pb::GetRuleRequest>,
    ) -> Result<Response<pb::GetRuleResponse>, Status> {
        let Asked { who, message, .. } = self.open(request)?;
        let mut fields = Fields::default();
        let id = show::required_word(&mut fields, "rule", message.rule);
        let hash = show::hash(&mut fields, "sha256", message.sha256);
        fields.done()?;
        let pack = self.pack_asked(&who.tenant, hash?.as_deref()).await?;
        let rule = show::written_rule(&pack, &id?).ok_or_else(|| status::not_found("rule"))?;
        Ok(Response::new(pb::GetRuleResponse {
            rule: Some(rule),
            pack: Some(show::version(pack.version())),
        }))
    }

    async fn evaluate(
        &self,
        request: Request<pb::EvaluateRequest>,
    ) -> Result<Response<pb::EvaluateResponse>, Status> {
        evaluate::evaluate(self, request).await
    }

    async fn activate_pack(
        &self,
        request: Request<pb::ActivatePackRequest>,
    ) -> Result<Response<pb::ActivatePackResponse>, Status> {
        use pb::activate_pack_request::Pack as Wanted;
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let reason = show::reason(&mut fields, message.reason);
        let source = match message.pack {
            Some(Wanted::Sha256(hash)) => show::stored(&mut fields, hash),
            Some(Wanted::Upload(upload)) => show::upload(&mut fields, upload),
            Some(Wanted::Configured(is_set)) => show::configured(&mut fields, is_set),
            None => fields.wrong("pack", "is missing; set sha256, upload or configured"),
        };
        fields.done()?;
        let (source, reason, dry) = (source?, reason?, message.validate_only);
        let ask = ask(who, request_id?, "ActivatePack", digest, at);
        let gate = self.gate.clone();
        let done = self
            .carry_through(Urgency::Ordinary, async move {
                gate.activate(&ask, source, reason, dry).await
            })
            .await?;
        Ok(Response::new(pb::ActivatePackResponse {
            activation: Some(show::activation(done.activation, !dry)),
            diff: Some(show::diff(done.diff)),
            unchanged: done.unchanged,
        }))
    }

    async fn list_activations(
        &self,
        request: Request<pb::ListActivationsRequest>,
    ) -> Result<Response<pb::ListActivationsResponse>, Status> {
        let Asked {
            who, mut message, ..
        } = self.open(request)?;
        let mut fields = Fields::default();
        let size = paging::page_size(&mut fields, message.page_size);
        fields.done()?;
        let token = std::mem::take(&mut message.page_token);
        message.page_size = 0;
        let listing = Listing::read(
            "ListActivations",
            &message,
            &token,
            &message.filter,
            ACTIVATIONS,
        )?;
        let mut tx = self.read().await?;
        let page = tx.activations(&who.tenant, &listing.query(size?)).await;
        let page = page.map_err(|error| status::from_store(&error))?;
        let (activations, next_page_token) = listing.answer(
            page,
            |each| (each.at, each.activation_id.0),
            |each| show::activation(each, true),
        );
        Ok(Response::new(pb::ListActivationsResponse {
            activations,
            next_page_token,
        }))
    }

    async fn set_region_stop(
        &self,
        request: Request<pb::SetRegionStopRequest>,
    ) -> Result<Response<pb::SetRegionStopResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let region = show::required_word(&mut fields, "region", message.region);
        let reason = show::reason(&mut fields, message.reason);
        let starts_at = fields.time("start_time", message.start_time);
        let expires_at = fields.time("expire_time", message.expire_time);
        let expires_at = fields.required("expire_time", expires_at);
        fields.done()?;
        let new = NewRegionStop {
            region: region?,
            reason: reason?,
            starts_at: starts_at?,
            expires_at: expires_at?,
        };
        let ask = ask(who, request_id?, "SetRegionStop", digest, at);
        let gate = self.gate.clone();
        let stop = self
            .carry_through(
                Urgency::OptOut,
                async move { gate.stop_region(&ask, new).await },
            )
            .await?;
        Ok(Response::new(pb::SetRegionStopResponse {
            region_stop: Some(show::region_stop(stop)),
        }))
    }

    async fn lift_region_stop(
        &self,
        request: Request<pb::LiftRegionStopRequest>,
    ) -> Result<Response<pb::LiftRegionStopResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let id = fields.id::<RegionStopId>("region_stop_id", &message.region_stop_id);
        let id = fields.required("region_stop_id", id);
        let reason = show::reason(&mut fields, message.reason);
        fields.done()?;
        let (id, reason) = (id?, reason?);
        let ask = ask(who, request_id?, "LiftRegionStop", digest, at);
        let gate = self.gate.clone();
        let stop = self
            .carry_through(Urgency::Ordinary, async move {
                gate.lift_region_stop(&ask, id, reason).await
            })
            .await?;
        Ok(Response::new(pb::LiftRegionStopResponse {
            region_stop: Some(show::region_stop(stop)),
        }))
    }

    async fn list_region_stops(
        &self,
        request: Request<pb::ListRegionStopsRequest>,
    ) -> Result<Response<pb::ListRegionStopsResponse>, Status> {
        let Asked {
            who, mut message, ..
        } = self.open(request)?;
        let mut fields = Fields::default();
        let size = paging::page_size(&mut fields, message.page_size);
        fields.done()?;
        let token = std::mem::take(&mut message.page_token);
        message.page_size = 0;
        let listing = Listing::read("ListRegionStops", &message, &token, &message.filter, STOPS)?;
        let mut tx = self.read().await?;
        let page = tx.region_stops(&who.tenant, &listing.query(size?)).await;
        let page = page.map_err(|error| status::from_store(&error))?;
        let (region_stops, next_page_token) = listing.answer(
            page,
            |each| (each.recorded_at, each.stop_id.0),
            show::region_stop,
        );
        Ok(Response::new(pb::ListRegionStopsResponse {
            region_stops,
            next_page_token,
        }))
    }

    async fn add_closed_day(
        &self,
        request: Request<pb::AddClosedDayRequest>,
    ) -> Result<Response<pb::AddClosedDayResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let jurisdiction = show::required_word(&mut fields, "jurisdiction", message.jurisdiction);
        let date = fields.date("date", message.date);
        let date = fields.required("date", date);
        let reason = show::reason(&mut fields, message.reason);
        fields.done()?;
        let day = ClosedDay {
            jurisdiction: jurisdiction?,
            date: date?,
            reason: reason?,
            by: who.actor(),
        };
        let ask = ask(who, request_id?, "AddClosedDay", digest, at);
        let (gate, shown) = (self.gate.clone(), show::closed_day(&day));
        let done = self
            .carry_through(Urgency::Ordinary, async move {
                gate.add_closed_day(&ask, day).await
            })
            .await?;
        Ok(Response::new(pb::AddClosedDayResponse {
            closed_day: Some(shown),
            activation: Some(show::activation(done.activation, true)),
        }))
    }

    async fn remove_closed_day(
        &self,
        request: Request<pb::RemoveClosedDayRequest>,
    ) -> Result<Response<pb::RemoveClosedDayResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let place = show::required_word(&mut fields, "jurisdiction", message.jurisdiction);
        let date = fields.date("date", message.date);
        let date = fields.required("date", date);
        let reason = show::reason(&mut fields, message.reason);
        fields.done()?;
        let (place, date, reason) = (place?, date?, reason?);
        let ask = ask(who, request_id?, "RemoveClosedDay", digest, at);
        let gate = self.gate.clone();
        let change = async move { gate.remove_closed_day(&ask, &place, date, &reason).await };
        let done = self.carry_through(Urgency::Ordinary, change).await?;
        Ok(Response::new(pb::RemoveClosedDayResponse {
            activation: Some(show::activation(done.activation, true)),
        }))
    }

    async fn list_closed_days(
        &self,
        request: Request<pb::ListClosedDaysRequest>,
    ) -> Result<Response<pb::ListClosedDaysResponse>, Status> {
        let Asked {
            who, mut message, ..
        } = self.open(request)?;
        let mut fields = Fields::default();
        let size = paging::page_size(&mut fields, message.page_size);
        let place = show::word(&mut fields, "jurisdiction", message.jurisdiction.clone());
        fields.done()?;
        let (place, pack) = (place?, self.pack_asked(&who.tenant, None).await?);
        let token = std::mem::take(&mut message.page_token);
        message.page_size = 0;
        let listing = Listing::read("ListClosedDays", &message, &token, "", UNFILTERED)?;
        let days = pack.closed_days().iter();
        let wanted = days.filter(|day| {
            place
                .as_ref()
                .is_none_or(|place| day.jurisdiction == *place)
        });
        let days = wanted.map(show::closed_day).collect();
        let (closed_days, next_page_token) = page_of(&listing, days, size?);
        Ok(Response::new(pb::ListClosedDaysResponse {
            closed_days,
            next_page_token,
        }))
    }

    async fn disable_rule(
        &self,
        request: Request<pb::DisableRuleRequest>,
    ) -> Result<Response<pb::DisableRuleResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let id = show::required_word(&mut fields, "rule", message.rule);
        let reason = show::reason(&mut fields, message.reason);
        fields.done()?;
        let row = DisabledRule {
            id: id?,
            reason: reason?,
            by: who.actor(),
        };
        let (tenant, id) = (who.tenant.clone(), row.id.clone());
        let ask = ask(who, request_id?, "DisableRule", digest, at);
        let gate = self.gate.clone();
        let done = self
            .carry_through(Urgency::Ordinary, async move {
                gate.disable_rule(&ask, row).await
            })
            .await?;
        let pack = self
            .pack_asked(&tenant, Some(&done.activation.sha256))
            .await?;
        Ok(Response::new(pb::DisableRuleResponse {
            rule: show::written_rule(&pack, &id),
            activation: Some(show::activation(done.activation, true)),
        }))
    }

    async fn enable_rule(
        &self,
        request: Request<pb::EnableRuleRequest>,
    ) -> Result<Response<pb::EnableRuleResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let id = show::required_word(&mut fields, "rule", message.rule);
        let reason = show::reason(&mut fields, message.reason);
        fields.done()?;
        let (id, reason, tenant) = (id?, reason?, who.tenant.clone());
        let ask = ask(who, request_id?, "EnableRule", digest, at);
        let (gate, rule) = (self.gate.clone(), id.clone());
        let done = self
            .carry_through(Urgency::Ordinary, async move {
                gate.enable_rule(&ask, &rule, &reason).await
            })
            .await?;
        let pack = self
            .pack_asked(&tenant, Some(&done.activation.sha256))
            .await?;
        Ok(Response::new(pb::EnableRuleResponse {
            rule: show::written_rule(&pack, &id),
            activation: Some(show::activation(done.activation, true)),
        }))
    }
}

impl Api {
    /// The pack of this hash, or the one in force.
    pub(super) async fn pack_asked(
        &self,
        tenant: &TenantId,
        sha256: Option<&str>,
    ) -> Result<Arc<Pack>, Status> {
        let found = match sha256 {
            Some(sha256) => self.gate.pack_of(tenant, sha256).await,
            None => self.gate.policy_now(tenant).await.map(|(_, pack)| pack),
        };
        found.map_err(|error| status::from_gate(&error))
    }
}

/// A page of a list that is at hand as a whole; the place in it stands where other lists have a time.
fn page_of<M: prost::Message>(listing: &Listing, rows: Vec<M>, size: u32) -> (Vec<M>, String) {
    let after = listing.query(size).after;
    let rows = (0_i64..).zip(rows);
    let mut rows: Vec<(i64, M)> = rows
        .filter(|(place, _)| after.is_none_or(|after| *place > after.at.0))
        .collect();
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    let next = rows.last().filter(|_| more).map(|(place, _)| PageKey {
        at: Micros(*place),
        id: Uuid::nil(),
    });
    let page = Page { rows, next };
    listing.answer(
        page,
        |(place, _)| (Micros(*place), Uuid::nil()),
        |(_, row)| row,
    )
}
