//! Prometheus' text format, version 0.0.4: a family has a help line, a type line, then its samples.

use std::fmt::{Display, Write as _};

/// What the page is served as.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page in the making.
#[derive(Default)]
pub struct Page(String);

/// A family whose samples are being written.
pub struct Family<'a> {
    page: &'a mut Page,
    name: &'static str,
}

impl Page {
    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, help, "gauge")
    }

    /// A number that only goes up.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, help, "counter")
    }

    /// Durations by size.
    pub fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, help, "histogram")
    }

    /// The text.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }

    fn family(&mut self, name: &'static str, help: &str, kind: &str) -> Family<'_> {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        Family { page: self, name }
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.0, "{line}").expect("a String takes any text");
    }
}

/// How often something took how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// Pairs of an upper bound in seconds and how many were within this bound but above the one before.
    pub buckets: Vec<(f64, u64)>,
    /// How many there were, those beyond the last bound too.
    pub count: u64,
    /// Their sum, in seconds.
    pub sum: f64,
}

impl Family<'_> {
    /// The family's only sample.
    pub fn value(self, value: impl Display) {
        self.page.line(format_args!("{} {value}", self.name));
    }

    /// A sample with labels. Label values are ours: they hold no quotes, backslashes or line ends.
    pub fn with(self, labels: &[(&str, &str)], value: impl Display) -> Self {
        let name = self.name;
        self.page.line(format_args!("{name}{} {value}", braced(labels)));
        self
    }

    /// The samples of a histogram with these labels.
    pub fn distribution(self, labels: &[(&str, &str)], distribution: &Distribution) -> Self {
        let name = self.name;
        let Distribution { buckets, count, sum } = distribution;
        let bounded = |bound: &str| {
            let all: Vec<(&str, &str)> = labels.iter().copied().chain([("le", bound)]).collect();
            braced(&all)
        };
        let mut within = 0;
        for (bound, more) in buckets {
            within += more;
            let labels = bounded(&bound.to_string());
            self.page.line(format_args!("{name}_bucket{labels} {within}"));
        }
        self.page.line(format_args!("{name}_bucket{} {count}", bounded("+Inf")));
        self.page.line(format_args!("{name}_sum{} {sum}", braced(labels)));
        self.page.line(format_args!("{name}_count{} {count}", braced(labels)));
        self
    }
}

/// Labels as they are written behind a name; nothing where there are none.
fn braced(labels: &[(&str, &str)]) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(name, label)| format!("{name}=\"{label}\""))
        .collect();
    if labels.is_empty() {
        return String::new();
    }
    format!("{{{}}}", labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_page() {
        let mut page = Page::default();
        page.gauge("a", "One.").value(1);
        page.counter("b_total", "Two.")
            .with(&[("x", "1"), ("y", "2")], 2)
            .with(&[("x", "3")], 4);
        let distribution = Distribution {
            buckets: vec![(0.001, 5), (0.002, 0), (0.004, 2)],
            count: 8,
            sum: 0.25,
        };
        page.histogram("c_seconds", "Three.")
            .distribution(&[], &distribution)
            .distribution(&[("x", "1")], &distribution);
        expect![[r#"
            # HELP a One.
            # TYPE a gauge
            a 1
            # HELP b_total Two.
            # TYPE b_total counter
            b_total{x="1",y="2"} 2
            b_total{x="3"} 4
            # HELP c_seconds Three.
            # TYPE c_seconds histogram
            c_seconds_bucket{le="0.001"} 5
            c_seconds_bucket{le="0.002"} 5
            c_seconds_bucket{le="0.004"} 7
            c_seconds_bucket{le="+Inf"} 8
            c_seconds_sum 0.25
            c_seconds_count 8
            c_seconds_bucket{x="1",le="0.001"} 5
            c_seconds_bucket{x="1",le="0.002"} 5
            c_seconds_bucket{x="1",le="0.004"} 7
            c_seconds_bucket{x="1",le="+Inf"} 8
            c_seconds_sum{x="1"} 0.25
            c_seconds_count{x="1"} 8
        "#]]
        .assert_eq(&page.finish());
    }
}
