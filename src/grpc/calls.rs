//! `CallService`.

use tonic::{Request, Response, Status, Streaming};

use crate::domain::instruction::InstructionResult;
use crate::store::{CALL_FIELDS, Urgency};

use super::convert::Fields;
use super::paging::{self, Filterable, Listing};
use super::pb::call_service_server::CallService;
use super::watch::{self, Events};
use super::{Api, Asked, ask, convert, deadline, pb, scrub, status};

const FILTERABLE: Filterable = Filterable {
    fields: CALL_FIELDS,
    renamed: &[("campaign", "campaign_id")],
};

/// What a far end says that cannot take a session.
const NOT_ACCEPTABLE: u16 = 488;

#[tonic::async_trait]
impl CallService for Api {
    async fn check_call(
        &self,
        request: Request<pb::CheckCallRequest>,
    ) -> Result<Response<pb::CheckCallResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            ..
        } = self.open(request)?;
        let question = convert::call::check_request(message, self.pack().tables(), &who, digest)?;
        let decision = self.gate.check(question).await;
        let decision = decision.map_err(|error| status::from_gate(&error))?;
        Ok(Response::new(pb::CheckCallResponse {
            decision: Some(convert::decision::basic(decision, who.role)),
        }))
    }

    type CheckCallsStream = scrub::Rows;

    async fn check_calls(
        &self,
        request: Request<Streaming<pb::CheckCallsRequest>>,
    ) -> Result<Response<scrub::Rows>, Status> {
        Ok(Response::new(scrub::begin(self.clone(), request)?))
    }

    async fn place_call(
        &self,
        request: Request<pb::PlaceCallRequest>,
    ) -> Result<Response<pb::PlaceCallResponse>, Status> {
        let answer_by = deadline::answer_by(&request);
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let knows_agent = |name: &str| self.gate.knows_agent(name);
        let must_be_followed = message.hang_up_unless_followed;
        let question = convert::call::place_request(
            message,
            self.pack().tables(),
            (&self.check_offer, &knows_agent),
            &who,
            digest,
            at,
            answer_by,
        )?;
        let placed = self.gate.place(question).await;
        let placed = placed.map_err(|error| status::from_gate(&error))?;
        if let Some(call) = placed.call.as_ref().filter(|_| must_be_followed) {
            self.gate.await_attendance(&call.tenant, call.call_id);
        }
        Ok(Response::new(pb::PlaceCallResponse {
            decision: Some(convert::decision::basic(placed.decision, who.role)),
            call: placed.call.map(|call| convert::call::call(call, who.role)),
        }))
    }

    async fn get_call(
        &self,
        request: Request<pb::GetCallRequest>,
    ) -> Result<Response<pb::GetCallResponse>, Status> {
        let Asked { who, message, .. } = self.open(request)?;
        let mut fields = Fields::default();
        let call_id = fields.id("call_id", &message.call_id);
        let call_id = fields.required("call_id", call_id);
        fields.done()?;
        let call_id = call_id?;
        let mut tx = self.read().await?;
        let found = async {
            let call = tx.call(&who.tenant, call_id).await?;
            let said = tx.dispositions_of(&who.tenant, call_id).await?;
            Ok((call, said))
        };
        let (call, said) = found.await.map_err(|error| status::from_store(&error))?;
        drop(tx);
        let call = call.ok_or_else(|| status::not_found("call"))?;
        let others = usize::from(call.actor != who.actor());
        self.note_read(&who, "GetCall", others, Some(call.number_key.0))
            .await?;
        let said = said.into_iter();
        Ok(Response::new(pb::GetCallResponse {
            call: Some(convert::call::call(call, who.role)),
            dispositions: said
                .map(|each| convert::call::disposition(each, who.role))
                .collect(),
        }))
    }

    async fn list_calls(
        &self,
        request: Request<pb::ListCallsRequest>,
    ) -> Result<Response<pb::ListCallsResponse>, Status> {
        let Asked {
            who, mut message, ..
        } = self.open(request)?;
        let mut fields = Fields::default();
        let size = paging::page_size(&mut fields, message.page_size);
        let number = fields.any_number(self.pack().tables(), "number", &message.number);
        fields.done()?;
        let token = std::mem::take(&mut message.page_token);
        message.page_size = 0;
        let listing = Listing::read("ListCalls", &message, &token, &message.filter, FILTERABLE)?
            .of_number(number?.map(|number| self.key(&who, number)));
        let mut tx = self.read().await?;
        let page = tx.list_calls(&who.tenant, &listing.query(size?)).await;
        let page = page.map_err(|error| status::from_store(&error))?;
        drop(tx);
        let others = page.rows.iter().filter(|call| call.actor != who.actor());
        self.note_read(&who, "ListCalls", others.count(), None)
            .await?;
        let (calls, next_page_token) = listing.answer(
            page,
            |call| (call.create_time, call.call_id.0),
            |call| convert::call::call(call, who.role),
        );
        Ok(Response::new(pb::ListCallsResponse {
            calls,
            next_page_token,
        }))
    }

    type WatchCallStream = Events;

    async fn watch_call(
        &self,
        request: Request<pb::WatchCallRequest>,
    ) -> Result<Response<Events>, Status> {
        let Asked { who, message, .. } = self.open(request)?;
        let mut fields = Fields::default();
        let call_id = fields.id("call_id", &message.call_id);
        let call_id = fields.required("call_id", call_id);
        fields.done()?;
        let events = watch::follow(self.clone(), who, call_id?, &message).await?;
        Ok(Response::new(events))
    }

    async fn hang_up_call(
        &self,
        request: Request<pb::HangUpCallRequest>,
    ) -> Result<Response<pb::HangUpCallResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let call_id = fields.id("call_id", &message.call_id);
        let call_id = fields.required("call_id", call_id);
        fields.done()?;
        let (role, call_id) = (who.role, call_id?);
        let ask = ask(who, request_id?, "HangUpCall", digest, at);
        let gate = self.gate.clone();
        let call = self
            .carry_through(Urgency::Ordinary, async move {
                gate.hang_up(&ask, call_id).await
            })
            .await?;
        Ok(Response::new(pb::HangUpCallResponse {
            call: Some(convert::call::call(call, role)),
        }))
    }

    async fn offer_media(
        &self,
        request: Request<pb::OfferMediaRequest>,
    ) -> Result<Response<pb::OfferMediaResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let (of, offer) = convert::call::media_offer(message, &self.check_offer)?;
        let ask = ask(who, of.request_id, "OfferMedia", digest, at);
        let followed = self.instruct(ask, of.call_id, offer).await?;
        // An answer of the far end that does not fit ends the call, as it would be refused.
        let code = followed.code.unwrap_or(NOT_ACCEPTABLE);
        Ok(Response::new(pb::OfferMediaResponse {
            sip_code: code.into(),
            sdp_answer: followed.sdp,
        }))
    }

    async fn answer_media_offer(
        &self,
        request: Request<pb::AnswerMediaOfferRequest>,
    ) -> Result<Response<pb::AnswerMediaOfferResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let (of, answer) = convert::call::media_answer(message, &self.check_offer)?;
        let ask = ask(who, of.request_id, "AnswerMediaOffer", digest, at);
        let followed = self.instruct(ask, of.call_id, answer).await?;
        if followed.result == InstructionResult::Misfit {
            return Err(status::wrong(
                "sdp_answer",
                "does not fit the offer: answer each of its streams, in its order, and take the audio",
            ));
        }
        Ok(Response::new(pb::AnswerMediaOfferResponse {}))
    }

    async fn send_dtmf(
        &self,
        request: Request<pb::SendDtmfRequest>,
    ) -> Result<Response<pb::SendDtmfResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let (of, tones) = convert::call::tones(message)?;
        let ask = ask(who, of.request_id, "SendDtmf", digest, at);
        let followed = self.instruct(ask, of.call_id, tones).await?;
        Ok(Response::new(pb::SendDtmfResponse {
            sip_code: followed.code.map(Into::into).unwrap_or_default(),
        }))
    }

    async fn record_disposition(
        &self,
        request: Request<pb::RecordDispositionRequest>,
    ) -> Result<Response<pb::RecordDispositionResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let new = convert::call::disposition_request(
            &mut fields,
            &message.call_id,
            message.code,
            message.note,
            None,
        );
        fields.done()?;
        let (role, new) = (who.role, new?);
        let ask = ask(who, request_id?, "RecordDisposition", digest, at);
        let gate = self.gate.clone();
        let said = self
            .carry_through(new.urgency(), async move {
                gate.record_disposition(&ask, new).await
            })
            .await?;
        Ok(Response::new(pb::RecordDispositionResponse {
            disposition: Some(convert::call::disposition(said, role)),
        }))
    }

    async fn amend_disposition(
        &self,
        request: Request<pb::AmendDispositionRequest>,
    ) -> Result<Response<pb::AmendDispositionResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let new = convert::call::disposition_request(
            &mut fields,
            &message.call_id,
            message.code,
            message.note,
            Some(&message.disposition_id),
        );
        fields.done()?;
        let (role, new) = (who.role, new?);
        let ask = ask(who, request_id?, "AmendDisposition", digest, at);
        let gate = self.gate.clone();
        let said = self
            .carry_through(new.urgency(), async move {
                gate.record_disposition(&ask, new).await
            })
            .await?;
        Ok(Response::new(pb::AmendDispositionResponse {
            disposition: Some(convert::call::disposition(said, role)),
        }))
    }
}
