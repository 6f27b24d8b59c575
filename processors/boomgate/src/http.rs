//! Probes and metrics for those who operate this.

use crate::replica::Readiness;
use anyhow::Context;
use axum::{Router, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use tokio::sync::watch;

/// Serves `/live`, `/ready` and `/metrics` until `shutdown`. Gives the address it listens on.
pub async fn serve(
    listen: &str,
    processors: Vec<&'static str>,
    readiness: Arc<Readiness>,
    metrics: PrometheusHandle,
    mut shutdown: watch::Receiver<bool>,
) -> anyhow::Result<std::net::SocketAddr> {
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen} (http.listen)"))?;
    let address = listener.local_addr()?;
    let ready = move || {
        let ready = readiness.is_ready(&processors);
        async move { if ready { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "catching up\n") } }
    };
    let router = Router::new()
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(move || async move { metrics.render() }));
    tokio::spawn(async move {
        let stopped = async move {
            shutdown.wait_for(|stop| *stop).await.ok();
        };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
            tracing::error!(%error, "probes are no longer served");
        }
    });
    Ok(address)
}
