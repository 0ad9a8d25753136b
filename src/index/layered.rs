//! Tuples of a range of keys as layers over a base make them: in order, the newest layer's word for
//! each. Knows neither what is in a base nor in a layer.

use std::sync::Arc;

use super::binding::Details;
use super::layer::{Changes, Held};

type Found<'a, K> = (K, Option<&'a Arc<Details>>);

/// The tuples of a range, each with what it carries. Where no layer touches the range, it costs what the
/// base alone costs.
#[derive(Debug)]
pub(super) struct Layered<'a, K, B> {
    base: B,
    over: Option<Box<Over<'a, K>>>,
}

#[derive(Debug)]
struct Over<'a, K> {
    /// The base's next.
    beneath: Option<Found<'a, K>>,
    /// Oldest first.
    layers: [Option<Changes<'a, K>>; 2],
}

impl<'a, K: Ord + Copy, B: Iterator<Item = Found<'a, K>>> Layered<'a, K, B> {
    /// `layers` are those that touch the range, the oldest first.
    pub(super) fn new(mut base: B, layers: [Option<Changes<'a, K>>; 2]) -> Self {
        let is_touched = layers.iter().any(Option::is_some);
        let over = is_touched.then(|| Box::new(Over { beneath: base.next(), layers }));
        Self { base, over }
    }
}

impl<'a, K: Ord + Copy, B: Iterator<Item = Found<'a, K>>> Iterator for Layered<'a, K, B> {
    type Item = Found<'a, K>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { base, over } = self;
        match over {
            None => base.next(),
            Some(over) => over.next(base),
        }
    }
}

impl<'a, K: Ord + Copy> Over<'a, K> {
    fn next(&mut self, base: &mut impl Iterator<Item = Found<'a, K>>) -> Option<Found<'a, K>> {
        let Self { beneath, layers } = self;
        loop {
            let keys = layers.iter().flatten().filter_map(Changes::key);
            let least = keys.chain(beneath.map(|(key, _)| key)).min()?;
            let mut found = None;
            if let Some((key, carried)) = *beneath
                && key == least
            {
                found = Some(carried);
                *beneath = base.next();
            }
            for layer in layers.iter_mut().flatten() {
                match layer.take(&least) {
                    Some(Held::Put(carried)) => found = Some(carried.as_ref()),
                    Some(Held::Deleted) => found = None,
                    None => {}
                }
            }
            if let Some(carried) = found {
                return Some((least, carried));
            }
        }
    }
}
