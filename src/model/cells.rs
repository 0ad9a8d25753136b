//! The cells of a matrix' row. Of thousands of roles most have few permissions, so only what is granted
//! is held. Knows no matrix.

use std::collections::HashMap;
use std::sync::Arc;

/// A cell of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Cell {
    /// Not granted.
    No,
    /// Granted.
    Yes,
    /// Granted if the gate holds: its text as the author wrote it.
    If(Arc<str>),
}

/// A cell for each column of a matrix. Takes four bytes a granted cell, nothing for the others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cells {
    columns: u16,
    /// What is not no, by column in order: which of `kinds` it is.
    granted: Box<[(u16, u16)]>,
    /// The different cells among them.
    kinds: Box<[Cell]>,
}

impl Cells {
    /// Cells for so many columns; those that are not given are no. `None`: a column is past 65,535, which
    /// the bound on columns rules out, or there twice.
    pub(super) fn new(columns: usize, mut given: Vec<(usize, Cell)>) -> Option<Self> {
        given.retain(|(_, cell)| *cell != Cell::No);
        given.sort_by_key(|(column, _)| *column);
        let mut kinds = Vec::new();
        let mut known: HashMap<Cell, u16> = HashMap::new();
        let mut granted: Vec<(u16, u16)> = Vec::with_capacity(given.len());
        for (column, cell) in given {
            let column = u16::try_from(column).ok().filter(|_| column < columns)?;
            let next = u16::try_from(kinds.len()).ok()?;
            let kind = *known.entry(cell).or_insert_with_key(|cell| {
                kinds.push(cell.clone());
                next
            });
            if granted.last().is_some_and(|(before, _)| *before == column) {
                return None;
            }
            granted.push((column, kind));
        }
        let columns = u16::try_from(columns).ok()?;
        Some(Self { columns, granted: granted.into(), kinds: kinds.into() })
    }

    /// How many columns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.columns)
    }

    /// Whether there is no column.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// The cell of a column; no where there is no such column.
    #[must_use]
    pub fn get(&self, column: usize) -> &Cell {
        let at = self.granted.binary_search_by_key(&column, |(column, _)| usize::from(*column));
        at.ok().and_then(|at| self.granted.get(at)).map_or(&Cell::No, |(_, kind)| self.kind(*kind))
    }

    /// The cells that are not no, with their columns, in order. Costs what they are, however many columns
    /// there are.
    pub fn granted(&self) -> impl Iterator<Item = (usize, &Cell)> {
        self.granted.iter().map(|(column, kind)| (usize::from(*column), self.kind(*kind)))
    }

    /// Every cell, in the order of the columns.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter { cells: self, next: 0, rest: &self.granted }
    }

    fn kind(&self, kind: u16) -> &Cell {
        self.kinds.get(usize::from(kind)).unwrap_or(&Cell::No)
    }
}

impl<'a> IntoIterator for &'a Cells {
    type Item = &'a Cell;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The cells of a row, in the order of the columns.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    cells: &'a Cells,
    next: u16,
    rest: &'a [(u16, u16)],
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Cell;

    fn next(&mut self) -> Option<&'a Cell> {
        let column = self.next;
        if column >= self.cells.columns {
            return None;
        }
        self.next = column.saturating_add(1);
        match self.rest.split_first() {
            Some(((granted, kind), rest)) if *granted == column => {
                self.rest = rest;
                Some(self.cells.kind(*kind))
            }
            _ => Some(&Cell::No),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.cells.columns.saturating_sub(self.next));
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_for_each_column_whatever_was_given() {
        let gated = Cell::If("office".into());
        let given = vec![(4, gated.clone()), (1, Cell::Yes), (2, Cell::No), (5, gated.clone())];
        let cells = Cells::new(6, given).unwrap();
        let all: Vec<Cell> = cells.iter().cloned().collect();
        assert_eq!(all, [Cell::No, Cell::Yes, Cell::No, Cell::No, gated.clone(), gated]);
        assert!((0..8).all(|column| cells.get(column) == all.get(column).unwrap_or(&Cell::No)));
        let granted: Vec<usize> = cells.granted().map(|(column, _)| column).collect();
        assert_eq!(granted, [1, 4, 5]);
        assert_eq!((cells.len(), cells.kinds.len(), cells.iter().len()), (6, 2, 6));
    }

    #[test]
    fn a_column_that_cannot_be_is_refused() {
        assert!(Cells::new(2, vec![(2, Cell::Yes)]).is_none());
        assert!(Cells::new(2, vec![(1, Cell::Yes), (1, Cell::Yes)]).is_none());
        assert!(Cells::new(70_000, Vec::new()).is_none());
        assert!(Cells::new(0, Vec::new()).unwrap().is_empty());
    }
}
