//! The texts of a layer's names, in the order of their ids. Each commit keeps a version of its own and most
//! add a name or two: so a page is added to in place, where all versions share it, and each looks no further than
//! its own end. Knows no hash and no id.

use std::sync::{Arc, OnceLock};

use imbl::{GenericVector, shared_ptr::DefaultSharedPtr};

use crate::model::form::TypeId;

/// So many stand in one page.
const PAGE: usize = 64;

type Text = (Arc<str>, TypeId);
type Page = [OnceLock<Text>; PAGE];

/// A version of the texts. A clone shares all.
///
/// Invariant *up to the end*: every slot before the end is set, by this version or by one that it was cloned
/// from; what stands behind it is another version's.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    pages: GenericVector<Arc<Page>, DefaultSharedPtr>,
    end: usize,
}

fn page_of(texts: impl Iterator<Item = Text>) -> Arc<Page> {
    let page: Page = [const { OnceLock::new() }; PAGE];
    for (slot, text) in page.iter().zip(texts) {
        let _new = slot.set(text);
    }
    Arc::new(page)
}

impl Texts {
    pub(super) fn len(&self) -> usize {
        self.end
    }

    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }

    pub(super) fn get(&self, at: usize) -> Option<&Text> {
        if at >= self.end {
            return None;
        }
        self.pages.get(at / PAGE)?.get(at % PAGE)?.get()
    }

    pub(super) fn push(&mut self, text: Text) {
        let (page, slot) = (self.end / PAGE, self.end % PAGE);
        let Some(old) = self.pages.get(page) else {
            self.pages.push_back(page_of(std::iter::once(text)));
            self.end += 1;
            return;
        };
        if let Some(Err(text)) = old.get(slot).map(|slot| slot.set(text)) {
            // Another version came first, as of a commit that was refused.
            let ours = old.iter().take(slot).filter_map(OnceLock::get).cloned();
            let own = page_of(ours.chain([text]));
            self.pages.set(page, own);
        }
        self.end += 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Text> {
        let slots = self.pages.iter().flat_map(|page| page.iter());
        slots.take(self.end).filter_map(OnceLock::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_texts_whoever_adds_first() {
        let mut random = fastrand::Rng::with_seed(13);
        let mut versions: Vec<(Texts, Vec<String>)> = vec![Default::default()];
        for number in 0..3_000 {
            // Mostly the newest goes on; at times an older one branches off.
            let newest = versions.len() - 1;
            let of = if random.u32(..20) == 0 { random.usize(..=newest) } else { newest };
            let (mut texts, mut known) = versions[of].clone();
            for at in 0..random.u32(..4) {
                let text = format!("user:{number}-{at}");
                texts.push((text.as_str().into(), TypeId(1)));
                known.push(text);
            }
            versions.push((texts, known));
        }
        for (texts, known) in versions.iter().step_by(37) {
            assert_eq!((texts.len(), texts.is_empty()), (known.len(), known.is_empty()));
            assert!(texts.iter().map(|(text, _)| &**text).eq(known.iter().map(String::as_str)));
            for (at, text) in known.iter().enumerate() {
                assert_eq!(texts.get(at).map(|(text, _)| &**text), Some(text.as_str()));
            }
            assert!(texts.get(known.len()).is_none());
        }
        assert!(versions.last().is_some_and(|(texts, _)| texts.len() > 2 * PAGE));
    }
}
