//! What is counted, per processor, for operators and the bench harness.

use metrics::{Counter, Gauge, counter, gauge};
use streams::Kind;

/// The counters of one processor.
#[derive(Clone)]
pub struct Metrics {
    processor: &'static str,
    appends: Counter,
    events: Counter,
    stale: Counter,
    unavailable: Counter,
    full: Counter,
    inputs: Counter,
    redelivered: Counter,
    dead: Counter,
    caught_up: Counter,
    missed: Counter,
    unsaved: Gauge,
    entities: Gauge,
    save_failures: Counter,
    windows_closed: Counter,
    windows_stopped: Counter,
}

impl Metrics {
    /// The counters of a processor.
    pub fn new(processor: &'static str) -> Self {
        Self {
            processor,
            appends: counter!("boomgate_appends_total", "processor" => processor),
            events: counter!("boomgate_events_total", "processor" => processor),
            stale: counter!("boomgate_appends_stale_total", "processor" => processor),
            unavailable: counter!("boomgate_appends_unavailable_total", "processor" => processor),
            full: counter!("boomgate_appends_full_total", "processor" => processor),
            inputs: counter!("boomgate_inputs_total", "processor" => processor),
            redelivered: counter!("boomgate_inputs_redelivered_total", "processor" => processor),
            dead: counter!("boomgate_dead_letters_total", "processor" => processor),
            caught_up: counter!("boomgate_catch_ups_total", "processor" => processor),
            missed: counter!("boomgate_inputs_missed_total", "processor" => processor),
            unsaved: gauge!("boomgate_unsaved_rows", "processor" => processor),
            entities: gauge!("boomgate_entities", "processor" => processor),
            save_failures: counter!("boomgate_save_failures_total", "processor" => processor),
            windows_closed: counter!("boomgate_windows_closed_total", "processor" => processor),
            windows_stopped: counter!("boomgate_windows_stopped_total", "processor" => processor),
        }
    }

    /// An append of `events` events: stored, or refused with a kind.
    pub fn append(&self, events: usize, refused: Option<Kind>) {
        match refused {
            None => {
                self.appends.increment(1);
                self.events.increment(events as u64);
            }
            Some(Kind::Stale) => self.stale.increment(1),
            Some(Kind::Full) => self.full.increment(1),
            Some(Kind::Unavailable | Kind::TooLarge | Kind::NotProvisioned | Kind::Malformed) => self.unavailable.increment(1),
        }
    }

    /// An input was acked.
    pub fn answered(&self, delivery: &streams::Delivery) {
        self.inputs.increment(1);
        if delivery.deliveries > 1 {
            self.redelivered.increment(1);
        }
    }

    /// A dead letter was stored.
    pub fn dead_letter(&self) {
        self.dead.increment(1);
    }

    /// A partition was taken over or caught up with.
    pub fn caught_up(&self) {
        self.caught_up.increment(1);
    }

    /// An input was read because it had been handed to another, who has not answered it.
    pub fn missed(&self) {
        self.missed.increment(1);
    }

    /// Saving failed; rows wait.
    pub fn save_failed(&self) {
        self.save_failures.increment(1);
    }

    /// A settlement window has closed.
    pub fn window_closed(&self) {
        self.windows_closed.increment(1);
    }

    /// A settlement window does not close, because its rows are not what was posted; counted once a day until it is mended.
    pub fn window_stopped(&self) {
        self.windows_stopped.increment(1);
    }

    /// How many settlement windows of a partition group do not close at this moment; 0 where another replica has taken the group over.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and windows are far fewer than 2^52")]
    pub fn stopped(&self, group: u8, windows: usize) {
        gauge!("boomgate_windows_stopped", "processor" => self.processor, "group" => group.to_string()).set(windows as f64);
    }

    /// How many rows wait to be saved, and how many entities are in memory.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and counts of rows are far below 2^52")]
    pub fn holds(&self, unsaved: usize, entities: usize) {
        self.unsaved.set(unsaved as f64);
        self.entities.set(entities as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_tells_of_its_own_stopped_windows() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let counts = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let metrics = Metrics::new("settlement");
            metrics.stopped(0, 2);
            metrics.stopped(1, 0);
            metrics.stopped(2, 1);
            metrics.stopped(2, 0);
        });
        let text = counts.render();
        let told: Vec<&str> = text.lines().filter(|line| line.starts_with("boomgate_windows_stopped{")).collect();
        let expected = |group: u8, windows: u8| format!(r#"boomgate_windows_stopped{{processor="settlement",group="{group}"}} {windows}"#);
        assert_eq!(told.len(), 3, "{text}");
        for (group, windows) in [(0, 2), (1, 0), (2, 0)] {
            assert!(told.contains(&expected(group, windows).as_str()), "{text}");
        }
    }
}
