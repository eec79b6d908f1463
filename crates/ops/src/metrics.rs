//! The hub's counters as OpenMetrics text.

use adapter_api::{Carries, PeerState, Registration};
use interwork::{Core, SubscriptionCounts};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;
use transport::Tls;

/// All metrics of `core` at this moment.
pub(crate) fn render(
    core: Arc<Core>,
    tls: Arc<Tls>,
    subscriptions: SubscriptionCounts,
    version: &'static str,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("interlingua");
    registry.register_collector(Box::new(HubCollector { core, tls, subscriptions, version }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

struct HubCollector {
    core: Arc<Core>,
    tls: Arc<Tls>,
    subscriptions: SubscriptionCounts,
    version: &'static str,
}

impl fmt::Debug for HubCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubCollector")
    }
}

impl Collector for HubCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.operations(&mut encoder)?;
        self.ledger(&mut encoder)?;
        self.delivery_seconds(&mut encoder)?;
        self.peers(&mut encoder)?;
        self.subscriptions(&mut encoder)?;
        self.certificates(&mut encoder)?;
        self.canaries(&mut encoder)?;
        self.archive(&mut encoder)?;
        self.others(&mut encoder)
    }
}

impl HubCollector {
    fn operations(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Operations that passed an adapter, by outcome and reason";
        let mut family = encoder.encode_descriptor("operations", help, None, MetricType::Counter)?;
        for (key, count) in self.core.counters().operations() {
            let labels = [
                ("adapter", key.adapter.as_str()),
                ("direction", key.direction.label()),
                ("kind", key.kind.label()),
                ("outcome", key.outcome),
                ("reason", key.reason),
            ];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        let help = "Fields that could not be carried whole";
        let mut family = encoder.encode_descriptor("translation_loss", help, None, MetricType::Counter)?;
        for ((adapter, field, how), count) in self.core.counters().losses() {
            let how = match how {
                Carries::Carried => continue,
                Carries::Degraded => "degraded",
                Carries::Dropped => "dropped",
            };
            let labels = [("adapter", adapter.as_str()), ("what", field.as_str()), ("how", how)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn ledger(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let totals = self.core.ledger().totals();
        let rows = [
            ("ledger_accepted", "Operations taken on", totals.accepted()),
            ("ledger_delivered", "Operations confirmed by the far side", totals.delivered),
            ("ledger_handed_over", "Operations given to a peer exempt from confirming", totals.handed_over),
            ("ledger_failed", "Operations that failed, their senders told unless they count as untold", totals.failed),
            ("ledger_expired", "Operations not delivered in time, their senders told", totals.expired),
            ("ledger_reversed", "Delivered operations for which an error came later", totals.reversed),
            ("untold", "Failed or expired operations whose senders could not be told", totals.untold),
            ("repeats", "Deliveries that an earlier try may have made already", self.core.counters().repeats_total()),
            (
                "duplicates",
                "Messages that were handed in again and sent no second time",
                self.core.counters().duplicates_total(),
            ),
            ("queue_full", "Operations refused because a queue had no room", self.core.counters().queue_full_total()),
        ];
        for (name, help, value) in rows {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let help = "Whether the store takes what is new";
        let up = ConstGauge::new(i64::from(self.core.store_refusal().is_none()));
        up.encode(encoder.encode_descriptor("store_up", help, None, MetricType::Gauge)?)?;
        let pending = ConstGauge::new(i64::try_from(totals.pending).unwrap_or(i64::MAX));
        pending.encode(encoder.encode_descriptor("ledger_pending", "Operations under way", None, MetricType::Gauge)?)
    }

    fn delivery_seconds(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Time from an operation's arrival to its outcome";
        let mut family = encoder.encode_descriptor("delivery_seconds", help, None, MetricType::Histogram)?;
        for (pair, histogram) in self.core.counters().latencies() {
            let labels = [("from", pair.from.as_str()), ("to", pair.to.as_str())];
            let mut buckets: Vec<(f64, u64)> = histogram.buckets().collect();
            let beyond = histogram.count().saturating_sub(buckets.iter().map(|(_, count)| count).sum());
            // the one bound that is written as +Inf, without which the text is no OpenMetrics
            buckets.push((f64::INFINITY, beyond));
            encode_histogram(family.encode_family(&labels)?, &histogram, &buckets)?;
        }
        Ok(())
    }

    fn subscriptions(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Pairs of watcher and presentity, by the adapter of either and how they stand";
        let mut family = encoder.encode_descriptor("subscriptions", help, None, MetricType::Gauge)?;
        for ((adapter, role, state), count) in &self.subscriptions {
            let labels = [("adapter", adapter.as_str()), ("role", *role), ("state", *state)];
            ConstGauge::new(i64::try_from(*count).unwrap_or(i64::MAX)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn peers(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut family = encoder.encode_descriptor("peer_up", "Whether a peer answers", None, MetricType::Gauge)?;
        for (adapter, peer, state, _) in self.core.peers() {
            let labels = [("adapter", adapter.as_str()), ("peer", peer.as_str())];
            ConstGauge::new(i64::from(state == PeerState::Up)).encode(family.encode_family(&labels)?)?;
        }
        let help = "Whether the server of a trunk holds our registration";
        let mut family = encoder.encode_descriptor("peer_registered", help, None, MetricType::Gauge)?;
        for (adapter, peer, last, _) in self.core.registrations() {
            let labels = [("adapter", adapter.as_str()), ("peer", peer.as_str())];
            let held = i64::from(matches!(last, Registration::Held { .. }));
            ConstGauge::new(held).encode(family.encode_family(&labels)?)?;
        }
        let help = "How often peers have proven themselves, by method and protection";
        let mut family = encoder.encode_descriptor("peer_proofs", help, None, MetricType::Counter)?;
        for ((adapter, proof, protection), count) in self.core.proof_counts() {
            let labels =
                [("adapter", adapter.as_str()), ("proof", proof.as_str()), ("protection", protection.as_str())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn certificates(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "When a certificate of this gateway expires, in seconds since 1970";
        let mut family = encoder.encode_descriptor("certificate_expiry_seconds", help, None, MetricType::Gauge)?;
        for certificate in self.tls.certificates() {
            let file = certificate.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let expiry = certificate.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            let gauge = ConstGauge::new(i64::try_from(expiry).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&[("certificate", file.as_str())])?)?;
        }
        Ok(())
    }

    fn archive(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let archive = self.core.archive();
        let counts = archive.map(|archive| archive.counts());
        let help = "Records for the archive, by whether it has them";
        let mut family = encoder.encode_descriptor("archive_records", help, None, MetricType::Counter)?;
        if let Some((_, archived, lost)) = counts {
            for (outcome, count) in [("archived", archived), ("lost", lost)] {
                ConstCounter::new(count).encode(family.encode_family(&[("outcome", outcome)])?)?;
            }
        }
        let waiting = counts.map(|(waiting, _, _)| i64::try_from(waiting).unwrap_or(i64::MAX));
        let up = archive.map(|archive| i64::from(archive.is_up()));
        let gauges = [
            ("archive_waiting", "Records that wait for the archive", waiting),
            ("archive_up", "Whether the archive takes records", up),
        ];
        for (name, help, value) in gauges {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            if let Some(value) = value {
                ConstGauge::new(value).encode(gauge)?;
            }
        }
        Ok(())
    }

    fn canaries(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let all = self.core.canaries();
        let help = "Canaries, by whether they came back";
        let mut family = encoder.encode_descriptor("canaries", help, None, MetricType::Counter)?;
        for one in &all {
            for (outcome, count) in [("returned", one.returned), ("lost", one.lost)] {
                let labels = [("peer", one.peer.as_str()), ("kind", one.kind.label()), ("outcome", outcome)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Whether the last canary came back";
        let mut family = encoder.encode_descriptor("canary_up", help, None, MetricType::Gauge)?;
        for one in &all {
            let labels = [("peer", one.peer.as_str()), ("kind", one.kind.label())];
            ConstGauge::new(i64::from(one.result.is_ok())).encode(family.encode_family(&labels)?)?;
        }
        let help = "How long the last canary that came back took there and back";
        let mut family = encoder.encode_descriptor("canary_round_trip_seconds", help, None, MetricType::Gauge)?;
        for (one, took) in all.iter().filter_map(|one| Some((one, one.result.ok()?))) {
            let labels = [("peer", one.peer.as_str()), ("kind", one.kind.label())];
            ConstGauge::new(took.as_secs_f64()).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn others(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "dns_queries",
            "Queries of name service for next hops",
            None,
            MetricType::Counter,
        )?;
        for (outcome, count) in self.core.dns_queries() {
            ConstCounter::new(count).encode(family.encode_family(&[("outcome", outcome)])?)?;
        }
        let mut info = encoder.encode_descriptor("build", "This program", None, MetricType::Info)?;
        info.encode_info(&[("version", self.version)])
    }
}

fn encode_histogram(
    mut encoder: MetricEncoder<'_>,
    histogram: &interwork::Histogram,
    buckets: &[(f64, u64)],
) -> Result<(), fmt::Error> {
    encoder.encode_histogram::<NoLabelSet>(histogram.sum(), histogram.count(), buckets, None)
}
