//! What `grpc.health.v1` says, on the API's listener and on the admin page's. Knows neither.

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::model::MODEL_HEALTH;
use super::stage::Stage;
use crate::api::pb::v1 as pb;

/// The names that say whether the service answers: the whole of it, and each part of the API.
const READINESS: [&str; 5] = [
    "",
    pb::authorization_service_server::SERVICE_NAME,
    pb::tuple_service_server::SERVICE_NAME,
    pb::delegation_service_server::SERVICE_NAME,
    pb::model_service_server::SERVICE_NAME,
];

/// The name that says that the process lives, whatever its stage.
const LIVENESS: &str = "liveness";

/// One health, told in two places.
#[derive(Debug, Clone)]
pub(super) struct Health {
    api: HealthReporter,
    /// Goes on during the drain, after that of the API has ended.
    admin: HealthReporter,
}

impl Health {
    /// A process that lives and does not answer yet.
    pub(super) async fn new() -> Self {
        let health = Self { api: HealthReporter::new(), admin: HealthReporter::new() };
        health.set(LIVENESS, ServingStatus::Serving).await;
        health
    }

    pub(super) async fn reached(&self, stage: Stage) {
        let status = match stage {
            Stage::Serving => ServingStatus::Serving,
            Stage::Recovering | Stage::Draining => ServingStatus::NotServing,
        };
        for name in READINESS {
            self.set(name, status).await;
        }
    }

    pub(super) async fn set(&self, name: &str, status: ServingStatus) {
        for reporter in [&self.api, &self.admin] {
            reporter.set_service_status(name, status).await;
        }
    }

    /// What the API's listener serves.
    pub(super) fn api(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.api.clone()))
    }

    /// What the admin page serves.
    pub(super) fn admin(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.admin.clone()))
    }

    /// Ends the API's: whoever watches it would keep a connection open for ever.
    pub(super) async fn retire(mut self) {
        for name in READINESS.into_iter().chain([LIVENESS, MODEL_HEALTH]) {
            self.api.clear_service_status(name).await;
        }
    }
}
