//! Metrics as text, in the OpenMetrics format. Knows the form, no figure.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::registry::Registry;

use super::histogram::Read;
use super::names::Metric;

/// The `Content-Type` of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Something that has figures to show.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Writes all figures as they stand.
    ///
    /// # Errors
    /// The page's.
    fn write(&self, page: &mut Page<'_>) -> fmt::Result;
}

/// The text of everything that a source shows.
#[derive(Debug)]
pub struct Text(Registry);

impl Text {
    /// Shows this source.
    #[must_use]
    pub fn of(source: impl Source) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Shown(source)));
        Self(registry)
    }

    /// The figures as they stand now.
    ///
    /// # Errors
    /// The source's.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct Shown<S>(S);

impl<S: Source> Collector for Shown<S> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.write(&mut Page { encoder })
    }
}

/// The page while it is written. The number of label values is the number of the metric's labels.
#[derive(Debug)]
pub struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    fn begin(&mut self, metric: &'static Metric) -> Result<MetricEncoder<'_>, fmt::Error> {
        let (unit, kind) = (metric.unit.as_ref(), metric.metric_type());
        self.encoder.encode_descriptor(metric.stem, metric.help, unit, kind)
    }

    /// A counter without labels.
    ///
    /// # Errors
    /// The page's.
    pub fn counter(&mut self, metric: &'static Metric, value: u64) -> fmt::Result {
        self.begin(metric)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    /// A counter by its labels.
    ///
    /// # Errors
    /// The page's.
    pub fn counters<'l, const N: usize>(
        &mut self,
        metric: &'static Metric,
        values: impl IntoIterator<Item = ([&'l str; N], u64)>,
    ) -> fmt::Result {
        let mut encoder = self.begin(metric)?;
        for (labels, value) in values {
            let labels = named(metric, labels);
            encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    /// A gauge of a whole number.
    ///
    /// # Errors
    /// The page's.
    pub fn gauge(&mut self, metric: &'static Metric, value: u64) -> fmt::Result {
        self.begin(metric)?.encode_gauge(&value)
    }

    /// A gauge of any number.
    ///
    /// # Errors
    /// The page's.
    pub fn measure(&mut self, metric: &'static Metric, value: f64) -> fmt::Result {
        self.begin(metric)?.encode_gauge(&value)
    }

    /// A histogram without labels.
    ///
    /// # Errors
    /// The page's.
    pub fn histogram(&mut self, metric: &'static Metric, read: &Read) -> fmt::Result {
        let Read { sum, count, buckets } = read;
        self.begin(metric)?.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)
    }

    /// A histogram by its labels.
    ///
    /// # Errors
    /// The page's.
    pub fn histograms<'l, const N: usize>(
        &mut self,
        metric: &'static Metric,
        values: impl IntoIterator<Item = ([&'l str; N], Read)>,
    ) -> fmt::Result {
        let mut encoder = self.begin(metric)?;
        for (labels, Read { sum, count, buckets }) in values {
            let labels = named(metric, labels);
            let mut encoder = encoder.encode_family(&labels)?;
            encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    /// What is so, in words.
    ///
    /// # Errors
    /// The page's.
    pub fn info<const N: usize>(
        &mut self,
        metric: &'static Metric,
        labels: [&str; N],
    ) -> fmt::Result {
        self.begin(metric)?.encode_info(&named(metric, labels))
    }
}

fn named<'l, const N: usize>(
    metric: &'static Metric,
    values: [&'l str; N],
) -> Vec<(&'static str, &'l str)> {
    debug_assert_eq!(metric.labels.len(), N, "{}", metric.stem);
    metric.labels.iter().copied().zip(values).collect()
}
