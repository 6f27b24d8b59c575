//! The floor: what the broker alone costs, measured in the same run on the same server.
//!
//! Not here: anything of boomgate; its streams are not touched.

use anyhow::{Context, Result};
use async_nats::jetstream::{self, stream};
use bench::world::{Latency, histogram, micros};
use futures_util::StreamExt;
use std::time::Instant;

/// How often it is measured.
const ROUNDS: u32 = 1_000;
/// The first rounds, which nobody counts.
const WARM: u32 = 100;
/// The size of a gate event with its headers.
const BYTES: usize = 300;

/// One serial durable publish and one request with its reply, again and again.
pub async fn measure(url: &str) -> Result<Latency> {
    let client = async_nats::connect(url).await.context("the floor finds no broker")?;
    let context = jetstream::new(client.clone());
    let config =
        stream::Config { name: "FLOOR".into(), subjects: vec!["floor.stored".into()], storage: stream::StorageType::File, ..Default::default() };
    context.create_stream(config).await.context("the floor's stream")?;
    let mut echo = client.subscribe("floor.echo").await?;
    let answering = tokio::spawn({
        let client = async_nats::connect(url).await?;
        async move {
            while let Some(message) = echo.next().await {
                if let Some(reply) = message.reply {
                    // A reply that cannot be sent shows as a request without answer.
                    let _ = client.publish(reply, message.payload).await;
                    let _ = client.flush().await;
                }
            }
        }
    });
    client.flush().await?;
    let payload = bytes::Bytes::from(vec![b'x'; BYTES]);
    let mut latencies = histogram();
    for round in 0..ROUNDS + WARM {
        let begin = Instant::now();
        context.publish("floor.stored", payload.clone()).await?.await?;
        client.request("floor.echo", payload.clone()).await?;
        if round >= WARM {
            latencies.saturating_record(micros(begin.elapsed()));
        }
    }
    answering.abort();
    context.delete_stream("FLOOR").await?;
    Ok(Latency::of(&latencies))
}
