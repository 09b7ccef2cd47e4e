//! Figures by contestant and round, and what is made of them: medians of ratios within a round.

use std::collections::BTreeMap;

use rand::seq::SliceRandom as _;

/// One figure, taken of every contestant in every round. A contestant that stopped early has the
/// first rounds.
#[derive(Default)]
pub(crate) struct Samples {
    by_contestant: BTreeMap<&'static str, Vec<f64>>,
}

impl Samples {
    pub(crate) fn add(&mut self, contestant: &'static str, value: f64) {
        self.by_contestant
            .entry(contestant)
            .or_default()
            .push(value);
    }

    pub(crate) fn median(&self, contestant: &str) -> Option<f64> {
        median(self.by_contestant.get(contestant)?.clone())
    }

    /// The median over the rounds of `contestant` ÷ `reference`.
    pub(crate) fn ratio(&self, contestant: &str, reference: &str) -> Option<f64> {
        self.compare(contestant, reference, |value, base| value / base)
    }

    /// The median over the rounds of `contestant` − `reference`.
    pub(crate) fn difference(&self, contestant: &str, reference: &str) -> Option<f64> {
        self.compare(contestant, reference, |value, base| value - base)
    }

    fn compare(&self, of: &str, to: &str, by: impl Fn(f64, f64) -> f64) -> Option<f64> {
        let pairs = self
            .by_contestant
            .get(of)?
            .iter()
            .zip(self.by_contestant.get(to)?);
        median(pairs.map(|(value, base)| by(*value, *base)).collect())
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        return values.get(middle).copied();
    }
    let (low, high) = (values.get(middle.checked_sub(1)?)?, values.get(middle)?);
    Some(f64::midpoint(*low, *high))
}

/// The same in a random order, new for each round.
pub(crate) fn shuffled<T>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.shuffle(&mut rand::rng());
    items
}
