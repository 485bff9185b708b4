//! What was measured, and the medians of it.

use serde::Serialize;

use super::Contestant;

/// One contestant under load, once, or the medians of several times.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Who.
    pub contestant: Contestant,
    /// Requests per second.
    pub per_second: f64,
    /// Half of the requests were answered within this time, in microseconds.
    pub p50_us: f64,
    /// 99 of 100 requests were answered within this time, in microseconds.
    pub p99_us: f64,
    /// The contestant's own processor time per request, in microseconds; none for no relay.
    pub cpu_us: Option<f64>,
}

impl Figures {
    /// On one line.
    #[must_use]
    pub fn in_words(&self) -> String {
        let cpu = self.cpu_us.map_or_else(|| "     -".to_owned(), |cpu| format!("{cpu:>6.1}"));
        let (p50, p99) = (self.p50_us / 1_000.0, self.p99_us / 1_000.0);
        format!("{:>8.0} requests/s   p50 {p50:>6.2} ms   p99 {p99:>6.2} ms   CPU {cpu} µs/request", self.per_second)
    }
}

/// Everything that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// For each contestant, the median of each figure.
    pub medians: Vec<Figures>,
    /// Every round, each with every contestant once.
    pub rounds: Vec<Vec<Figures>>,
}

impl Summary {
    /// The medians of these rounds.
    #[must_use]
    pub fn of(rounds: Vec<Vec<Figures>>) -> Self {
        let all = || rounds.iter().flatten();
        let mut contestants: Vec<Contestant> = all().map(|figures| figures.contestant).collect();
        contestants.sort_unstable();
        contestants.dedup();
        let medians = contestants.into_iter().map(|contestant| {
            let own: Vec<&Figures> = all().filter(|figures| figures.contestant == contestant).collect();
            let of = |figure: fn(&Figures) -> f64| median(own.iter().map(|figures| figure(figures)).collect());
            let cpu: Option<Vec<f64>> = own.iter().map(|figures| figures.cpu_us).collect();
            Figures {
                contestant,
                per_second: of(|figures| figures.per_second),
                p50_us: of(|figures| figures.p50_us),
                p99_us: of(|figures| figures.p99_us),
                cpu_us: cpu.map(median),
            }
        });
        Self { medians: medians.collect(), rounds }
    }

    /// One contestant's throughput over another's, where both took part: the median of the rounds'
    /// ratios. What slows the machine down for a while slows both in that round, so this is steadier
    /// than the ratio of two medians.
    #[must_use]
    pub fn ratio(&self, one: Contestant, other: Contestant) -> Option<f64> {
        let ratios: Option<Vec<f64>> = self.rounds.iter().map(|round| ratio_in(round, one, other)).collect();
        ratios.filter(|ratios| !ratios.is_empty()).map(median)
    }
}

fn ratio_in(round: &[Figures], one: Contestant, other: Contestant) -> Option<f64> {
    let of = |wanted| round.iter().find(|figures| figures.contestant == wanted);
    Some(of(one)?.per_second / of(other)?.per_second)
}

/// The middle one, or the mean of the middle two; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.len() % 2, values.get(middle)) {
        (_, None) => 0.0,
        (1, Some(value)) => *value,
        (_, Some(value)) => f64::midpoint(*value, values[middle - 1]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn figures(contestant: Contestant, per_second: f64) -> Figures {
        Figures { contestant, per_second, p50_us: 1.0, p99_us: 2.0, cpu_us: Some(per_second / 10.0) }
    }

    #[test]
    fn medians_are_taken_for_each_contestant() {
        let round = |relay, haproxy| vec![figures(Contestant::Relay, relay), figures(Contestant::Haproxy, haproxy)];
        let summary = Summary::of(vec![round(30.0, 40.0), round(10.0, 20.0), round(20.0, 25.0)]);
        assert_eq!(summary.medians, [figures(Contestant::Relay, 20.0), figures(Contestant::Haproxy, 25.0)]);
        // Of 0.75, 0.5 and 0.8; the medians alone would say 0.8.
        assert_eq!(summary.ratio(Contestant::Relay, Contestant::Haproxy), Some(0.75));
        assert_eq!(summary.ratio(Contestant::Relay, Contestant::Envoy), None);
        assert_eq!(Summary::of(Vec::new()).ratio(Contestant::Relay, Contestant::Haproxy), None);
    }

    #[test]
    fn without_processor_time_there_is_no_median_of_it() {
        let one = Figures { cpu_us: None, ..figures(Contestant::Direct, 1.0) };
        assert_eq!(Summary::of(vec![vec![one.clone()]]).medians, [one]);
    }
}
