//! Buckets as JetStream has them: a stream `KV_<bucket>` with a subject per key.

use super::{JetStream, pause, wire::Failure};
use crate::{Answer, Buckets, Entry, Error, Kind, check, table::EXPECTED_REVISION};
use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use std::time::Duration;

/// Whoever listens may hear of a write before the server has stored it: the key is looked at so often, after these pauses.
const SETTLE: [Duration; 5] =
    [Duration::ZERO, Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(80), Duration::from_millis(320)];

fn subject(bucket: &str, key: &str) -> String {
    format!("$KV.{bucket}.{key}")
}

impl JetStream {
    async fn newest(&self, bucket: &str, key: &str) -> Result<Option<Entry>, Error> {
        let stored = self.wire.last(&format!("KV_{bucket}"), &subject(bucket, key)).await;
        let stored = stored.map_err(|failure: Failure| failure.doing(format!("read {key} of the bucket {bucket}")))?;
        Ok(stored.map(|stored| Entry { revision: stored.sequence, time: stored.time, value: stored.payload }))
    }

    async fn changed(&self, bucket: &str, key: &str, after: u64, wait: Duration) -> Result<Option<Entry>, Error> {
        let doing = || format!("watch {key} of the bucket {bucket}");
        // A write is heard on its own subject. The look comes after the ear, so that no write falls between the two.
        let mut ear = self.wire.client.subscribe(subject(bucket, key)).await.map_err(|error| Error::caused(Kind::Unavailable, doing(), error))?;
        self.wire.client.flush().await.map_err(|error| Error::caused(Kind::Unavailable, doing(), error))?;
        let newer = |entry: &Entry| entry.revision != after;
        if let Some(entry) = self.newest(bucket, key).await?.filter(newer) {
            return Ok(Some(entry));
        }
        if tokio::time::timeout(wait, ear.next()).await.is_ok() {
            for rest in SETTLE {
                pause(rest).await;
                if let Some(entry) = self.newest(bucket, key).await?.filter(newer) {
                    return Ok(Some(entry));
                }
            }
        }
        // What was not heard, because the connection was away, is seen by the last look.
        Ok(self.newest(bucket, key).await?.filter(newer))
    }
}

impl Buckets for JetStream {
    fn entry<'a>(&'a self, bucket: &'a str, key: &'a str) -> Answer<'a, Option<Entry>> {
        async move {
            check::keyable(bucket, key, 0)?;
            self.newest(bucket, key).await
        }
        .boxed()
    }

    fn put<'a>(&'a self, bucket: &'a str, key: &'a str, value: Bytes, expected: Option<u64>) -> Answer<'a, u64> {
        async move {
            check::keyable(bucket, key, value.len())?;
            let mut headers = HeaderMap::new();
            if let Some(expected) = expected {
                headers.insert(EXPECTED_REVISION, expected.to_string());
            }
            let ack = self.wire.store(subject(bucket, key), headers, value).await;
            ack.map(|ack| ack.seq).map_err(|failure| failure.doing(format!("write {key} of the bucket {bucket}")))
        }
        .boxed()
    }

    fn keys<'a>(&'a self, bucket: &'a str) -> Answer<'a, Vec<String>> {
        async move {
            let query = json!({ "subjects_filter": subject(bucket, ">") });
            let info = self.wire.api(&format!("STREAM.INFO.KV_{bucket}"), &query).await;
            let info = info.map_err(|failure| failure.doing(format!("list the keys of the bucket {bucket}")))?;
            let prefix = subject(bucket, "");
            let subjects = info["state"]["subjects"].as_object().into_iter().flat_map(|map| map.keys());
            let mut keys: Vec<String> = subjects.filter_map(|subject| subject.strip_prefix(&prefix)).map(str::to_owned).collect();
            keys.sort();
            Ok(keys)
        }
        .boxed()
    }

    fn forget<'a>(&'a self, bucket: &'a str, key: &'a str, before: u64) -> Answer<'a, ()> {
        async move {
            check::keyable(bucket, key, 0)?;
            let purge = json!({ "filter": subject(bucket, key), "seq": before });
            let gone = self.wire.api(&format!("STREAM.PURGE.KV_{bucket}"), &purge).await;
            gone.map(drop).map_err(|failure| failure.doing(format!("forget {key} of the bucket {bucket}")))
        }
        .boxed()
    }

    fn change<'a>(&'a self, bucket: &'a str, key: &'a str, after: u64, wait: Duration) -> Answer<'a, Option<Entry>> {
        async move {
            check::keyable(bucket, key, 0)?;
            self.changed(bucket, key, after, wait).await
        }
        .boxed()
    }
}
