//! `WebhookService`.

use tonic::{Request, Response, Status};

use crate::store::Urgency;

use super::convert::{Fields, webhook as show};
use super::pb::webhook_service_server::WebhookService;
use super::{Api, Asked, ask, pb, status};

#[tonic::async_trait]
impl WebhookService for Api {
    async fn list_webhooks(
        &self,
        request: Request<pb::ListWebhooksRequest>,
    ) -> Result<Response<pb::ListWebhooksResponse>, Status> {
        let Asked { who, at, .. } = self.open(request)?;
        let webhooks = self.gate.webhooks(&who.tenant).await;
        let webhooks = webhooks.map_err(|error| status::from_gate(&error))?;
        Ok(Response::new(pb::ListWebhooksResponse {
            webhooks: webhooks
                .into_iter()
                .map(|each| show::webhook(each, at))
                .collect(),
        }))
    }

    async fn resume_webhook(
        &self,
        request: Request<pb::ResumeWebhookRequest>,
    ) -> Result<Response<pb::ResumeWebhookResponse>, Status> {
        let Asked {
            who,
            message,
            digest,
            at,
        } = self.open(request)?;
        let mut fields = Fields::default();
        let request_id = fields.request_id(&message.request_id);
        let name = fields.name("name", message.name);
        let name = fields.required("name", name);
        fields.done()?;
        let (name, from_start) = (name?, message.from_start);
        let ask = ask(who, request_id?, "ResumeWebhook", digest, at);
        let gate = self.gate.clone();
        let resumed = self.carry_through(Urgency::Ordinary, async move {
            gate.resume_webhook(&ask, &name, from_start).await
        });
        Ok(Response::new(pb::ResumeWebhookResponse {
            webhook: Some(show::webhook(resumed.await?, at)),
        }))
    }
}
