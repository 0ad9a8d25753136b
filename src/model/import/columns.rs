//! Where the columns of a table go: to those of the matrix file with the same name, or to new ones. Two that
//! could be one are neither.

use std::collections::BTreeSet;

use super::target::Target;
use crate::model::expression::RESERVED;
use crate::model::names::{Name, quoted};
use crate::model::pasted::{Pasted, folded, slug};
use crate::model::yaml::Word;

/// Where a column of the table goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The index in the new file.
    Field(usize),
    /// It has every row, and stands in no file.
    Whole,
}

/// The columns of the new file, and how the table's go with them.
pub(super) struct Columns {
    /// The headers of the new file.
    pub(super) headers: Vec<String>,
    /// Where each column of the table goes.
    pub(super) places: Vec<Place>,
    /// What the table calls each, what the matrix file does, and whether that is new.
    pub(super) told: Vec<(String, String, bool)>,
}

/// `None`, and a problem, where it is not certain which role a column is.
pub(super) fn columns(target: &Target, pasted: &mut Pasted) -> Option<Columns> {
    let names_roles = pasted.rows.iter().all(|row| row.permission.is_some());
    let mut known: Vec<(Place, &str)> =
        target.fields().map(|(i, label)| (Place::Field(i), label)).collect();
    known.extend(target.whole().map(|label| (Place::Whole, label)));
    let mut headers: Vec<String> =
        target.table.columns.iter().map(|word| word.text.clone()).collect();
    let mut taken: BTreeSet<String> = headers.iter().cloned().collect();
    taken.extend(target.whole().map(str::to_owned));
    let (mut places, mut told) = (Vec::new(), Vec::new());
    let mut made: Vec<(String, &str)> = Vec::new();
    let columns = pasted.columns.clone();
    for word in &columns {
        let header = word.text.as_str();
        let is_exact = |label: &str| label == header;
        let is_name = names_roles && Name::parse(header).is_ok();
        // Names are what they are: `fleet.admin` is no `fleet_admin`.
        let is_alike = |label: &str| {
            folded(label) == folded(header) || !is_name && slug::of(label) == slug::of(header)
        };
        let other = |label: &str| columns.iter().any(|word| word.text == label);
        // The very same first: `User` and `user` may both be there.
        let found = match known.iter().find(|(_, label)| is_exact(label)) {
            Some(found) => Some(*found),
            None => {
                let alike: Vec<_> = known.iter().filter(|(_, label)| is_alike(label)).collect();
                match alike.as_slice() {
                    [] => None,
                    [only] if !other(only.1) => Some(**only),
                    _ if is_name => None,
                    [first, ..] => return refuse(pasted, word, first.1),
                }
            }
        };
        let base = match found {
            Some((_, label)) => label.to_owned(),
            None if is_name => header.to_owned(),
            None => slug::of(header),
        };
        if let Some((_, first)) = made.iter().find(|(name, _)| *name == base) {
            return refuse(pasted, word, first);
        }
        made.push((base.clone(), header));
        if let Some((place, label)) = found {
            places.push(place);
            told.push((header.to_owned(), label.to_owned(), false));
            continue;
        }
        let name = free(&base, &taken);
        taken.insert(name.clone());
        places.push(Place::Field(headers.len()));
        headers.push(name.clone());
        told.push((header.to_owned(), name, true));
    }
    Some(Columns { headers, places, told })
}

fn refuse(pasted: &mut Pasted, word: &Word, other: &str) -> Option<Columns> {
    let message = format!(
        "the column `{}` may be the same as `{}`: rename one; nothing is read",
        word.quoted(),
        quoted(other),
    );
    pasted.unread(&word.at, message);
    None
}

/// The name, or the next one that is free.
pub(super) fn free(base: &str, taken: &BTreeSet<String>) -> String {
    let is_reserved = |name: &str| {
        RESERVED.contains(&name)
            || ["has", "role", "section", "permission", "label", "gate", "note"].contains(&name)
    };
    let base = if is_reserved(base) { format!("{base}_") } else { base.to_owned() };
    let mut names = std::iter::once(base.clone()).chain((2_u32..).map(|n| format!("{base}_{n}")));
    names.find(|name| !taken.contains(name)).unwrap_or(base)
}
