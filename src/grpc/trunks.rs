//! `TrunkService`.

use tonic::{Request, Response, Status};

use super::convert::trunk as show;
use super::pb::trunk_service_server::TrunkService;
use super::{Api, pb};

#[tonic::async_trait]
impl TrunkService for Api {
    async fn list_trunks(
        &self,
        request: Request<pb::ListTrunksRequest>,
    ) -> Result<Response<pb::ListTrunksResponse>, Status> {
        // Whoever passed the guard may see all of them: they are the node's, and no tenant's.
        self.open(request)?;
        let trunks = (self.trunks)(self.clock.read());
        Ok(Response::new(pb::ListTrunksResponse {
            trunks: trunks.into_iter().map(show::trunk).collect(),
        }))
    }
}
