//! Objects in the byte order of their names, window by window: the first are there before the others are
//! sorted, and no list of all names is ever made. Knows not what the objects are listed for.

use std::cmp::Ordering;

use super::objects::Objects;
use crate::index::ObjectId;

/// The first window is small, so that its objects are there soon.
const FIRST_WINDOW: usize = 1_024;
/// Each later one has at least one of so many objects. Every window costs a look at the names that are
/// left, so all of them cost so many looks at each name at most, half of that on average.
const WINDOWS: usize = 8;

/// An object, with the first bytes of its name that differ anywhere: mostly they tell the order.
type Keyed = (u64, ObjectId);

/// Objects still to be listed. Takes at most 32 bytes for each object of a window.
#[derive(Debug)]
pub(super) struct InOrder {
    /// Those of no window so far.
    left: Objects,
    /// All of them come before those that are left. The last in order stands first.
    window: Vec<Keyed>,
    /// How many the next window has; up to twice as many, if those are all that are left.
    size: usize,
    /// How many the later ones have.
    later: usize,
    /// So many first bytes are the same in all names.
    common: usize,
    is_common_known: bool,
}

impl InOrder {
    /// `common`: so many first bytes are known to be the same in all names.
    pub(super) fn new(left: Objects, common: usize) -> Self {
        let later = (left.len() / WINDOWS).max(FIRST_WINDOW);
        Self::sized(left, common, FIRST_WINDOW, later)
    }

    fn sized(left: Objects, common: usize, size: usize, later: usize) -> Self {
        Self { left, window: Vec::new(), size, later, common, is_common_known: false }
    }

    /// Goes on after this name. Costs a look at each name.
    pub(super) fn go_on_after<'a>(&mut self, name: &str, text: impl Fn(ObjectId) -> &'a str) {
        self.left.retain(|id| text(id) > name);
        self.window.retain(|(_, id)| text(*id) > name);
    }

    /// The next object. `text` tells each one's name, none of them twice.
    pub(super) fn next<'a>(&mut self, text: impl Fn(ObjectId) -> &'a str) -> Option<ObjectId> {
        if self.window.is_empty() {
            self.fill(&text);
        }
        self.window.pop().map(|(_, id)| id)
    }

    fn fill<'a>(&mut self, text: &impl Fn(ObjectId) -> &'a str) {
        let Self { left, window, size, common, .. } = self;
        let in_order = |a: &Keyed, b: &Keyed| match a.0.cmp(&b.0) {
            Ordering::Equal => text(a.1).cmp(text(b.1)),
            order => order,
        };
        let mut shared: Option<&[u8]> = None;
        // Whoever comes after this one comes after all of the window.
        let mut last: Option<Keyed> = None;
        for id in left.iter() {
            let name = text(id).as_bytes();
            if !self.is_common_known {
                shared = Some(shared.map_or(name, |shared| start_of_both(shared, name)));
            }
            let keyed = (key(name, *common), id);
            if last.is_some_and(|last| in_order(&keyed, &last).is_gt()) {
                continue;
            }
            window.push(keyed);
            if window.len() >= *size * 2 {
                let (_, nth, _) = window.select_nth_unstable_by(*size - 1, in_order);
                last = Some(*nth);
                window.truncate(*size);
            }
        }
        window.sort_unstable_by(|a, b| in_order(b, a));
        window.iter().for_each(|(_, id)| left.remove(*id));
        // Keys of later windows begin where names differ; those made so far are not asked again.
        *common = shared.map_or(*common, <[u8]>::len);
        self.is_common_known = true;
        self.size = self.later;
    }
}

/// What two names begin with alike.
fn start_of_both<'a>(shared: &'a [u8], name: &[u8]) -> &'a [u8] {
    if name.starts_with(shared) {
        return shared;
    }
    let alike = shared.iter().zip(name).take_while(|(a, b)| a == b).count();
    shared.get(..alike).unwrap_or_default()
}

/// Eight bytes of a name as a number in their order. A name that ends before comes first: none has a 0.
fn key(name: &[u8], from: usize) -> u64 {
    let rest = name.get(from..).unwrap_or_default();
    match rest.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut first = [0; 8];
            first.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            u64::from_be_bytes(first)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Names that often begin alike, in no order.
    fn names(random: &mut fastrand::Rng, prefix: &str, most: usize) -> Vec<String> {
        let mut names = BTreeSet::new();
        for _ in 0..most {
            let long = ["", "a", "abcdefgh", "abcdefghijklmnop", "\u{e9}"][random.usize(..5)];
            names.insert(format!("{prefix}{long}{}", random.u32(..500)));
        }
        let mut names: Vec<String> = names.into_iter().collect();
        random.shuffle(&mut names);
        names
    }

    #[test]
    fn whatever_the_windows_they_come_in_the_order_of_their_names() {
        let mut random = fastrand::Rng::with_seed(9);
        for round in 0..200 {
            let prefix = ["user:", "user:auth0|", "user:https://id.example.com/"][round % 3];
            let names = names(&mut random, prefix, [0, 1, 2, 7, 90, 300][round % 6]);
            let id = |at: usize| ObjectId(u32::try_from(at).unwrap());
            let text = |id: ObjectId| names[id.0 as usize].as_str();
            let left = || {
                let mut left = Objects::default();
                (0..names.len()).for_each(|at| assert!(left.insert(id(at))));
                left
            };
            let (size, later) = (random.usize(1..20), random.usize(1..20));
            let mut list = InOrder::sized(left(), "user:".len(), size, later);
            let listed: Vec<&str> = std::iter::from_fn(|| list.next(text)).map(text).collect();
            let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
            sorted.sort_unstable();
            assert_eq!(listed, sorted);
            // And on from any of them, be there such a name or not.
            let after = format!("{prefix}{}", random.u32(..600));
            let after = [Some(&after), names.first()][round % 2].unwrap_or(&after);
            let mut list = InOrder::sized(left(), "user:".len(), size, later);
            list.go_on_after(after, text);
            let rest: Vec<&str> = std::iter::from_fn(|| list.next(text)).map(text).collect();
            sorted.retain(|name| *name > after.as_str());
            assert_eq!(rest, sorted, "after {after}");
        }
    }

    #[test]
    fn a_window_is_bounded_whatever_order_the_ids_have() {
        for is_reversed in [false, true] {
            let count = 20_000;
            let names: Vec<String> = (0..count)
                .map(|at| format!("user:{:06}", if is_reversed { count - at } else { at }))
                .collect();
            let mut left = Objects::default();
            (0..count).for_each(|id| assert!(left.insert(ObjectId(id))));
            let text = |id: ObjectId| names[id.0 as usize].as_str();
            let mut list = InOrder::new(left, "user:".len());
            let (mut listed, mut most) = (0, 0);
            while list.next(text).is_some() {
                (listed, most) = (listed + 1, most.max(list.window.capacity()));
            }
            assert_eq!(listed, count);
            assert!(most <= 8_192, "{most}");
        }
    }
}
